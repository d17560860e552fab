// Computes a graph on ggml's CPU backend. Nodes that multiply packed weights become custom operations of the CPU
// backend for the time of the call, so ggml's threads run Lutra's pieces between its own operations.
#include <map>
#include <optional>

#include "node.h"
#include "pages.h"

namespace plugin {
namespace {

// Whether the node reads rows of a table that was not packed because it is not multiplied, such as embeddings.
bool ReadsTable(const ggml_tensor* node) {
  const ggml_tensor* const table = node->src[0];
  return node->op == GGML_OP_GET_ROWS && table->buffer != nullptr && !IsPacked(table) && CanPack(table) &&
         ggml_backend_buffer_get_usage(table->buffer) == GGML_BACKEND_BUFFER_USAGE_WEIGHTS;
}

}  // namespace

struct Graph::Work {
  // A node of this graph.
  struct GraphNode : Node {
    GraphNode(Work* work_, ggml_tensor* tensor) : Node(tensor), work(work_) {}
    Work* const work;
  };
  std::deque<GraphNode> nodes;
  Workspace workspace;
  Barrier barrier;
  std::atomic<bool> failed{false};

  void Check(const Node& node, const lutra::Status& status) {
    if (status.ok() || failed.exchange(true)) return;
    Log(GGML_LOG_LEVEL_ERROR, std::string(node.tensor()->name) + ": " + status.message());
  }

  // Tables stay in the file's mapping. Reading a row brings pages around it to memory, too, and llama.cpp maps a file
  // with all of its pages. So this releases a table's pages before the first graph, and again once 32 rows were read.
  void ReleaseTables(ggml_cgraph* graph) {
    constexpr std::int64_t kRows = 32;
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
      const ggml_tensor* const node = ggml_graph_node(graph, i);
      if (!ReadsTable(node)) continue;
      std::optional<std::int64_t>& read = rows_read.try_emplace(node->src[0]->data, kRows).first->second;
      if (!read.has_value()) continue;
      if (*read >= kRows) {
        const MappedBytes table(node->src[0]->data, ggml_nbytes(node->src[0]));
        read = table.shared() ? std::optional<std::int64_t>(0) : std::nullopt;
        table.Release();
      }
      if (read.has_value()) *read += ggml_nelements(node->src[1]);
    }
  }
  // Of tables, since their pages were released; nothing for those in other memory, which are not looked up again.
  std::map<const void*, std::optional<std::int64_t>> rows_read;

  // What each of ggml's threads calls for a node.
  static void Run(ggml_tensor* /*y*/, int thread_, int threads_, void* data) {
    auto& node = *static_cast<GraphNode*>(data);
    const auto thread = static_cast<std::size_t>(thread_), threads = static_cast<std::size_t>(threads_);
    node.work->Check(node, node.Begin(thread, threads));
    if (node.Waits()) node.work->barrier.Wait(threads);
    if (!node.work->failed) node.work->Check(node, node.Finish(thread, threads));
  }
};

Graph::Graph() : work_(new Work) {}
Graph::~Graph() { delete work_; }

ggml_status Graph::Compute(ggml_cgraph* graph) {
  Work& work = *work_;
  work.failed = false;
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    ggml_tensor* const tensor = ggml_graph_node(graph, i);
    if (tensor->src[0] == nullptr || !Multiplies(tensor)) continue;
    Work::GraphNode& node = work.nodes.emplace_back(&work, tensor);
    work.Check(node, node.Plan(static_cast<std::size_t>(cpu_.threads()), &work.workspace));
    node.Replace(Work::Run, &node);
  }
  if (!work.failed && !work.nodes.empty()) work.Check(work.nodes.front(), work.workspace.Allocate());
  work.ReleaseTables(graph);
  const ggml_status status = work.failed ? GGML_STATUS_FAILED : cpu_.Compute(graph);
  for (const Node& node : work.nodes) node.Restore();
  work.nodes.clear();
  work.workspace.Clear();
  return work.failed ? GGML_STATUS_FAILED : status;
}

}  // namespace plugin
