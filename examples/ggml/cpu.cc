// Finds ggml's CPU backend in the running program, and gives it threads.
#include <dlfcn.h>
#include <link.h>

#include <cstring>

#include "ggml-cpu.h"
#include "plugin.h"

namespace plugin {
namespace {

// libggml, which lists the devices, has a version in its name; so the plug-in does not link it but looks it up: among
// the program's global symbols, else in the libraries that are loaded.
using ByType = ggml_backend_dev_t (*)(enum ggml_backend_dev_type type);
ByType FindByType() {
  static constexpr char kName[] = "ggml_backend_dev_by_type";
  void* symbol = dlsym(RTLD_DEFAULT, kName);
  if (symbol != nullptr) return reinterpret_cast<ByType>(symbol);
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* found) {
        if (std::strstr(info->dlpi_name, "libggml") == nullptr) return 0;
        void* const library = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
        if (library == nullptr) return 0;
        void* const candidate = dlsym(library, kName);
        dlclose(library);  // it stays loaded
        *static_cast<void**>(found) = candidate;
        return candidate != nullptr ? 1 : 0;
      },
      &symbol);
  return reinterpret_cast<ByType>(symbol);
}

// A function that ggml's CPU backend offers by name.
template <class Function>
Function FindFunction(const char* name) {
  ggml_backend_dev_t const device = CpuDevice();
  if (device == nullptr) return nullptr;
  return reinterpret_cast<Function>(ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), name));
}

}  // namespace

void Log(ggml_log_level level, const std::string& text) {
  ggml_log_callback callback = nullptr;
  void* data = nullptr;
  ggml_log_get(&callback, &data);
  if (callback != nullptr) callback(level, ("lutra: " + text + "\n").c_str(), data);
}

ggml_backend_dev_t CpuDevice() {
  static ggml_backend_dev_t const device = [] {
    const ByType by_type = FindByType();
    ggml_backend_dev_t const found = by_type == nullptr ? nullptr : by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (found == nullptr) Log(GGML_LOG_LEVEL_ERROR, "ggml's CPU backend is not loaded; load it before this one");
    return found;
  }();
  return device;
}

Cpu::Cpu() {
  if (CpuDevice() != nullptr) backend_ = ggml_backend_dev_init(CpuDevice(), nullptr);
}

Cpu::~Cpu() {
  FreeThreads();
  if (backend_ != nullptr) ggml_backend_free(backend_);
}

void Cpu::FreeThreads() {
  static const auto free = FindFunction<decltype(&ggml_threadpool_free)>("ggml_threadpool_free");
  if (pool_ != nullptr) free(pool_);
  pool_ = nullptr;
}

// Threads are started by the first graph that needs more of them. Without a pool, ggml would start them for each graph.
void Cpu::UseThreads() {
  static const auto create = FindFunction<decltype(&ggml_threadpool_new)>("ggml_threadpool_new");
  static const auto set_pool =
      FindFunction<decltype(&ggml_backend_cpu_set_threadpool)>("ggml_backend_cpu_set_threadpool");
  static const auto set_threads = FindFunction<ggml_backend_set_n_threads_t>("ggml_backend_set_n_threads");
  if (threads_ > pool_threads_ && create != nullptr && set_pool != nullptr) {
    set_pool(backend_, nullptr);
    FreeThreads();
    ggml_threadpool_params params = ggml_threadpool_params_default(threads_);
    pool_ = create(&params);
    pool_threads_ = threads_;
    set_pool(backend_, pool_);
  }
  if (set_threads != nullptr) set_threads(backend_, threads_);
}

void Cpu::SetAbortCallback(ggml_abort_callback callback, void* data) {
  static const auto set = FindFunction<ggml_backend_set_abort_callback_t>("ggml_backend_set_abort_callback");
  if (set != nullptr) set(backend_, callback, data);
}

ggml_status Cpu::Compute(ggml_cgraph* graph) {
  UseThreads();
  return ggml_backend_graph_compute(backend_, graph);
}

}  // namespace plugin
