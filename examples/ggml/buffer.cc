// The buffer type that packs weights into the memory that ggml allocates for them.
#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

#include "plugin.h"

namespace plugin {
namespace {

// What one buffer holds. ggml passes it to the functions below.
struct Memory {
  lutra::Buffer bytes;
  std::mutex mutex;             // of weights: ggml may load tensors on several threads
  std::deque<Weights> weights;  // of its tensors
};

// The layout of a tensor: the matrices of a third dimension are experts.
lutra::Status LayoutOf(const ggml_tensor* tensor, lutra::PackedLayout* layout) {
  if (tensor->ne[3] != 1) return lutra::Status::Unsupported("tensor", "has four dimensions");
  lutra::LayoutOptions options;
  options.count = static_cast<std::size_t>(tensor->ne[2]);
  return lutra::LayoutOfGguf(tensor->type, static_cast<std::size_t>(tensor->ne[1]),
                             static_cast<std::size_t>(tensor->ne[0]), options, layout);
}

// Packs all panels over the machine's threads, which start for it, as a tensor takes milliseconds.
lutra::Status PackAll(const lutra::PackedLayout& layout, const lutra::GgufBlocks& blocks, void* memory) {
  constexpr std::size_t kPanels = 4;  // at a time
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  lutra::Status result;
  const auto work = [&] {
    for (std::size_t first; (first = next.fetch_add(kPanels)) < layout.panels();) {
      const lutra::Status status =
          lutra::PackPanels(layout, blocks, first, std::min(first + kPanels, layout.panels()), memory, layout.bytes());
      if (status.ok()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      result = status;
    }
  };
  std::vector<std::thread> threads;
  const std::size_t most = std::min<std::size_t>(std::thread::hardware_concurrency(), layout.panels() / kPanels);
  for (std::size_t i = 1; i < most; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  return result;
}

// How x is prepared for a matrix. NaN flows on, as in ggml. Lookups err alike for weights of zero and others; where
// most weights are zero, 8 bits err more than ggml does, so such matrices take 16.
lutra::PrepareOptions OptionsFor(const lutra::PackedMatrix& w) {
  lutra::PrepareOptions options;
  options.non_finite = lutra::NonFinite::kPropagate;
  if (w.format() != lutra::Format::kTernary || w.m() == 0) return options;
  std::vector<std::int32_t> rows(std::min<std::size_t>(w.m(), 8));
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int32_t>(i);
  std::vector<float> values(rows.size() * w.k());
  if (!lutra::DequantizeRows(w, rows.data(), rows.size(), values.data(), w.k()).ok()) return options;
  const auto zeros = static_cast<std::size_t>(std::count(values.begin(), values.end(), 0.0f));
  if (2 * zeros > values.size()) options.precision = lutra::Precision::kInt16;
  return options;
}

// --- The functions of a buffer.

void Free(ggml_backend_buffer_t buffer) { delete static_cast<Memory*>(buffer->context); }
void* Base(ggml_backend_buffer_t buffer) { return static_cast<Memory*>(buffer->context)->bytes.data(); }

ggml_status InitTensor(ggml_backend_buffer_t buffer, ggml_tensor* tensor) {
  if (tensor->view_src != nullptr) {  // a view of the whole
    tensor->extra = tensor->view_src->extra;
    return GGML_STATUS_SUCCESS;
  }
  auto* const memory = static_cast<Memory*>(buffer->context);
  const std::lock_guard<std::mutex> lock(memory->mutex);
  memory->weights.emplace_back();
  tensor->extra = &memory->weights.back();
  return GGML_STATUS_SUCCESS;
}

void SetTensor(ggml_backend_buffer_t /*buffer*/, ggml_tensor* tensor, const void* data, std::size_t offset,
               std::size_t size) {
  auto* const weights = static_cast<Weights*>(tensor->extra);
  lutra::Status status;
  if (offset != 0 || size != ggml_nbytes(tensor)) {
    status = lutra::Status::Unsupported("data", "is a part of a tensor");
  } else {
    lutra::PackedLayout layout;
    status = LayoutOf(tensor, &layout);
    if (status.ok()) status = PackAll(layout, {static_cast<std::uint32_t>(tensor->type), data, size}, tensor->data);
    weights->matrices.resize(layout.count());
    for (std::size_t i = 0; i < layout.count() && status.ok(); ++i) {
      status = lutra::View(layout, tensor->data, layout.bytes(), i, &weights->matrices[i]);
    }
  }
  weights->valid = status.ok();
  if (status.ok()) weights->options = OptionsFor(weights->matrices[0]);
  if (!status.ok()) Log(GGML_LOG_LEVEL_ERROR, std::string(tensor->name) + ": " + status.message());
}

void Clear(ggml_backend_buffer_t buffer, std::uint8_t value) {
  lutra::Buffer& bytes = static_cast<Memory*>(buffer->context)->bytes;
  std::fill_n(bytes.data(), bytes.size(), value);
}

// --- The functions of the buffer type.

const char* Name(ggml_backend_buffer_type_t /*type*/) { return "Lutra"; }
std::size_t Alignment(ggml_backend_buffer_type_t /*type*/) { return lutra::PackedLayout::kAlignment; }

std::size_t AllocSize(ggml_backend_buffer_type_t /*type*/, const ggml_tensor* tensor) {
  lutra::PackedLayout layout;
  return LayoutOf(tensor, &layout).ok() ? layout.bytes() : ggml_nbytes(tensor);
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
  functions.set_tensor = SetTensor;
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
  ggml_backend_buffer_t const buffer = tensor->view_src != nullptr ? tensor->view_src->buffer : tensor->buffer;
  return buffer != nullptr && buffer->buft->iface.get_name == Name;
}

bool CanPack(const ggml_tensor* tensor) {
  lutra::PackedLayout layout;
  return ggml_is_quantized(tensor->type) && ggml_is_contiguous(tensor) && LayoutOf(tensor, &layout).ok();
}

}  // namespace plugin
