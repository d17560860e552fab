// A node of a graph that multiplies packed weights: a product, a product with experts, or rows of a table.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <deque>

#include "lutra/grouped.h"
#include "lutra/prepare_parts.h"
#include "plugin.h"

namespace plugin {

// Threads that wait for each other. They are all running, so they spin.
class Barrier {
 public:
  void Wait(std::size_t threads);

 private:
  std::atomic<std::size_t> arrived_{0};
  std::atomic<unsigned> turn_{0};
};

// Rows of x in prepared form, for all nodes that multiply them.
struct Prepared {
  const ggml_tensor* x;
  const lutra::PackedMatrix* w;  // of the first of these nodes
  lutra::PrepareOptions options;
  std::size_t size = 0;
  lutra::Buffer* memory = nullptr;
  lutra::Activations rows;  // a view of the memory
};

// The memory of a graph's nodes.
class Workspace {
 public:
  // Finds x as prepared for w among the last few, or adds it: then *added is true.
  lutra::Status Find(const ggml_tensor* x, const Weights& w, Prepared** prepared, bool* added);
  // Gives all their memory. The rows of the last few x are kept; older ones are overwritten, so that a graph needs
  // little memory.
  lutra::Status Allocate();
  void Clear() { prepared_.clear(); }

  lutra::Routing routing;  // of the node that is computed
  lutra::Buffer scratch;   // for each thread

 private:
  static constexpr std::size_t kKept = 2;
  std::deque<Prepared> prepared_;
  std::array<lutra::Buffer, kKept> memory_;
};

// A node, planned before the graph is computed, so that threads meet only once in it: between x and the product.
class Node {
 public:
  explicit Node(ggml_tensor* tensor) : tensor_(tensor) {}
  const ggml_tensor* tensor() const { return tensor_; }

  // Plans the node for at most `threads` threads.
  lutra::Status Plan(std::size_t threads, Workspace* workspace);
  // Makes the tensor a custom operation that calls `run` with `data`; Restore undoes it.
  void Replace(ggml_custom_op_t run, void* data);
  void Restore() const;

  // The work of a thread: Begin, then, if Waits(), a barrier of all threads, then Finish.
  lutra::Status Begin(std::size_t thread, std::size_t threads);
  bool Waits() const { return prepares_ || tensor_op_ == GGML_OP_MUL_MAT_ID; }
  lutra::Status Finish(std::size_t thread, std::size_t threads);

 private:
  const Weights& weights() const { return WeightsOf(tensor_->src[0]); }
  lutra::GroupedProduct Grouped() const;
  lutra::Status Route();
  lutra::Status GetRows(std::size_t thread, std::size_t threads) const;

  ggml_tensor* const tensor_;
  ggml_op tensor_op_ = GGML_OP_NONE;
  decltype(ggml_tensor::op_params) params_ = {};
  Prepared* x_ = nullptr;
  bool prepares_ = false;  // this node is the first that multiplies x
  std::size_t planned_threads_ = 1, pieces_ = 0;
  std::atomic<std::size_t> next_{0};  // the piece that a thread takes next
  std::size_t scratch_size_ = 0;      // experts: of a thread
  Workspace* workspace_ = nullptr;
};

}  // namespace plugin
