// The C API over the C++ one: handles, views and constants of one as those of the other; nothing is computed here.
#include "lutra/lutra_c.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <thread>
#include <utility>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"

namespace {

using lutra::Status;

// --- Handles

// The first word of what a handle points to says what it is. It is cleared before the memory is freed.
template <class T, std::uint64_t kKind>
struct Handle {
  static constexpr std::uint64_t kTag = 0x4c75747261000000u + kKind;  // "Lutra"
  std::uint64_t tag = kTag;
  T value;
};

}  // namespace

// Null: serial. The pool of threads is in the library, though Lutra starts none unless it is asked to: it is a header
// anyway, languages without a pool of their own (Python) need one, and in a static library nobody links it who does not
// use the C API. All it needs besides is Threads::Threads, which is empty since glibc 2.34.
struct lutra_context : Handle<std::unique_ptr<lutra::Executor>, 1> {};
struct lutra_quantized : Handle<lutra::QuantizedMatrix, 2> {};
struct lutra_packed : Handle<lutra::PackedMatrix, 3> {};
struct lutra_activations : Handle<lutra::Activations, 4> {};

namespace {

// The first of some checks that fails.
Status FirstError(std::initializer_list<Status> checks) {
  for (const Status& status : checks) {
    if (!status.ok()) return status;
  }
  return {};
}

Status CheckNotNull(const void* pointer, const char* argument) {
  return pointer != nullptr ? Status() : Status::Invalid(argument, "is null");
}

template <class H>
Status CheckHandle(const H* handle, const char* argument) {
  if (handle == nullptr) return Status::Invalid(argument, "is null");
  std::uint64_t tag;
  std::memcpy(&tag, static_cast<const void*>(handle), sizeof(tag));  // whatever it is
  return tag == H::kTag ? Status() : Status::Invalid(argument, "is a handle of another kind, or destroyed");
}

Status CheckContext(const lutra_context* context) {
  return context == nullptr ? Status() : CheckHandle(context, "context");
}

// What a call may use. Made anew for each, so that callers can share the handle.
lutra::Context ContextOf(const lutra_context* context) { return {context == nullptr ? nullptr : context->value.get()}; }

// Hands a value out as a handle.
template <class H, class T>
Status Give(T&& value, const char* argument, H** out) {
  H* const handle = new (std::nothrow) H;
  if (handle == nullptr) return Status::OutOfMemory(argument);
  handle->value = std::forward<T>(value);
  *out = handle;
  return {};
}

template <class H>
Status Destroy(H** handle, const char* argument) {
  if (handle == nullptr || *handle == nullptr) return {};
  if (const Status status = CheckHandle(*handle, argument); !status.ok()) return status;
  // A compiler may drop a plain store to memory that is freed next.
  const_cast<volatile std::uint64_t&>((*handle)->tag) = 0;
  delete *handle;
  *handle = nullptr;
  return {};
}

// --- Constants. C does not know all values of a C++ enum unless these compile.

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wswitch"

constexpr std::int32_t kNone = -1;

constexpr lutra_status_code ToC(lutra::StatusCode code) {
  switch (code) {
    case lutra::StatusCode::kOk:
      return LUTRA_OK;
    case lutra::StatusCode::kInvalidArgument:
      return LUTRA_INVALID_ARGUMENT;
    case lutra::StatusCode::kUnsupported:
      return LUTRA_UNSUPPORTED;
    case lutra::StatusCode::kOutOfMemory:
      return LUTRA_OUT_OF_MEMORY;
    case lutra::StatusCode::kIo:
      return LUTRA_IO;
  }
  return kNone;
}

constexpr lutra_format ToC(lutra::Format format) {
  switch (format) {
    case lutra::Format::kInt1:
      return LUTRA_FORMAT_INT1;
    case lutra::Format::kInt2:
      return LUTRA_FORMAT_INT2;
    case lutra::Format::kInt3:
      return LUTRA_FORMAT_INT3;
    case lutra::Format::kInt4:
      return LUTRA_FORMAT_INT4;
    case lutra::Format::kTernary:
      return LUTRA_FORMAT_TERNARY;
    case lutra::Format::kIq4nl:
      return LUTRA_FORMAT_IQ4NL;
    case lutra::Format::kFp4:
      return LUTRA_FORMAT_FP4;
  }
  return kNone;
}

constexpr lutra_data_type ToC(lutra::DataType type) {
  switch (type) {
    case lutra::DataType::kF32:
      return LUTRA_TYPE_F32;
    case lutra::DataType::kF16:
      return LUTRA_TYPE_F16;
    case lutra::DataType::kBF16:
      return LUTRA_TYPE_BF16;
    case lutra::DataType::kInt8:
      return LUTRA_TYPE_INT8;
    case lutra::DataType::kUInt4:
      return LUTRA_TYPE_UINT4;
    case lutra::DataType::kUInt8:
      return LUTRA_TYPE_UINT8;
    case lutra::DataType::kE8M0:
      return LUTRA_TYPE_E8M0;
  }
  return kNone;
}

constexpr lutra_zero_kind ToC(lutra::ZeroKind kind) {
  switch (kind) {
    case lutra::ZeroKind::kNone:
      return LUTRA_ZERO_NONE;
    case lutra::ZeroKind::kInteger:
      return LUTRA_ZERO_INTEGER;
    case lutra::ZeroKind::kFloat:
      return LUTRA_ZERO_FLOAT;
    case lutra::ZeroKind::kOffset:
      return LUTRA_ZERO_OFFSET;
    case lutra::ZeroKind::kUInt4:
      return LUTRA_ZERO_UINT4;
  }
  return kNone;
}

constexpr lutra_precision ToC(lutra::Precision precision) {
  switch (precision) {
    case lutra::Precision::kInt8:
      return LUTRA_PRECISION_INT8;
    case lutra::Precision::kInt16:
      return LUTRA_PRECISION_INT16;
  }
  return kNone;
}

constexpr lutra_loaded ToC(lutra::Loaded loaded) {
  switch (loaded) {
    case lutra::Loaded::kInPlace:
      return LUTRA_LOADED_IN_PLACE;
    case lutra::Loaded::kCopied:
      return LUTRA_LOADED_COPIED;
    case lutra::Loaded::kRepacked:
      return LUTRA_LOADED_REPACKED;
  }
  return kNone;
}

constexpr lutra_gptq_zeros ToC(lutra::GptqZeros zeros) {
  switch (zeros) {
    case lutra::GptqZeros::kMinusOne:
      return LUTRA_GPTQ_ZEROS_MINUS_ONE;
    case lutra::GptqZeros::kAsStored:
      return LUTRA_GPTQ_ZEROS_AS_STORED;
  }
  return kNone;
}

#pragma GCC diagnostic pop

// Constants have the same values in both languages, and kNoEnum is none of them.
constexpr std::int32_t kNoEnum = 255;
template <class Enum>
constexpr bool SameValues() {
  for (std::int32_t value = 0; value < kNoEnum; ++value) {
    const std::int32_t c = ToC(static_cast<Enum>(value));
    if (c != kNone && c != value) return false;
  }
  return ToC(static_cast<Enum>(kNoEnum)) == kNone;
}
static_assert(SameValues<lutra::StatusCode>() && SameValues<lutra::Format>() && SameValues<lutra::DataType>() &&
              SameValues<lutra::ZeroKind>() && SameValues<lutra::Precision>() && SameValues<lutra::Loaded>() &&
              SameValues<lutra::GptqZeros>());
static_assert(LUTRA_PER_ROW == lutra::kPerRow && LUTRA_PER_MATRIX == lutra::kPerMatrix);

// A number that is no value of the enum stays none: the C++ function refuses it.
template <class Enum>
constexpr Enum FromC(std::int32_t value) {
  return static_cast<Enum>(value >= 0 && value < kNoEnum ? value : kNoEnum);
}

lutra_status ToC(const Status& status) { return {ToC(status.code()), status.argument(), status.reason()}; }

// --- Views. Each names all fields of the C++ view: one that is added there does not compile here.

lutra::QuantizedView FromC(const lutra_quantized_view& w) {
  lutra::QuantizedView view;
  auto& [format, m, k, codes, code_stride, group, scales, scale_type, zero_kind, zeros, super_scales, super_offsets,
         bias, order] = view;
  format = FromC<lutra::Format>(w.format);
  m = w.m;
  k = w.k;
  codes = w.codes;
  code_stride = w.code_stride;
  group = w.group;
  scales = w.scales;
  scale_type = FromC<lutra::DataType>(w.scale_type);
  zero_kind = FromC<lutra::ZeroKind>(w.zero_kind);
  zeros = w.zeros;
  super_scales = w.super_scales;
  super_offsets = w.super_offsets;
  bias = w.bias;
  order = w.order;
  return view;
}

lutra_quantized_view ToC(const lutra::QuantizedView& w) {
  const auto& [format, m, k, codes, code_stride, group, scales, scale_type, zero_kind, zeros, super_scales,
               super_offsets, bias, order] = w;
  lutra_quantized_view view = {};
  view.format = ToC(format);
  view.m = m;
  view.k = k;
  view.codes = codes;
  view.code_stride = code_stride;
  view.group = group;
  view.scales = scales;
  view.scale_type = ToC(scale_type);
  view.zero_kind = ToC(zero_kind);
  view.zeros = zeros;
  view.super_scales = super_scales;
  view.super_offsets = super_offsets;
  view.bias = bias;
  view.order = order;
  return view;
}

lutra::QuantizeOptions FromC(const lutra_quantize_options& o) {
  lutra::QuantizeOptions options;
  auto& [format, group, scale_type, zero_kind] = options;
  format = FromC<lutra::Format>(o.format);
  group = o.group;
  scale_type = FromC<lutra::DataType>(o.scale_type);
  zero_kind = FromC<lutra::ZeroKind>(o.zero_kind);
  return options;
}

lutra::GptqView FromC(const lutra_gptq_view& g) {
  lutra::GptqView view;
  auto& [bits, m, k, group_size, qweight, qzeros, scales, g_idx, zeros] = view;
  bits = g.bits;
  m = g.m;
  k = g.k;
  group_size = g.group_size;
  qweight = {g.qweight, g.qweight_size};
  qzeros = {g.qzeros, g.qzeros_size};
  scales = {g.scales, g.scales_size};
  g_idx = {g.g_idx, g.g_idx_size};
  zeros = FromC<lutra::GptqZeros>(g.zeros);
  return view;
}

lutra::AwqView FromC(const lutra_awq_view& a) {
  lutra::AwqView view;
  auto& [m, k, group_size, qweight, qzeros, scales] = view;
  m = a.m;
  k = a.k;
  group_size = a.group_size;
  qweight = {a.qweight, a.qweight_size};
  qzeros = {a.qzeros, a.qzeros_size};
  scales = {a.scales, a.scales_size};
  return view;
}

lutra::RmsNorm NormOf(const float* weight_, float epsilon_) {
  lutra::RmsNorm norm;
  auto& [weight, epsilon] = norm;
  weight = weight_;
  epsilon = epsilon_;
  return norm;
}

lutra::ActivationView FromC(const lutra_activation_view& x) {
  lutra::ActivationView view;
  auto& [data, type, n, k, row_stride, scales, scale_group] = view;
  data = x.data;
  type = FromC<lutra::DataType>(x.type);
  n = x.n;
  k = x.k;
  row_stride = x.row_stride;
  scales = x.scales;
  scale_group = x.scale_group;
  return view;
}

lutra::OutputView FromC(const lutra_output_view& y) {
  lutra::OutputView view;
  auto& [data, type, n, m, row_stride] = view;
  data = y.data;
  type = FromC<lutra::DataType>(y.type);
  n = y.n;
  m = y.m;
  row_stride = y.row_stride;
  return view;
}

Status MakeOptions(const char* name, const lutra_context* context, lutra::PackOptions* options) {
  if (const Status status = CheckContext(context); !status.ok()) return status;
  auto& [target, executor] = *options;
  target = lutra::FindTarget(name);
  if (name != nullptr && target == nullptr) return Status::Unsupported("target", "does not run here, or is none");
  executor = ContextOf(context).executor;
  return {};
}

// --- Threads

class CallbackExecutor final : public lutra::Executor {
 public:
  explicit CallbackExecutor(const lutra_executor& executor) : executor_(executor) {}
  std::size_t Concurrency() const override { return executor_.concurrency; }
  void ParallelFor(std::size_t count, Task task, void* context) override {
    executor_.parallel_for(executor_.state, count, task, context);
  }

 private:
  const lutra_executor executor_;
};

// Null: memory was short.
Status GiveContext(std::unique_ptr<lutra::Executor> executor, lutra_context** context) {
  if (executor == nullptr) return Status::OutOfMemory("context");
  return Give(std::move(executor), "context", context);
}

}  // namespace

// --- Status, version, targets

size_t lutra_status_message(lutra_status status, char* buffer, size_t size) noexcept {
  if (buffer == nullptr) size = 0;
  const auto text = [](const char* t) { return t != nullptr ? t : ""; };
  const int length = status.code == LUTRA_OK
                         ? std::snprintf(buffer, size, "ok")
                         : std::snprintf(buffer, size, "%s: %s", text(status.argument), text(status.reason));
  return length < 0 ? 0 : static_cast<size_t>(length);
}

#define LUTRA_TEXT_OF(number) #number
#define LUTRA_VERSION_OF(major, minor, patch) LUTRA_TEXT_OF(major) "." LUTRA_TEXT_OF(minor) "." LUTRA_TEXT_OF(patch)
const char* lutra_version() noexcept {
  return LUTRA_VERSION_OF(LUTRA_VERSION_MAJOR, LUTRA_VERSION_MINOR, LUTRA_VERSION_PATCH);
}

size_t lutra_target_count() noexcept { return lutra::RunnableTargets().size; }

const char* lutra_target_name(size_t index) noexcept {
  const lutra::TargetList targets = lutra::RunnableTargets();
  return index < targets.size ? lutra::TargetName(targets.data[index]) : nullptr;
}

bool lutra_target_exists(const char* name) noexcept { return lutra::FindTarget(name) != nullptr; }

// --- Threads

lutra_status lutra_context_create(size_t threads, lutra_context** context) noexcept {
  Status status = CheckNotNull(context, "context");
  if (threads > LUTRA_MAX_THREADS) status = Status::Invalid("threads", "is above LUTRA_MAX_THREADS");
  if (!status.ok()) return ToC(status);
  if (threads == 0) threads = std::thread::hardware_concurrency();
  return ToC(GiveContext(std::unique_ptr<lutra::Executor>(new (std::nothrow) lutra::ThreadPool(threads)), context));
}

lutra_status lutra_context_create_over(const lutra_executor* executor, lutra_context** context) noexcept {
  Status status = FirstError({CheckNotNull(executor, "executor"), CheckNotNull(context, "context")});
  if (!status.ok()) return ToC(status);
  status = CheckNotNull(reinterpret_cast<const void*>(executor->parallel_for), "executor.parallel_for");
  if (executor->concurrency == 0) status = Status::Invalid("executor.concurrency", "is 0");
  if (!status.ok()) return ToC(status);
  return ToC(GiveContext(std::unique_ptr<lutra::Executor>(new (std::nothrow) CallbackExecutor(*executor)), context));
}

size_t lutra_context_concurrency(const lutra_context* context) noexcept {
  if (context == nullptr) return 1;
  return CheckContext(context).ok() ? context->value->Concurrency() : 0;
}

lutra_status lutra_context_destroy(lutra_context** context) noexcept { return ToC(Destroy(context, "context")); }

// --- Quantized weights

lutra_status lutra_quantize(const float* weights, size_t m, size_t k, size_t row_stride,
                            const lutra_quantize_options* options, lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckNotNull(options, "options"), CheckNotNull(w, "w")});
  if (status.ok()) status = lutra::Quantize(weights, m, k, row_stride, FromC(*options), &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_quantized_get(const lutra_quantized* w, lutra_quantized_view* view) noexcept {
  const Status status = FirstError({CheckHandle(w, "w"), CheckNotNull(view, "view")});
  if (status.ok()) *view = ToC(w->value.view());
  return ToC(status);
}

lutra_status lutra_dequantize(const lutra_quantized_view* w, float* out, size_t row_stride) noexcept {
  Status status = CheckNotNull(w, "w");
  if (status.ok()) status = lutra::Dequantize(FromC(*w), out, row_stride);
  return ToC(status);
}

lutra_status lutra_quantized_destroy(lutra_quantized** w) noexcept { return ToC(Destroy(w, "w")); }

// --- Quantized weights of other tools

lutra_status lutra_import_gguf(uint32_t type, const void* data, size_t size, size_t m, size_t k,
                               lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = CheckNotNull(w, "w");
  if (status.ok()) status = lutra::ImportGguf(type, data, size, m, k, &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_import_gptq(const lutra_gptq_view* gptq, lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckNotNull(gptq, "gptq"), CheckNotNull(w, "w")});
  if (status.ok()) status = lutra::ImportGptq(FromC(*gptq), &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_import_awq(const lutra_awq_view* awq, lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckNotNull(awq, "awq"), CheckNotNull(w, "w")});
  if (status.ok()) status = lutra::ImportAwq(FromC(*awq), &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

// --- Packed weights

lutra_status lutra_pack(const lutra_quantized_view* w, const char* target, lutra_context* context,
                        lutra_packed** packed) noexcept {
  lutra::PackOptions options;
  lutra::PackedMatrix result;
  Status status =
      FirstError({CheckNotNull(w, "w"), CheckNotNull(packed, "packed"), MakeOptions(target, context, &options)});
  if (status.ok()) status = lutra::Pack(FromC(*w), options, &result);
  if (status.ok()) status = Give(std::move(result), "packed", packed);
  return ToC(status);
}

lutra_status lutra_unpack(const lutra_packed* packed, lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckHandle(packed, "packed"), CheckNotNull(w, "w")});
  if (status.ok()) status = lutra::Unpack(packed->value, &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_packed_get(const lutra_packed* w, lutra_packed_info* info) noexcept {
  const Status status = FirstError({CheckHandle(w, "w"), CheckNotNull(info, "info")});
  if (!status.ok()) return ToC(status);
  const lutra::PackedMatrix& p = w->value;
  info->format = ToC(p.format());
  info->m = p.m();
  info->k = p.k();
  info->group = p.group();
  info->scale_type = ToC(p.scale_type());
  info->zero_kind = ToC(p.zero_kind());
  info->has_bias = p.has_bias();
  info->target = lutra::TargetName(p.target());
  info->bytes = p.bytes();
  info->bits_per_weight = p.bits_per_weight();
  info->file_size = lutra::PackedFileSize(p);
  return ToC(status);
}

lutra_status lutra_packed_destroy(lutra_packed** w) noexcept { return ToC(Destroy(w, "w")); }

// --- Packed weights in files and in memory

lutra_status lutra_save(const lutra_packed* w, const char* path) noexcept {
  Status status = CheckHandle(w, "w");
  if (status.ok()) status = lutra::SavePacked(w->value, path);
  return ToC(status);
}

lutra_status lutra_save_bytes(const lutra_packed* w, void* bytes, size_t size) noexcept {
  Status status = CheckHandle(w, "w");
  if (status.ok()) status = lutra::SavePacked(w->value, bytes, size);
  return ToC(status);
}

namespace {

// What both loads share: `load` takes the options and fills in a matrix and how it came.
template <class Load>
Status LoadWith(const Load& load, const char* target, lutra_context* context, lutra_packed** w, lutra_loaded* loaded) {
  lutra::PackOptions options;
  lutra::PackedMatrix result;
  lutra::Loaded how{};
  Status status = FirstError({CheckNotNull(w, "w"), MakeOptions(target, context, &options)});
  if (status.ok()) status = load(options, &result, &how);
  if (status.ok()) status = Give(std::move(result), "w", w);
  if (status.ok() && loaded != nullptr) *loaded = ToC(how);
  return status;
}

}  // namespace

lutra_status lutra_load(const char* path, const char* target, lutra_context* context, lutra_packed** w,
                        lutra_loaded* loaded) noexcept {
  const auto load = [&](const lutra::PackOptions& options, lutra::PackedMatrix* result, lutra::Loaded* how) {
    return lutra::LoadPacked(path, options, result, how);
  };
  return ToC(LoadWith(load, target, context, w, loaded));
}

lutra_status lutra_load_bytes(const void* bytes, size_t size, const char* target, lutra_context* context,
                              lutra_packed** w, lutra_loaded* loaded) noexcept {
  const auto load = [&](const lutra::PackOptions& options, lutra::PackedMatrix* result, lutra::Loaded* how) {
    return lutra::LoadPacked(bytes, size, options, result, how);
  };
  return ToC(LoadWith(load, target, context, w, loaded));
}

// --- Activations

lutra_status lutra_activations_create(lutra_activations** activations) noexcept {
  Status status = CheckNotNull(activations, "activations");
  if (status.ok()) status = Give(lutra::Activations(), "activations", activations);
  return ToC(status);
}

namespace {

Status CheckPrepare(const lutra_activation_view* x, const lutra_packed* w, const lutra_context* context,
                    const lutra_activations* activations) {
  return FirstError(
      {CheckNotNull(x, "x"), CheckHandle(w, "w"), CheckContext(context), CheckHandle(activations, "activations")});
}

}  // namespace

lutra_status lutra_prepare(const lutra_activation_view* x, const lutra_packed* w, lutra_precision precision,
                           lutra_context* context, lutra_activations* activations) noexcept {
  if (const Status status = CheckPrepare(x, w, context, activations); !status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  return ToC(lutra::Prepare(FromC(*x), w->value, FromC<lutra::Precision>(precision), call, &activations->value));
}

lutra_status lutra_prepare_rms_norm(const lutra_activation_view* x, const float* weight, float epsilon,
                                    const lutra_packed* w, lutra_precision precision, lutra_context* context,
                                    lutra_activations* activations) noexcept {
  if (const Status status = CheckPrepare(x, w, context, activations); !status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  return ToC(lutra::PrepareRmsNorm(FromC(*x), NormOf(weight, epsilon), w->value, FromC<lutra::Precision>(precision),
                                   call, &activations->value));
}

bool lutra_activations_fit(const lutra_activations* x, const lutra_packed* w) noexcept {
  return FirstError({CheckHandle(x, "x"), CheckHandle(w, "w")}).ok() && x->value.Fits(w->value);
}

lutra_status lutra_activations_get(const lutra_activations* x, lutra_activations_info* info) noexcept {
  const Status status = FirstError({CheckHandle(x, "x"), CheckNotNull(info, "info")});
  if (status.ok()) *info = {x->value.n(), x->value.k(), ToC(x->value.precision())};
  return ToC(status);
}

lutra_status lutra_activations_destroy(lutra_activations** activations) noexcept {
  return ToC(Destroy(activations, "activations"));
}

// --- Multiplication

lutra_status lutra_matmul(const lutra_packed* w, const lutra_activations* x, const lutra_output_view* y,
                          lutra_context* context) noexcept {
  const Status status =
      FirstError({CheckHandle(w, "w"), CheckHandle(x, "x"), CheckNotNull(y, "y"), CheckContext(context)});
  if (!status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  return ToC(lutra::MatMul(w->value, x->value, FromC(*y), call));
}

lutra_status lutra_matmul_range(const lutra_packed* w, const lutra_activations* x, const lutra_output_view* y,
                                size_t m_begin, size_t m_end) noexcept {
  Status status = FirstError({CheckHandle(w, "w"), CheckHandle(x, "x"), CheckNotNull(y, "y")});
  if (status.ok()) status = lutra::MatMulRange(w->value, x->value, FromC(*y), m_begin, m_end);
  return ToC(status);
}
