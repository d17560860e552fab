// Calls of the C API in any order, with a few handles that may be null or of another kind, and with faulty views: each
// call succeeds, or says why it failed and leaves its outputs as they are.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "fuzz/c_arguments.h"
#include "fuzz/c_checkpoint.h"
#include "fuzz/c_handles.h"
#include "fuzz/input.h"
#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "support/c_views.h"
#include "support/faults.h"
#include "support/packed_bytes.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kProducts = 10000;
constexpr std::size_t kCalls = 40;

Case SmallCase(Input& input) { return PickCase(input, kProducts); }

// --- Calls. Each takes what it needs from the bytes.

class Machine {
 public:
  explicit Machine(Input& input) : input_(input) {}

  void Run() {
    constexpr void (Machine::*kAll[])() = {&Machine::CreateContext,     &Machine::CreateContextOver,
                                           &Machine::Quantize,          &Machine::Pack,
                                           &Machine::PackQuantized,     &Machine::Unpack,
                                           &Machine::LoadBytes,         &Machine::LoadFile,
                                           &Machine::Prepare,           &Machine::MatMul,
                                           &Machine::Dequantize,        &Machine::Get,
                                           &Machine::CreateActivations, &Machine::Destroy,
                                           &Machine::Prepare,           &Machine::MatMul,
                                           &Machine::ImportGguf,        &Machine::ImportGptq,
                                           &Machine::ImportPacked};
    for (std::size_t i = 0; i < kCalls && !input_.empty(); ++i) (this->*input_.Pick(kAll))();
  }

 private:
  void CreateContext() {
    constexpr std::size_t kThreads[] = {1, 2, 3, 1, LUTRA_MAX_THREADS + 1, kMax};
    const std::size_t threads = input_.Pick(kThreads);
    handles_.Make<lutra_context>(input_, [&](lutra_context** out) { return lutra_context_create(threads, out); });
  }
  void CreateContextOver() {
    constexpr std::size_t kConcurrency[] = {1, 2, 3, 7, 0, 1000, kMax / 4 + 1, kMax};
    const lutra_executor executor = {input_.Rarely(16) ? nullptr : RunBackwards, nullptr, input_.Pick(kConcurrency)};
    const bool null = input_.Rarely(16);
    handles_.Make<lutra_context>(
        input_, [&](lutra_context** out) { return lutra_context_create_over(null ? nullptr : &executor, out); });
  }
  void CreateActivations() {
    handles_.Make<lutra_activations>(input_, [](lutra_activations** out) { return lutra_activations_create(out); });
  }

  void Quantize() {
    const std::size_t m = input_.Size(70), k = input_.Size(300), stride = k + input_.Below(3);
    lutra_quantize_options options = {PickEnum(input_, std::size(kFormats)),
                                      input_.Pick(kGroups),
                                      PickEnum(input_, 3),
                                      PickEnum(input_, 3),
                                      0,
                                      nullptr,
                                      0,
                                      nullptr,
                                      0};
    constexpr lutra_data_type kIntegers[] = {LUTRA_TYPE_UINT8, LUTRA_TYPE_UINT4};
    options.zero_type = input_.Flag()   ? options.scale_type
                        : input_.Flag() ? input_.Pick(kIntegers)
                                        : PickEnum(input_, 7);
    std::int8_t codebook[kMaxTables * 16];
    for (std::int8_t& value : codebook) value = input_.Number<std::int8_t>();
    options.codebook = input_.Rarely(32) ? nullptr : codebook;
    options.codebook_tables = input_.Below(6);
    std::vector<float> weights(m * stride);
    Random random(input_.Byte());
    for (float& weight : weights) weight = random.Uniform(-1.0f, 1.0f);
    if (input_.Rarely(8) && !weights.empty()) weights[input_.Below(weights.size())] = input_.Number<float>();
    const unsigned fault = input_.Byte();
    handles_.Make<lutra_quantized>(input_, [&](lutra_quantized** out) {
      return lutra_quantize(fault == 1 ? nullptr : weights.data(), fault == 2 ? kMax : m, fault == 3 ? kMax : k,
                            fault == 4 ? k - 1 : stride, fault == 5 ? nullptr : &options, out);
    });
  }
  void Dequantize() {
    lutra_quantized_view view = {};
    if (!Succeeded(lutra_quantized_get(handles_.Pick<lutra_quantized>(input_), &view))) return;
    const std::size_t gap = input_.Below(3);
    const unsigned fault = input_.Byte();
    Output out(view.m, view.k, gap, DataType::kF32);
    const lutra_status status =
        lutra_dequantize(fault == 1 ? nullptr : &view, fault == 2 ? nullptr : static_cast<float*>(out.view().data),
                         fault == 3 ? view.k - 1 : view.k + gap);
    EXPECT_TRUE(Succeeded(status) ? out.SurroundingsIntact() : out.Untouched());
  }

  void ImportGguf() {
    const GgufType& type = GgufTypes().data[input_.Below(GgufTypes().size)];
    const std::size_t m = input_.Below(70), blocks = input_.Below(3), k = blocks * type.weights;
    const std::vector<std::uint8_t> data =
        input_.Repeated(m * blocks * type.bytes + (m * blocks != 0 ? type.tail_bytes : 0));
    const unsigned fault = input_.Byte();
    handles_.Make<lutra_quantized>(input_, [&](lutra_quantized** out) {
      return lutra_import_gguf(fault == 1 ? UINT32_MAX : type.id, fault == 2 ? nullptr : data.data(),
                               fault == 3 ? data.size() - 1 : data.size(), fault == 4 ? kMax : m,
                               fault == 5 ? k + 1 : k, out);
    });
  }
  void ImportGptq() {
    constexpr std::int32_t kBits[] = {2, 3, 4, 8};
    lutra_gptq_view gptq = {};
    gptq.bits = input_.Pick(kBits);
    gptq.m = 32 * input_.Below(4);
    gptq.k = 32 * input_.Below(9);
    gptq.group_size = 32;
    gptq.zeros = PickEnum(input_, 4);
    const std::size_t groups = gptq.k / 32, bits = static_cast<std::size_t>(gptq.bits);
    const auto codes = Words<std::uint32_t>(gptq.k * bits / 32 * gptq.m),
               zeros = Words<std::uint32_t>(groups * gptq.m * bits / 32);
    const auto scales = Scales(groups * gptq.m);
    std::vector<std::int32_t> g_idx(gptq.k);
    for (std::size_t i = 0; i < gptq.k; ++i) g_idx[i] = static_cast<std::int32_t>(i % groups);
    gptq.qweight = codes.data();
    gptq.qweight_size = codes.size();
    if (input_.Flag()) {
      gptq.g_idx = g_idx.data();
      gptq.g_idx_size = g_idx.size();
    }
    SpoilImport(&gptq, zeros, scales);
    const bool null = input_.Rarely(32);
    handles_.Make<lutra_quantized>(
        input_, [&](lutra_quantized** out) { return lutra_import_gptq(null ? nullptr : &gptq, out); });
    std::uint32_t readings = 0;
    const bool plausible = Succeeded(lutra_gptq_plausible_zeros(null ? nullptr : &gptq, &readings));
    EXPECT_EQ(plausible, readings != 0);
  }
  void ImportPacked() { input_.Rarely(4) ? ImportCheckpoint(input_, handles_, kProducts) : ImportAwq(); }
  void ImportAwq() {
    lutra_awq_view awq = {};
    awq.m = 8 * input_.Below(12);
    awq.k = input_.Size(200);
    awq.group_size = 64;
    const std::size_t groups = GroupsPerRow(awq.k, 64);
    const auto codes = Words<std::uint32_t>(awq.k * awq.m / 8), zeros = Words<std::uint32_t>(groups * awq.m / 8);
    const auto scales = Scales(groups * awq.m);
    awq.qweight = codes.data();
    awq.qweight_size = codes.size();
    SpoilImport(&awq, zeros, scales);
    const bool null = input_.Rarely(32);
    handles_.Make<lutra_quantized>(input_,
                                   [&](lutra_quantized** out) { return lutra_import_awq(null ? nullptr : &awq, out); });
  }
  // Fills in the arrays of the view, and rarely spoils them.
  template <class View>
  void SpoilImport(View* view, const std::vector<std::uint32_t>& zeros, const std::vector<std::uint16_t>& scales) {
    view->qzeros = zeros.data();
    view->qzeros_size = zeros.size();
    view->scales = scales.data();
    view->scales_size = scales.size();
    switch (input_.Below(32)) {
      case 0:
        view->qweight = nullptr;
        break;
      case 1:
        view->qzeros_size = 0;
        break;
      case 2:
        view->scales = nullptr;
        break;
      case 3:
        view->m = kMax;
        break;
      case 4:
        view->k = kMax / 32 * 32;
        break;
      case 5:
        view->group_size = -static_cast<std::ptrdiff_t>(input_.Below(3));
        break;
      default:
        break;
    }
  }
  template <class T>
  std::vector<T> Words(std::size_t size) {
    const std::vector<std::uint8_t> bytes = input_.Repeated(size * sizeof(T));
    std::vector<T> words(size);
    if (size != 0) std::memcpy(words.data(), bytes.data(), bytes.size());
    return words;
  }
  std::vector<std::uint16_t> Scales(std::size_t size) {
    std::vector<std::uint16_t> scales = Words<std::uint16_t>(size);
    if (!input_.Rarely(16)) {
      for (std::uint16_t& scale : scales) scale &= 0xbfff;  // finite
    }
    return scales;
  }

  void Pack() {
    const Problem problem(SmallCase(input_));
    QuantizedView view = problem.w();
    if (input_.Rarely(4)) input_.Pick(kWeightFaults).spoil(view);
    Pack(CView(view));
  }
  void PackQuantized() {
    lutra_quantized_view view = {};
    if (Succeeded(lutra_quantized_get(handles_.Pick<lutra_quantized>(input_), &view))) Pack(view);
    EXPECT_FALSE(Succeeded(lutra_quantized_get(handles_.Pick<lutra_quantized>(input_), nullptr)));
  }
  void Pack(const lutra_quantized_view& view) {
    const char* const target = PickTargetName(input_);
    lutra_context* const context = handles_.Pick<lutra_context>(input_);
    const bool null = input_.Rarely(32);
    handles_.Make<lutra_packed>(
        input_, [&](lutra_packed** out) { return lutra_pack(null ? nullptr : &view, target, context, out); });
  }
  void Unpack() {
    const lutra_packed* const packed = handles_.Pick<lutra_packed>(input_);
    handles_.Make<lutra_quantized>(input_, [&](lutra_quantized** out) { return lutra_unpack(packed, out); });
  }

  void LoadBytes() {
    const lutra_packed* const packed = handles_.Pick<lutra_packed>(input_);
    lutra_packed_info info = {};
    const bool valid = Succeeded(lutra_packed_get(packed, &info));
    const std::size_t size = input_.Rarely(16) ? input_.Below(8192) : info.file_size;
    Bytes& bytes = blocks_.emplace_back(size);
    std::memset(bytes.data(), 0, size);
    EXPECT_EQ(Succeeded(lutra_save_bytes(packed, bytes.data(), size)), valid && size == info.file_size);
    EXPECT_FALSE(Succeeded(lutra_save_bytes(packed, nullptr, size)));
    if (size != 0 && input_.Rarely(8)) bytes.data()[input_.Below(size)] ^= input_.Byte();
    const bool null = input_.Rarely(32);
    Load([&](const char* target, lutra_context* context, lutra_packed** out, lutra_loaded* loaded) {
      return lutra_load_bytes(null ? nullptr : bytes.data(), size, target, context, out, loaded);
    });
  }
  void LoadFile() {
    const lutra_packed* const packed = handles_.Pick<lutra_packed>(input_);
    static const std::string path = ::testing::TempDir() + "lutra_c_api_fuzz_" + std::to_string(getpid());
    const unsigned fault = input_.Byte();
    const char* const name = fault == 1   ? nullptr
                             : fault == 2 ? "/no/such/folder/file"
                             : fault == 3 ? "/"
                                          : path.c_str();
    const bool saved = Succeeded(lutra_save(packed, name));
    if (saved && fault == 4) {
      EXPECT_EQ(truncate(path.c_str(), static_cast<off_t>(input_.Below(8192))), 0);
    }
    const bool maps = fault != 5;
    Load([&](const char* target, lutra_context* context, lutra_packed** out, lutra_loaded* loaded) {
      return maps ? lutra_load(name, target, context, out, loaded)
                  : lutra_load_unmapped(name, target, context, out, loaded);
    });
    if (saved) {
      EXPECT_EQ(std::remove(path.c_str()), 0);
    }
  }
  template <class Function>
  void Load(const Function& load) {
    const char* const target = PickTargetName(input_);
    lutra_context* const context = handles_.Pick<lutra_context>(input_);
    constexpr lutra_loaded kUntouched = 99;
    lutra_loaded loaded = kUntouched;
    const bool wanted = input_.Flag();
    handles_.Make<lutra_packed>(input_, [&](lutra_packed** out) {
      const lutra_status status = load(target, context, out, wanted ? &loaded : nullptr);
      EXPECT_EQ(loaded != kUntouched, wanted && status.code == LUTRA_OK);
      return status;
    });
  }

  void Get() {
    lutra_packed_info packed = {};
    lutra_activations_info activations = {};
    const lutra_packed* const w = handles_.Pick<lutra_packed>(input_);
    if (Succeeded(lutra_packed_get(w, &packed))) {
      EXPECT_TRUE(lutra_target_exists(packed.target));
    }
    EXPECT_FALSE(Succeeded(lutra_packed_get(w, nullptr)));
    const lutra_activations* const x = handles_.Pick<lutra_activations>(input_);
    const bool has_info = Succeeded(lutra_activations_get(x, &activations));
    EXPECT_FALSE(Succeeded(lutra_activations_get(x, nullptr)));
    EXPECT_FALSE(lutra_activations_fit(x, w) && !has_info);
    (void)lutra_context_concurrency(handles_.Pick<lutra_context>(input_));
    EXPECT_FALSE(lutra_target_exists("ABACUS"));
    EXPECT_NE(*lutra_version(), 0);
  }

  void Prepare() {
    const lutra_packed* const w = handles_.Pick<lutra_packed>(input_);
    lutra_packed_info info = {};
    const bool valid = Succeeded(lutra_packed_get(w, &info));
    Case c = SmallCase(input_);
    c.m = 0;
    if (valid && !input_.Rarely(16)) c.k = info.k;
    c.n = std::min(c.n, kProducts / std::max<std::size_t>(c.k, 1));
    const Problem problem(c);
    lutra_activation_view x = CView(problem.x());
    if (input_.Rarely(8)) SpoilView(input_, &x);
    if (input_.Rarely(16)) x.scales = nullptr;
    if (input_.Rarely(16)) x.scale_group = LUTRA_PER_MATRIX;
    lutra_activations* const activations = handles_.Pick<lutra_activations>(input_);
    const std::int32_t precision = PickEnum(input_, 2);
    lutra_context* const context = handles_.Pick<lutra_context>(input_);
    const lutra_activation_view* const given = input_.Rarely(32) ? nullptr : &x;
    const unsigned way = input_.Byte() % 4;
    lutra_status status;
    if (way == 3) {
      std::vector<float> weight(c.k, 0.5f);
      if (!weight.empty() && input_.Rarely(8)) weight[input_.Below(weight.size())] = input_.Number<float>();
      const float epsilon = input_.Rarely(8) ? input_.Number<float>() : 1e-5f;
      status = lutra_prepare_rms_norm(given, input_.Flag() ? weight.data() : nullptr, epsilon, w, precision, context,
                                      activations);
    } else if (way == 2) {
      std::vector<float> signs(c.k, -1.0f);
      if (!signs.empty() && input_.Rarely(8)) signs[input_.Below(signs.size())] = input_.Number<float>();
      std::size_t block = std::size_t{2} << input_.Below(10);
      while (block > 2 && c.k % block != 0) block /= 2;
      if (input_.Rarely(8)) block = input_.Number<std::uint32_t>();
      status = lutra_prepare_hadamard(given, input_.Flag() ? signs.data() : nullptr, block, w, precision, context,
                                      activations);
    } else {
      status = lutra_prepare(given, w, precision, context, activations);
    }
    if (!Succeeded(status)) {
      return;
    }
    lutra_activations_info prepared = {};
    EXPECT_TRUE(Succeeded(lutra_activations_get(activations, &prepared)));
    EXPECT_EQ(prepared.n, x.n);
    EXPECT_EQ(prepared.k, x.k);
    EXPECT_EQ(prepared.precision, precision);
    EXPECT_TRUE(lutra_activations_fit(activations, w));
  }

  void MatMul() {
    const lutra_packed* const w = handles_.Pick<lutra_packed>(input_);
    const lutra_activations* const x = handles_.Pick<lutra_activations>(input_);
    lutra_packed_info packed = {};
    lutra_activations_info prepared = {};
    if (!Succeeded(lutra_packed_get(w, &packed))) packed.m = input_.Below(100);
    if (!Succeeded(lutra_activations_get(x, &prepared))) prepared.n = input_.Below(10);
    const std::size_t n = prepared.n + input_.Rarely(16), m = packed.m + input_.Rarely(16), gap = input_.Below(4);
    const Output whole(n, m, gap, input_.Pick(kFloatTypes)), part(n, m, gap, whole.view().type);
    lutra_output_view y = CView(whole.view());
    const bool spoils = input_.Rarely(8);
    if (spoils) SpoilView(input_, &y);
    const bool null = input_.Rarely(32);
    lutra_context* const context = handles_.Pick<lutra_context>(input_);
    const bool multiplied = Succeeded(lutra_matmul(w, x, null ? nullptr : &y, context));
    EXPECT_TRUE(multiplied || whole.Untouched());
    EXPECT_TRUE(!multiplied || lutra_activations_fit(x, w) || n == 0 || m == 0);
    if (spoils || null) return;
    EXPECT_TRUE(whole.SurroundingsIntact());
    y = CView(part.view());
    const std::size_t cut = input_.Below(m + 2);
    const bool first = Succeeded(lutra_matmul_range(w, x, &y, 0, cut));
    const bool second = Succeeded(lutra_matmul_range(w, x, &y, cut, m));
    if (!multiplied) return;
    EXPECT_EQ(first && second, cut <= m);
    if (first && second) {
      EXPECT_EQ(std::memcmp(y.data, whole.view().data, BytesOf(y)), 0);
    }
  }
  // Bytes of y up to the end of its last row.
  static std::size_t BytesOf(const lutra_output_view& y) {
    return y.n == 0 ? 0 : ((y.n - 1) * y.row_stride + y.m) * SizeOf(static_cast<DataType>(y.type));
  }

  void Destroy() { handles_.UnmakeAny(input_); }

  Input& input_;
  std::deque<Bytes> blocks_;  // what matrices may be loaded from, in place
  Handles handles_;           // destroyed first
};

}  // namespace

void CheckInput(Input& input) { Machine(input).Run(); }

}  // namespace lutra::test
