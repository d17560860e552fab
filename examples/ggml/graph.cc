// Computes a graph on ggml's CPU backend. Nodes that multiply packed weights become custom operations of the CPU
// backend for the time of the call, so ggml's threads run Lutra's pieces between its own operations.
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <memory>

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

// The state of a graph while it is computed. Thread 0 of each node calls Lutra, and all threads work on its tasks.
struct Graph::Work {
  // A node of the graph, and its own operation and parameters, which a custom operation replaces.
  struct Node {
    Work* work;
    ggml_tensor* tensor;
    ggml_op op;
    decltype(ggml_tensor::op_params) params;
  };
  // Prepared rows of x, for all nodes that multiply them.
  struct Prepared {
    const ggml_tensor* x = nullptr;
    lutra::Activations rows;
  };

  std::deque<Node> nodes;
  std::array<Prepared, 4> prepared;
  std::size_t next = 0;  // of `prepared`: the oldest
  std::atomic<int> threads{1};
  Barrier barrier;
  std::unique_ptr<lutra::Team> team;
  lutra::Context context;
  bool failed = false;

  // Makes a node a custom operation.
  void Replace(ggml_tensor* tensor) {
    nodes.push_back({this, tensor, tensor->op, {}});
    Node& node = nodes.back();
    std::memcpy(node.params, tensor->op_params, sizeof(node.params));
    // ggml's own function writes the parameters of a custom operation.
    alignas(16) char memory[1024];
    ggml_context* const ggml = ggml_init({sizeof(memory), memory, true});
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
  }

  static void Run(ggml_tensor* /*y*/, int thread, int threads, void* data) {
    Node& node = *static_cast<Node*>(data);
    Work& work = *node.work;
    work.threads.store(threads, std::memory_order_relaxed);
    work.team->Serve(static_cast<std::size_t>(thread), [&] {
      const lutra::Status status = work.Multiply(node.tensor);
      if (status.ok() || work.failed) return;
      work.failed = true;
      Log(GGML_LOG_LEVEL_ERROR, std::string(node.tensor->name) + ": " + status.message());
    });
  }

  lutra::Status Multiply(const ggml_tensor* y) {
    const Weights& w = WeightsOf(y->src[0]);
    if (!w.valid) return lutra::Status::Invalid("w", "was not packed");
    const lutra::Activations* x = nullptr;
    LUTRA_RETURN_IF_ERROR(Prepare(y->src[1], w, &x));
    return lutra::MatMul(w.matrices[0], *x, ViewOfY(y), context);
  }

  // Finds x prepared for w, or prepares it.
  lutra::Status Prepare(const ggml_tensor* x, const Weights& w, const lutra::Activations** rows) {
    for (const Prepared& p : prepared) {
      if (p.x != x || !p.rows.Fits(w.matrices[0]) || p.rows.precision() != w.options.precision) continue;
      *rows = &p.rows;
      return {};
    }
    Prepared& p = prepared[next++ % prepared.size()];
    p.x = nullptr;
    LUTRA_RETURN_IF_ERROR(lutra::Prepare(ViewOfX(x), w.matrices[0], w.options, context, &p.rows));
    p.x = x;
    *rows = &p.rows;
    return {};
  }
};

Graph::Graph() : work_(new Work) {}
Graph::~Graph() { delete work_; }

ggml_status Graph::Compute(ggml_cgraph* graph) {
  Work& work = *work_;
  work.failed = false;
  for (Work::Prepared& p : work.prepared) p.x = nullptr;
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    ggml_tensor* const node = ggml_graph_node(graph, i);
    if (node->src[0] != nullptr && IsPacked(node->src[0]) && node->op != GGML_OP_NONE) work.Replace(node);
  }
  work.team = std::make_unique<lutra::Team>(
      static_cast<std::size_t>(cpu_.threads()),
      [](void* state) {
        auto* const w = static_cast<Work*>(state);
        w->barrier.Wait(w->threads.load(std::memory_order_relaxed));
      },
      &work);
  work.context.executor = work.team.get();
  const ggml_status status = cpu_.Compute(graph);
  work.Restore();
  return work.failed ? GGML_STATUS_FAILED : status;
}

}  // namespace plugin
