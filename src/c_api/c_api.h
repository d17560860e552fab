// The parts that all files of the C API share: handles, checks of pointers, and conversions between C and C++ views.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <utility>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "lutra/lutra_c_checkpoint.h"
#include "lutra/lutra_c_engine.h"
#include "lutra/lutra_c_rows.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace c_api {

// The object behind a handle. Its first word is a tag of its kind, so that a handle of another kind is refused.
template <class T, std::uint64_t kKind>
struct Handle {
  static constexpr std::uint64_t kTag = 0x4c75747261000000u + kKind;  // "Lutra"
  const std::uint64_t tag = kTag;
  T value;
};

}  // namespace c_api
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra

struct lutra_context : lutra::c_api::Handle<std::unique_ptr<lutra::Executor>, 1> {};
struct lutra_quantized : lutra::c_api::Handle<lutra::QuantizedMatrix, 2> {};
struct lutra_packed : lutra::c_api::Handle<lutra::PackedMatrix, 3> {};
struct lutra_activations : lutra::c_api::Handle<lutra::Activations, 4> {};
struct lutra_layout : lutra::c_api::Handle<lutra::PackedLayout, 5> {};

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace c_api {

// --- Checks

// Returns the first error, or ok.
inline Status FirstError(std::initializer_list<Status> checks) {
  for (const Status& status : checks) {
    if (!status.ok()) return status;
  }
  return {};
}

inline Status CheckNotNull(const void* pointer, const char* argument) {
  return pointer != nullptr ? Status() : Status::Invalid(argument, "is null");
}

template <class H>
Status CheckHandle(const H* handle, const char* argument) {
  if (handle == nullptr) return Status::Invalid(argument, "is null");
  std::uint64_t tag;
  std::memcpy(&tag, static_cast<const void*>(handle),
              sizeof(tag));  // H may be the wrong type: reads the first word alone
  return tag == H::kTag ? Status() : Status::Invalid(argument, "is a handle of another kind");
}

// A null context is valid: it stands for the calling thread alone.
inline Status CheckContext(const lutra_context* context) {
  return context == nullptr ? Status() : CheckHandle(context, "context");
}

// --- Handles

// A new Context for each call, so that calls on several threads can share the handle.
inline Context ContextOf(const lutra_context* context) { return {context == nullptr ? nullptr : context->value.get()}; }

// Moves a value into a new handle.
template <class H, class T>
Status Give(T&& value, const char* argument, H** out) {
  H* const handle = new (std::nothrow) H;
  if (handle == nullptr) return Status::OutOfMemory(argument);
  handle->value = std::forward<T>(value);
  *out = handle;
  return {};
}

// Frees the handle and makes it null.
template <class H>
Status Destroy(H** handle, const char* argument) {
  if (handle == nullptr || *handle == nullptr) return {};
  if (const Status status = CheckHandle(*handle, argument); !status.ok()) return status;
  delete *handle;
  *handle = nullptr;
  return {};
}

// --- Conversions. The constants have the same values in both languages: see views.cc.

// A number outside 0 .. 254 becomes 255, which is no enumerator, so that the C++ function refuses it.
template <class Enum>
constexpr Enum FromC(std::int32_t value) {
  constexpr std::int32_t kNoEnumerator = 255;
  return static_cast<Enum>(value >= 0 && value < kNoEnumerator ? value : kNoEnumerator);
}

QuantizedView FromC(const lutra_quantized_view& w);
QuantizeOptions FromC(const lutra_quantize_options& options);
GptqView FromC(const lutra_gptq_view& gptq);
AwqView FromC(const lutra_awq_view& awq);
CheckpointView FromC(const lutra_checkpoint_view& checkpoint);
ActivationView FromC(const lutra_activation_view& x);
OutputView FromC(const lutra_output_view& y);
GgufBlocks FromC(const lutra_gguf_blocks& blocks);
RmsNorm NormOf(const float* weight, float epsilon);
Hadamard HadamardOf(const float* signs, std::size_t block);

lutra_status ToC(const Status& status);
lutra_quantized_view ToC(const QuantizedView& w);

Status OptionsOf(const lutra_layout_options& options, LayoutOptions* layout_options);
// `name`: a target's name, or null for the best target.
Status MakeOptions(const char* name, const lutra_context* context, PackOptions* options);

}  // namespace c_api
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
