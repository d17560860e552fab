// A ggml backend that multiplies with Lutra: GGML_BACKEND_PATH=libggml-lutra.so in the environment of any program that
// loads ggml's backends.
//
// It has two devices. ggml lists the first one, an accelerator whose buffer type packs weights. The backend that it
// makes belongs to the second one, whose buffer type is the CPU's: so ggml keeps all other tensors in plain memory, and
// copies nothing. The second device takes every operation that the CPU takes. Thus a graph is not split, and one pool
// of threads computes all of it (graph.cc).
#include "plugin.h"

#include <cstring>

namespace plugin {
namespace {

extern ggml_backend_device listed, computing;

bool Supports(const ggml_tensor* op) {
  for (const ggml_tensor* source : op->src) {
    if (source != nullptr && IsPacked(source)) return Multiplies(op);
  }
  return CpuDevice() != nullptr && ggml_backend_dev_supports_op(CpuDevice(), op);
}

// --- The backend.

const char* NameOfBackend(ggml_backend_t /*backend*/) { return "Lutra"; }
void FreeBackend(ggml_backend_t backend) {
  delete static_cast<Graph*>(backend->context);
  delete backend;
}
ggml_status ComputeGraph(ggml_backend_t backend, ggml_cgraph* graph) {
  return static_cast<Graph*>(backend->context)->Compute(graph);
}

ggml_backend_t MakeBackend(ggml_backend_dev_t /*device*/, const char* /*params*/) {
  static ggml_guid guid = {'l', 'u', 't', 'r', 'a', 0x4e, 0x1d, 0x8a, 0x92, 0x6b, 0x0f, 0xc3, 0x57, 0x21, 0xd8, 0x30};
  auto* const graph = new Graph;
  if (!graph->cpu().ok()) {
    delete graph;
    return nullptr;
  }
  auto* const backend = new ggml_backend{};
  backend->guid = &guid;
  backend->iface.get_name = NameOfBackend;
  backend->iface.free = FreeBackend;
  backend->iface.graph_compute = ComputeGraph;
  backend->device = &computing;
  backend->context = graph;
  return backend;
}

// --- The devices.

const char* NameOfDevice(ggml_backend_dev_t /*device*/) { return "Lutra"; }
const char* Description(ggml_backend_dev_t /*device*/) { return "low-bit matrix products on the CPU"; }
void Memory(ggml_backend_dev_t /*device*/, std::size_t* free, std::size_t* total) { *free = *total = 0; }
enum ggml_backend_dev_type Type(ggml_backend_dev_t /*device*/) { return GGML_BACKEND_DEVICE_TYPE_ACCEL; }
void Properties(ggml_backend_dev_t device, ggml_backend_dev_props* properties) {
  *properties = {};
  properties->name = NameOfDevice(device);
  properties->description = Description(device);
  properties->type = Type(device);
}
ggml_backend_buffer_type_t ListedBufferType(ggml_backend_dev_t device) { return BufferType(device); }
ggml_backend_buffer_type_t PlainBufferType(ggml_backend_dev_t /*device*/) { return ggml_backend_cpu_buffer_type(); }
bool SupportsOp(ggml_backend_dev_t /*device*/, const ggml_tensor* op) { return Supports(op); }
bool SupportsBufferType(ggml_backend_dev_t /*device*/, ggml_backend_buffer_type_t type) {
  return type == BufferType(&listed) || ggml_backend_buft_is_host(type);
}

const char* NameOfRegistry(ggml_backend_reg_t /*registry*/) { return "Lutra"; }
std::size_t DeviceCount(ggml_backend_reg_t /*registry*/) { return 1; }
ggml_backend_dev_t Device(ggml_backend_reg_t /*registry*/, std::size_t /*index*/) { return &listed; }

void SetThreads(ggml_backend_t backend, int threads) {
  static_cast<Graph*>(backend->context)->cpu().SetThreads(threads);
}
void SetAbortCallback(ggml_backend_t backend, ggml_abort_callback callback, void* data) {
  static_cast<Graph*>(backend->context)->cpu().SetAbortCallback(callback, data);
}
void* FindFunction(ggml_backend_reg_t /*registry*/, const char* name) {
  if (std::strcmp(name, "ggml_backend_set_n_threads") == 0) return reinterpret_cast<void*>(SetThreads);
  if (std::strcmp(name, "ggml_backend_set_abort_callback") == 0) return reinterpret_cast<void*>(SetAbortCallback);
  return nullptr;
}

ggml_backend_reg registry = {GGML_BACKEND_API_VERSION, {NameOfRegistry, DeviceCount, Device, FindFunction}, nullptr};

ggml_backend_device_i InterfaceWith(ggml_backend_buffer_type_t (*buffer_type)(ggml_backend_dev_t)) {
  ggml_backend_device_i functions = {};
  functions.get_name = NameOfDevice;
  functions.get_description = Description;
  functions.get_memory = Memory;
  functions.get_type = Type;
  functions.get_props = Properties;
  functions.init_backend = MakeBackend;
  functions.get_buffer_type = buffer_type;
  functions.supports_op = SupportsOp;
  functions.supports_buft = SupportsBufferType;
  return functions;
}

ggml_backend_device listed = {InterfaceWith(ListedBufferType), &registry, nullptr};
ggml_backend_device computing = {InterfaceWith(PlainBufferType), &registry, nullptr};

}  // namespace
}  // namespace plugin

// ggml calls this when it loads the library. If its interface has another version, it says so and unloads the library.
extern "C" __attribute__((visibility("default"))) ggml_backend_reg_t ggml_backend_init(void) {
  return &plugin::registry;
}
