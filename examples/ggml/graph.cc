// Computes a graph on ggml's CPU backend. Nodes that multiply packed weights become custom operations of the CPU
// backend for the time of the call, so ggml's threads run Lutra's pieces between its own operations.
#include <array>
#include <atomic>
#include <cstring>
#include <deque>

#include "plugin.h"

namespace plugin {
namespace {

// Rows of K floats that a tensor holds.
std::size_t Rows(const ggml_tensor* x) { return static_cast<std::size_t>(ggml_nrows(x)); }
// Whether the rows of a tensor of floats follow each other at one distance.
bool HasEvenRows(const ggml_tensor* x) {
  return x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && x->nb[1] % sizeof(float) == 0 &&
         x->nb[2] == x->nb[1] * static_cast<std::size_t>(x->ne[1]) &&
         x->nb[3] == x->nb[2] * static_cast<std::size_t>(x->ne[2]);
}

lutra::ActivationView ViewOfX(const ggml_tensor* x) {
  return {static_cast<const float*>(x->data), Rows(x), static_cast<std::size_t>(x->ne[0]), x->nb[1] / sizeof(float)};
}
lutra::OutputView ViewOfY(const ggml_tensor* y) {
  return {static_cast<float*>(y->data), Rows(y), static_cast<std::size_t>(y->ne[0]), y->nb[1] / sizeof(float)};
}

// Threads that wait for each other. They are all running, so they spin.
class Barrier {
 public:
  void Wait(int threads) {
    const unsigned turn = turn_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.fetch_add(1, std::memory_order_release);
      return;
    }
    while (turn_.load(std::memory_order_acquire) == turn) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      __asm__ volatile("yield");
#endif
    }
  }

 private:
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> turn_{0};
};

}  // namespace

bool Multiplies(const ggml_tensor* op) {
  const ggml_tensor *w = op->src[0], *x = op->src[1];
  return op->op == GGML_OP_MUL_MAT && IsPacked(w) && CanPack(w) && w->view_src == nullptr && w->ne[2] == 1 &&
         HasEvenRows(x) && HasEvenRows(op);
}

// The products of a graph, while it is computed. They are planned before, so that threads meet only once in a node:
// between its rows of x and its product.
struct Graph::Work {
  // Rows of x in prepared form, for all nodes that multiply them.
  struct Prepared {
    const ggml_tensor* x;
    const lutra::PackedMatrix* w;  // of the first of these nodes
    lutra::PrepareOptions options;
    std::size_t size = 0;
    lutra::Buffer* memory = nullptr;
    lutra::Activations rows;  // a view of the memory

    lutra::Status View(const void* at) { return lutra::ViewActivations(*w, Rows(x), options, at, size, &rows); }
  };
  // A node of the graph; its own operation and parameters, which a custom operation replaces.
  struct Node {
    Work* work;
    ggml_tensor* tensor;
    ggml_op op;
    decltype(ggml_tensor::op_params) params;
    Prepared* x = nullptr;
    bool prepares = false;  // this node is the first that multiplies x
    std::size_t pieces = 0;
    std::atomic<std::size_t> next{0};  // the piece that a thread takes next

    const Weights& weights() const { return WeightsOf(tensor->src[0]); }
  };

  std::deque<Node> nodes;
  std::deque<Prepared> prepared;
  // The prepared rows of the last few x. Older ones are overwritten, so that a graph needs little memory.
  std::array<lutra::Buffer, 4> memory;
  std::size_t threads = 1;
  Barrier barrier;
  std::atomic<bool> failed{false};

  void Check(const Node& node, const lutra::Status& status) {
    if (status.ok() || failed.exchange(true)) return;
    Log(GGML_LOG_LEVEL_ERROR, std::string(node.tensor->name) + ": " + status.message());
  }

  // Finds x as prepared for w among the last few, or adds it.
  lutra::Status FindPrepared(Node& node) {
    alignas(lutra::PackedLayout::kAlignment) static const std::uint8_t nowhere[1] = {};  // until all sizes are known
    const ggml_tensor* const x = node.tensor->src[1];
    const Weights& w = node.weights();
    for (std::size_t i = prepared.size(); i-- > 0 && prepared.size() - i <= memory.size();) {
      Prepared& p = prepared[i];
      if (p.x != x || !p.rows.Fits(w.matrices[0]) || p.options.precision != w.options.precision) continue;
      node.x = &p;
      return {};
    }
    prepared.push_back({x, &w.matrices[0], w.options, 0, nullptr, {}});
    node.x = &prepared.back();
    node.prepares = true;
    const lutra::Status status = lutra::PreparedSize(*node.x->w, Rows(x), node.x->options, &node.x->size);
    return status.ok() ? node.x->View(nowhere) : status;
  }

  // Gives all prepared rows their memory.
  lutra::Status Allocate() {
    for (std::size_t i = 0; i < prepared.size(); ++i) {
      prepared[i].memory = &memory[i % memory.size()];
      if (!prepared[i].memory->Reserve(prepared[i].size)) return lutra::Status::OutOfMemory("x");
    }
    for (Prepared& p : prepared) {
      const lutra::Status status = p.View(p.memory->data());
      if (!status.ok()) return status;
    }
    return {};
  }

  lutra::Status Plan(Node& node) {
    if (!node.weights().valid) return lutra::Status::Invalid("w", "was not packed");
    const lutra::Status status = FindPrepared(node);
    if (!status.ok()) return status;
    return lutra::MatMulPieces(node.weights().matrices[0], node.x->rows, threads, &node.pieces);
  }

  // Plans a node, and makes it a custom operation.
  void Replace(ggml_tensor* tensor) {
    nodes.emplace_back();
    Node& node = nodes.back();
    node.work = this;
    node.tensor = tensor;
    node.op = tensor->op;
    std::memcpy(node.params, tensor->op_params, sizeof(node.params));
    Check(node, Plan(node));
    // ggml's own function writes the parameters of a custom operation.
    alignas(16) char small[1024];
    ggml_context* const ggml = ggml_init({sizeof(small), small, true});
    const ggml_tensor* const custom =
        ggml_custom_4d(ggml, GGML_TYPE_F32, 1, 1, 1, 1, nullptr, 0, Run, GGML_N_TASKS_MAX, &node);
    std::memcpy(tensor->op_params, custom->op_params, sizeof(tensor->op_params));
    ggml_free(ggml);
    tensor->op = GGML_OP_CUSTOM;
  }
  void Restore() {
    for (const Node& node : nodes) {
      node.tensor->op = node.op;
      std::memcpy(node.tensor->op_params, node.params, sizeof(node.params));
    }
    nodes.clear();
    prepared.clear();
  }

  // What ggml's threads call for a node.
  static void Run(ggml_tensor* y, int thread, int count, void* data) {
    Node& node = *static_cast<Node*>(data);
    Work& work = *node.work;
    const lutra::PackedMatrix& w = node.weights().matrices[0];
    if (node.prepares) {
      work.Check(node,
                 lutra::PreparePart(ViewOfX(node.tensor->src[1]), w, node.x->options, static_cast<std::size_t>(thread),
                                    static_cast<std::size_t>(count), node.x->memory->data(), node.x->size));
      work.barrier.Wait(count);
    }
    for (std::size_t i; !work.failed && (i = node.next.fetch_add(1, std::memory_order_relaxed)) < node.pieces;) {
      work.Check(node, lutra::MatMulPiece(w, node.x->rows, ViewOfY(y), i, node.pieces));
    }
  }
};

Graph::Graph() : work_(new Work) {}
Graph::~Graph() { delete work_; }

ggml_status Graph::Compute(ggml_cgraph* graph) {
  Work& work = *work_;
  work.failed = false;
  work.threads = static_cast<std::size_t>(cpu_.threads());
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    if (Multiplies(ggml_graph_node(graph, i))) work.Replace(ggml_graph_node(graph, i));
  }
  if (!work.nodes.empty()) work.Check(work.nodes.front(), work.Allocate());
  const ggml_status status = work.failed ? GGML_STATUS_FAILED : cpu_.Compute(graph);
  work.Restore();
  return work.failed ? GGML_STATUS_FAILED : status;
}

}  // namespace plugin
