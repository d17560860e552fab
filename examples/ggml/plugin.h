// The parts of the plug-in: ggml's CPU backend, the buffer type that packs weights, the backend that multiplies them.
#pragma once

#include <string>

#include "ggml-backend-impl.h"
#include "weights.h"

namespace plugin {

// Prints through ggml's log.
void Log(ggml_log_level level, const std::string& text);

// --- cpu.cc: ggml's CPU backend, which computes all operations but products with packed weights.

// ggml's CPU device; null, with a message in the log, if it cannot be found.
ggml_backend_dev_t CpuDevice();

// A CPU backend with threads of its own.
class Cpu {
 public:
  Cpu();
  Cpu(const Cpu&) = delete;
  Cpu& operator=(const Cpu&) = delete;
  ~Cpu();
  bool ok() const { return backend_ != nullptr; }
  int threads() const { return threads_; }
  void SetThreads(int threads) { threads_ = threads; }
  void SetAbortCallback(ggml_abort_callback callback, void* data);
  ggml_status Compute(ggml_cgraph* graph);

 private:
  void UseThreads();
  void FreeThreads();

  ggml_backend_t backend_ = nullptr;
  ggml_threadpool_t pool_ = nullptr;
  int threads_ = GGML_DEFAULT_N_THREADS, pool_threads_ = 0;
};

// --- buffer.cc: memory that holds packed weights.

// The buffer type; its device is `device`.
ggml_backend_buffer_type_t BufferType(ggml_backend_dev_t device);
// Whether tensors of this type and shape can be packed.
bool CanPack(const ggml_tensor* tensor);
// Whether the tensor is in a buffer of BufferType.
bool IsPacked(const ggml_tensor* tensor);
// What tensors in such a buffer hold.
inline const Weights& WeightsOf(const ggml_tensor* tensor) { return *static_cast<const Weights*>(tensor->extra); }

// --- node.cc, graph.cc: the operations with packed weights.

// Whether Graph computes `op`, whose first source may be packed.
bool Multiplies(const ggml_tensor* op);

// Computes graphs over a CPU backend, whose threads run Lutra's products, too.
class Graph {
 public:
  Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();
  Cpu& cpu() { return cpu_; }
  ggml_status Compute(ggml_cgraph* graph);

 private:
  struct Work;
  Cpu cpu_;
  Work* work_;
};

}  // namespace plugin
