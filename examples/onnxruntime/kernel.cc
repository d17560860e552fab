// Reads a node's attributes and constants; multiplies with ONNX Runtime's memory and threads.
#include "kernel.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "for_each.h"
#include "weights.h"

namespace op {
namespace {

[[noreturn]] void Refuse(const std::string& name, const std::string& reason, OrtErrorCode code = ORT_INVALID_ARGUMENT) {
  throw Ort::Exception("lutra.MatMulNBits: " + name + ": " + reason, code);
}
void ThrowIfFailed(const lutra::Status& status) {
  if (!status.ok()) Refuse(status.argument(), status.reason());
}

// --- The node.

// An attribute that is not negative.
std::size_t Attribute(const Ort::ConstKernelInfo& info, const char* name) {
  const auto value = info.GetAttribute<std::int64_t>(name);
  if (value < 0) Refuse(name, "is negative");
  return static_cast<std::size_t>(value);
}

// Whether a node has an optional input.
bool Has(const Ort::ConstKernelInfo& info, Input input) {
  return info.GetInputCount() > input && !info.GetInputName(input).empty();
}

// The elements of a constant, which must have `size` of them.
const void* Constant(const Ort::ConstKernelInfo& info, Input input, const char* name, std::size_t size) {
  int constant = 0;
  const Ort::ConstValue value = info.GetTensorConstantInput(input, &constant);
  if (constant == 0) Refuse(name, "is not a constant: only the weights of an initializer can be packed");
  const std::size_t elements = value.GetTensorTypeAndShapeInfo().GetElementCount();
  if (elements != size) {
    Refuse(name, "has " + std::to_string(elements) + " elements in place of " + std::to_string(size));
  }
  return value.GetTensorRawData();
}

// The attribute accuracy_level; 0 if there is none.
std::int64_t AccuracyLevel(const OrtKernelInfo* info) {
  std::int64_t level = 0;
  const Ort::Status status(Ort::GetApi().KernelInfoGetAttribute_int64(info, "accuracy_level", &level));
  return status.IsOK() ? level : 0;
}

lutra::DataType DataTypeOf(ONNXTensorElementDataType type) {
  return type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 ? lutra::DataType::kF16 : lutra::DataType::kF32;
}
ONNXTensorElementDataType TypeOf(const Ort::ConstKernelInfo& info, Input input) {
  return info.GetInputTypeInfo(input).GetTensorTypeAndShapeInfo().GetElementType();
}

// The view of a node's weights. Checks that the sizes of all tensors match.
NBitsView ViewOf(const Ort::ConstKernelInfo& info) {
  NBitsView w;
  w.m = Attribute(info, "N");
  w.k = Attribute(info, "K");
  w.bits = Attribute(info, "bits");
  w.block = Attribute(info, "block_size");
  constexpr std::size_t kMost = std::size_t{1} << 31;  // so that no size below overflows
  if (w.m == 0 || w.m > kMost) Refuse("N", "is not from 1 to 2^31");
  if (w.k == 0 || w.k > kMost) Refuse("K", "is not from 1 to 2^31");
  if (w.bits < 2 || w.bits > 8) Refuse("bits", "is not from 2 to 8");
  if (w.block < 16 || w.block > 256 || (w.block & (w.block - 1)) != 0) {
    Refuse("block_size", "is not 16, 32, 64, 128 or 256");
  }
  if (Has(info, kGroupIndex)) Refuse("g_idx", "is not supported", ORT_NOT_IMPLEMENTED);

  const std::size_t blocks = w.m * lutra::GroupsPerRow(w.k, w.block);
  const ONNXTensorElementDataType type = TypeOf(info, kA);
  w.type = DataTypeOf(type);
  w.codes = static_cast<const std::uint8_t*>(Constant(info, kB, "B", blocks * BlockBytes(w)));
  w.scales = Constant(info, kScales, "scales", blocks);
  if (Has(info, kZeroPoints)) {
    const ONNXTensorElementDataType zero_type = TypeOf(info, kZeroPoints);
    if (zero_type == type) {
      w.float_zeros = Constant(info, kZeroPoints, "zero_points", blocks);
    } else if (zero_type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8) {
      w.packed_zeros = static_cast<const std::uint8_t*>(Constant(info, kZeroPoints, "zero_points", w.m * ZeroBytes(w)));
    } else {
      Refuse("zero_points", "has neither the type uint8 nor the type of A");
    }
  }
  if (Has(info, kBias)) w.bias = Constant(info, kBias, "bias", w.m);
  return w;
}

// --- A call.

// The threads of the session, for a call of this number of multiplications. The session does not tell how many threads
// it has, so work is split for all processors, unless there is so little that other threads would wake up too late.
class Threads final : public lutra::Executor {
 public:
  Threads(const OrtKernelContext* context, std::size_t multiplications)
      : context_(context), multiplications_(multiplications) {}

  std::size_t Concurrency() const override {
    constexpr std::size_t kFewest = std::size_t{1} << 19;                                     // per thread: 5 to 10 us
    static const std::size_t processors = std::max(1u, std::thread::hardware_concurrency());  // reads a file
    return std::clamp<std::size_t>(multiplications_ / kFewest, 1, processors);
  }
  void ParallelFor(std::size_t count, Task task, void* context) override {
    OrtStatus* const status = Ort::GetApi().KernelContext_ParallelFor(context_, task, count, 0, context);
    if (status == nullptr) return;
    Ort::GetApi().ReleaseStatus(status);  // this ONNX Runtime has no threads for operators
    lutra::SerialExecutor().ParallelFor(count, task, context);
  }

 private:
  const OrtKernelContext* const context_;
  const std::size_t multiplications_;
};

// Memory from the session's allocator, aligned to 64 bytes; freed with this object.
class Scratch {
 public:
  Scratch(const Ort::KernelContext& context, const OrtMemoryInfo& kind, std::size_t size)
      : allocator_(context.GetAllocator(kind)), memory_(allocator_->Alloc(allocator_.get(), size + kAlignment)) {
    if (memory_ == nullptr) Refuse("A", "memory could not be allocated", ORT_FAIL);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { allocator_->Free(allocator_.get(), memory_); }
  void* data() const {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_);
    return static_cast<std::uint8_t*>(memory_) + (kAlignment - address % kAlignment) % kAlignment;
  }

 private:
  static constexpr std::size_t kAlignment = lutra::Buffer::kAlignment;
  struct Release {
    void operator()(OrtAllocator* allocator) const { Ort::GetApi().ReleaseAllocator(allocator); }
  };
  const std::unique_ptr<OrtAllocator, Release> allocator_;
  void* const memory_;
};

}  // namespace

Kernel::Kernel(const OrtKernelInfo* info) {
  const Ort::ConstKernelInfo node(info);
  ThrowIfFailed(PackNBits(ViewOf(node), &w_));
  options_.non_finite = lutra::NonFinite::kPropagate;  // NaN in x gives NaN in y, as other operators do
  // Only level 4 allows x in 8 bits.
  options_.precision = AccuracyLevel(info) == 4 ? lutra::Precision::kInt8 : lutra::Precision::kInt16;
}

void Kernel::Compute(OrtKernelContext* ort) const {
  const Ort::KernelContext context(ort);
  const Ort::ConstValue a = context.GetInput(kA);
  const auto info = a.GetTensorTypeAndShapeInfo();
  std::vector<std::int64_t> shape = info.GetShape();
  if (shape.empty() || shape.back() != static_cast<std::int64_t>(w_.k()))
    Refuse("A", "has another last dimension than K");
  const std::size_t n = info.GetElementCount() / w_.k();
  shape.back() = static_cast<std::int64_t>(w_.m());
  Ort::UnownedValue y = context.GetOutput(0, shape);
  if (n == 0) return;

  const lutra::DataType type = DataTypeOf(info.GetElementType());
  const lutra::ActivationView x_view(a.GetTensorRawData(), type, n, w_.k(), w_.k());
  const lutra::OutputView y_view(y.GetTensorMutableRawData(), type, n, w_.m(), w_.m());
  std::size_t size;
  ThrowIfFailed(lutra::PreparedSize(w_, n, options_, &size));
  const Scratch scratch(context, *memory_, size);
  lutra::Activations x;
  ThrowIfFailed(lutra::ViewActivations(w_, n, options_, scratch.data(), size, &x));

  Threads threads(ort, n * w_.m() * w_.k());
  const std::size_t parts = std::min(n, threads.Concurrency());
  std::vector<lutra::Status> results(parts);
  ForEach(threads, parts, [&](std::size_t part) {
    results[part] = lutra::PreparePart(x_view, w_, options_, part, parts, scratch.data(), size);
  });
  for (const lutra::Status& status : results) ThrowIfFailed(status);
  lutra::Context with{&threads};
  ThrowIfFailed(lutra::MatMul(w_, x, y_view, with));
}

}  // namespace op
