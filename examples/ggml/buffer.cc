// The buffer type that packs weights into the memory that ggml allocates for them.
#include <algorithm>
#include <deque>
#include <mutex>

#include "plugin.h"

namespace plugin {
namespace {

// What one buffer holds. ggml passes it to the functions below.
struct Memory {
  lutra::Buffer bytes;
  std::mutex mutex;             // of weights: ggml may load tensors on several threads
  std::deque<Weights> weights;  // of its tensors
};

// --- The functions of a buffer.

void Free(ggml_backend_buffer_t buffer) { delete static_cast<Memory*>(buffer->context); }
void* Base(ggml_backend_buffer_t buffer) { return static_cast<Memory*>(buffer->context)->bytes.data(); }

ggml_status InitTensor(ggml_backend_buffer_t buffer, ggml_tensor* tensor) {
  if (tensor->view_src != nullptr) {  // a view of a part
    tensor->extra = tensor->view_src->extra;
    return GGML_STATUS_SUCCESS;
  }
  auto* const memory = static_cast<Memory*>(buffer->context);
  const std::lock_guard<std::mutex> lock(memory->mutex);
  tensor->extra = &memory->weights.emplace_back(tensor);
  return GGML_STATUS_SUCCESS;
}

void LogError(const char* name, const lutra::Status& status) {
  if (!status.ok()) Log(GGML_LOG_LEVEL_ERROR, std::string(name) + ": " + status.message());
}

// The whole tensor that a tensor is, or is a view of, and the place of a byte of the view in it.
Weights& Whole(const ggml_tensor* tensor) { return *static_cast<Weights*>(tensor->extra); }
std::size_t InWhole(const ggml_tensor* tensor, std::size_t offset) {
  return tensor->view_src != nullptr ? tensor->view_offs + offset : offset;
}

void MemsetTensor(ggml_backend_buffer_t /*buffer*/, ggml_tensor* tensor, std::uint8_t value, std::size_t offset,
                  std::size_t size) {
  LogError(tensor->name, Whole(tensor).Fill(value, InWhole(tensor, offset), size));
}

void SetTensor(ggml_backend_buffer_t /*buffer*/, ggml_tensor* tensor, const void* data, std::size_t offset,
               std::size_t size) {
  LogError(tensor->name, Whole(tensor).Write(data, InWhole(tensor, offset), size));
}

void GetTensor(ggml_backend_buffer_t /*buffer*/, const ggml_tensor* tensor, void* data, std::size_t offset,
               std::size_t size) {
  LogError(tensor->name, Whole(tensor).Read(InWhole(tensor, offset), size, data));
}

void Clear(ggml_backend_buffer_t buffer, std::uint8_t value) {
  auto* const memory = static_cast<Memory*>(buffer->context);
  const std::lock_guard<std::mutex> lock(memory->mutex);
  for (Weights& weights : memory->weights) LogError("clear", weights.Fill(value, 0, weights.bytes()));
}

// --- The functions of the buffer type.

const char* Name(ggml_backend_buffer_type_t /*type*/) { return "Lutra"; }
std::size_t Alignment(ggml_backend_buffer_type_t /*type*/) { return lutra::PackedLayout::kAlignment; }

std::size_t AllocSize(ggml_backend_buffer_type_t /*type*/, const ggml_tensor* tensor) {
  lutra::PackedLayout layout;
  return Weights::LayoutOf(tensor, &layout).ok() ? layout.bytes() : ggml_nbytes(tensor);
}

ggml_backend_buffer_t Allocate(ggml_backend_buffer_type_t type, std::size_t size) {
  auto* const memory = new Memory;
  if (!memory->bytes.Reserve(std::max<std::size_t>(size, 1))) {
    delete memory;
    return nullptr;
  }
  ggml_backend_buffer_i functions = {};
  functions.free_buffer = Free;
  functions.get_base = Base;
  functions.init_tensor = InitTensor;
  functions.memset_tensor = MemsetTensor;
  functions.set_tensor = SetTensor;
  functions.get_tensor = GetTensor;
  functions.clear = Clear;
  return ggml_backend_buffer_init(type, functions, memory, size);
}

}  // namespace

ggml_backend_buffer_type_t BufferType(ggml_backend_dev_t device) {
  static ggml_backend_buffer_type type = [device] {
    ggml_backend_buffer_type made = {};
    made.iface.get_name = Name;
    made.iface.alloc_buffer = Allocate;
    made.iface.get_alignment = Alignment;
    made.iface.get_alloc_size = AllocSize;
    made.device = device;
    return made;
  }();
  return &type;
}

bool IsPacked(const ggml_tensor* tensor) {
  ggml_backend_buffer_t buffer = tensor->view_src != nullptr ? tensor->view_src->buffer : tensor->buffer;
  return buffer != nullptr && buffer->buft->iface.get_name == Name;
}

bool CanPack(const ggml_tensor* tensor) {
  lutra::PackedLayout layout;
  return ggml_is_quantized(tensor->type) && ggml_is_contiguous(tensor) && Weights::LayoutOf(tensor, &layout).ok();
}

}  // namespace plugin
