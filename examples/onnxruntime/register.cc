// The operator lutra.MatMulNBits, for ONNX Runtime's RegisterCustomOpsLibrary: it has the inputs, attributes and
// results of com.microsoft.MatMulNBits, so a model uses it if its nodes get the domain "lutra".
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>

#include "kernel.h"

namespace op {
namespace {

constexpr const char *kDomain = "lutra", *kStockDomain = "com.microsoft";
constexpr const char* kReplaces = "LUTRA_REPLACES_MATMULNBITS";
constexpr std::uint32_t kFirstApi = 17;  // 1.17 was the first with threads for operators

// Runs what may throw; errors become a status.
template <class Run>
OrtStatus* StatusOf(const Run& run) noexcept {
  try {
    run();
    return nullptr;
  } catch (const Ort::Exception& error) {
    return Ort::GetApi().CreateStatus(error.GetOrtErrorCode(), error.what());
  } catch (const std::exception& error) {
    return Ort::GetApi().CreateStatus(ORT_FAIL, error.what());
  }
}

// A kernel behind ONNX Runtime's functions.
struct KernelWithStatus {
  explicit KernelWithStatus(const OrtKernelInfo* info) : kernel(info) {}
  OrtStatus* ComputeV2(OrtKernelContext* context) {
    return StatusOf([&] { kernel.Compute(context); });
  }
  const Kernel kernel;
};

// The operator for one type of A, scales, bias and Y. To ONNX Runtime, operators of the same name are overloads. There
// is no function that infers shapes: ONNX Runtime 1.21 cannot call one safely if a node leaves out an optional input.
struct MatMulNBits : Ort::CustomOpBase<MatMulNBits, KernelWithStatus, /*WithStatus=*/true> {
  struct Argument {
    ONNXTensorElementDataType type;
    OrtCustomOpInputOutputCharacteristic characteristic;
  };
  static constexpr std::size_t kInputs = kBias + 1;

  explicit MatMulNBits(ONNXTensorElementDataType type_)
      : type(type_),
        inputs{{type, INPUT_OUTPUT_REQUIRED},
               {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, INPUT_OUTPUT_REQUIRED},
               {type, INPUT_OUTPUT_REQUIRED},
               {ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED, INPUT_OUTPUT_OPTIONAL},  // any; Kernel checks it
               {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, INPUT_OUTPUT_OPTIONAL},
               {type, INPUT_OUTPUT_OPTIONAL}} {
    version = kFirstApi;
  }

  const char* GetName() const { return "MatMulNBits"; }
  std::size_t GetInputTypeCount() const { return kInputs; }
  ONNXTensorElementDataType GetInputType(std::size_t i) const { return inputs[i].type; }
  OrtCustomOpInputOutputCharacteristic GetInputCharacteristic(std::size_t i) const { return inputs[i].characteristic; }
  std::size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(std::size_t /*i*/) const { return type; }
  OrtStatus* CreateKernelV2(const OrtApi& /*api*/, const OrtKernelInfo* info, void** kernel) const {
    return StatusOf([&] { *kernel = new KernelWithStatus(info); });
  }

  const ONNXTensorElementDataType type;
  const Argument inputs[kInputs];
};

// A domain that holds the operator.
Ort::CustomOpDomain DomainOf(const char* name) {
  static const MatMulNBits operators[] = {MatMulNBits(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT),
                                          MatMulNBits(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16)};
  Ort::CustomOpDomain domain(name);
  for (const MatMulNBits& each : operators) domain.Add(&each);
  return domain;
}

}  // namespace
}  // namespace op

extern "C" __attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                                                                               const OrtApiBase* base) {
  const OrtApi* const api = base->GetApi(op::kFirstApi);
  if (api == nullptr) return base->GetApi(1)->CreateStatus(ORT_FAIL, "lutra: needs ONNX Runtime 1.17 or newer");
  Ort::InitApi(api);
  return op::StatusOf([&] {
    // Sessions use them as long as this library is loaded.
    static const Ort::CustomOpDomain own = op::DomainOf(op::kDomain), stock = op::DomainOf(op::kStockDomain);
    Ort::ThrowOnError(api->AddCustomOpDomain(options, own));
    if (std::getenv(op::kReplaces) != nullptr) Ort::ThrowOnError(api->AddCustomOpDomain(options, stock));
  });
}
