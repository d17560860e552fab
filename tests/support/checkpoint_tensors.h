// Random tensors of every checkpoint scheme, packed step by step as each tool's own code packs them, and the weights
// that the tool unpacks from them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "lutra/lutra.h"
#include "support/checkpoint_cases.h"
#include "support/checkpoints.h"
#include "support/guarded.h"
#include "support/problem.h"

namespace lutra::test {

class CheckpointTensors {
 public:
  explicit CheckpointTensors(const CheckpointCase& c) : c_(c), random_(c.m + 7 * c.k + c.group()) {
    view_.scheme = c.scheme;
    view_.bits = c.bits;
    view_.m = c.m;
    view_.k = c.k;
    view_.group_size = c.group_size;
    view_.scale_type = c.scale_type;
    view_.scale_rows = c.scale_rows();
    weights_.resize(c.m * c.k);
    errors_.resize(c.m * c.k);
    switch (c.scheme) {
      case CheckpointScheme::kGptq:
      case CheckpointScheme::kAwq:
        MakeWords();
        break;
      case CheckpointScheme::kPackQuantized:
      case CheckpointScheme::kIntQuantized:
        MakeCompressed();
        break;
      case CheckpointScheme::kNf4:
      case CheckpointScheme::kFp4:
        MakeBitsAndBytes();
        break;
      case CheckpointScheme::kMxfp4:
      case CheckpointScheme::kNvfp4:
        MakeFloat4();
        break;
      case CheckpointScheme::kHqq:
        MakeHqq();
        break;
      case CheckpointScheme::kBitnet:
        MakeBitnet();
        break;
      case CheckpointScheme::kFp8:
      case CheckpointScheme::kFp8E5M2:
        MakeFp8();
        break;
    }
  }

  const CheckpointView& view() const { return view_; }
  const std::vector<float>& weights() const { return weights_; }  // the tool's, in float
  const std::vector<float>& errors() const { return errors_; }    // of the import, at most
  bool exact() const {
    return std::all_of(errors_.begin(), errors_.end(), [](float error) { return error == 0; });
  }

 private:
  // A copy before an unmapped page; of no alignment, as sizes are odd.
  template <class T>
  const T* Keep(const std::vector<T>& values) {
    kept_.emplace_back(values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(kept_.back().data(), values.data(), kept_.back().size());
    kept_.back().Seal();
    return reinterpret_cast<const T*>(kept_.back().data());
  }
  template <class T>
  void Take(const std::vector<T>& values, TensorBytes* tensor) {
    *tensor = {Keep(values), values.size() * sizeof(T)};
  }
  // A random scale and its bytes in the type of the case.
  float AddScale(std::vector<std::uint8_t>* bytes, float low, float high) {
    const float value = random_.Uniform(low, high);
    const std::size_t at = bytes->size();
    bytes->resize(at + SizeOf(c_.scale_type));
    if (c_.scale_type == DataType::kE8M0) {
      (*bytes)[at] = static_cast<std::uint8_t>(100 + random_.Below(40));
      return std::ldexp(1.0f, (*bytes)[at] - 127);
    }
    if (c_.scale_type == DataType::kF32) {
      std::memcpy(bytes->data() + at, &value, sizeof(value));
      return value;
    }
    const bool half = c_.scale_type == DataType::kF16;
    const std::uint16_t bits = half ? F32ToF16(value) : F32ToBF16(value);
    std::memcpy(bytes->data() + at, &bits, sizeof(bits));
    return half ? F16ToF32(bits) : BF16ToF32(bits);
  }

  // --- GPTQ and AWQ

  void MakeWords() {
    const auto bits = static_cast<unsigned>(c_.bits);
    const Grouped grouped(bits, c_.m, c_.k, c_.group_size, !c_.zeros, c_.order);
    weights_ = grouped.Weights();
    view_.gptq_zeros = c_.variant ? GptqZeros::kV2 : GptqZeros::kV1Words;
    if (c_.scheme == CheckpointScheme::kAwq) {
      const AwqTensors tensors(grouped, c_.group_size);
      Take(tensors.qweight, &view_.codes);
      Take(tensors.qzeros, &view_.zeros);
    } else {
      const GptqTensors tensors(grouped, bits, c_.group_size, view_.gptq_zeros);
      Take(tensors.qweight, &view_.codes);
      Take(tensors.qzeros, &view_.zeros);
      if (c_.order) view_.g_idx = {Keep(grouped.g_idx), grouped.g_idx.size()};
    }
    Take(grouped.scales, &view_.scales);
  }

  // --- compressed-tensors

  // pack_to_int32 of an array [rows x columns], along its columns: bit by bit.
  static std::vector<std::uint32_t> PackToInt32(const std::vector<int>& values, std::size_t columns, unsigned bits,
                                                bool padded) {
    const std::size_t rows = columns == 0 ? 0 : values.size() / columns, per_word = 32 / bits;
    const std::size_t words = padded ? (columns + per_word - 1) / per_word : (columns * bits + 31) / 32;
    std::vector<std::uint32_t> packed(rows * words);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto code = static_cast<unsigned>(values[i] + (1 << (bits - 1)));
      const std::size_t column = i % columns;
      for (unsigned b = 0; b < bits; ++b) {
        const std::size_t bit = padded ? column / per_word * 32 + column % per_word * bits + b : column * bits + b;
        packed[i / columns * words + bit / 32] |= (code >> b & 1) << bit % 32;
      }
    }
    return packed;
  }
  template <class T>
  static std::vector<T> Transposed(const std::vector<T>& values, std::size_t rows) {
    std::vector<T> result;
    const std::size_t columns = rows == 0 ? 0 : values.size() / rows;
    for (std::size_t j = 0; j < columns; ++j) {
      for (std::size_t i = 0; i < rows; ++i) result.push_back(values[i * columns + j]);
    }
    return result;
  }

  void MakeCompressed() {
    const std::size_t groups = c_.groups(), levels = std::size_t{1} << c_.bits, rows = c_.blocks();
    const auto random_code = [&] { return static_cast<int>(random_.Below(levels)) - static_cast<int>(levels / 2); };
    std::vector<int> q(c_.m * c_.k), zeros(rows * groups);
    std::vector<std::int32_t> g_idx(c_.k);
    for (std::size_t i = 0; i < c_.k; ++i) g_idx[i] = static_cast<std::int32_t>(i / c_.group());
    for (std::size_t i = c_.k; c_.order && i > 1; --i) std::swap(g_idx[i - 1], g_idx[random_.Below(i)]);
    for (int& code : q) code = random_code();
    for (int& zero : zeros) zero = c_.zeros ? random_code() : 0;
    std::vector<std::uint8_t> scale_bytes;
    std::vector<float> scales;
    for (std::size_t i = 0; i < rows * groups; ++i) scales.push_back(AddScale(&scale_bytes, -0.1f, 0.1f));
    for (std::size_t i = 0; i < q.size(); ++i) {
      const std::size_t row = i / c_.k / c_.scale_rows();
      const std::size_t at = row * groups + static_cast<std::size_t>(g_idx[i % c_.k]);
      weights_[i] = scales[at] * static_cast<float>(q[i] - zeros[at]);
    }
    Take(scale_bytes, &view_.scales);
    if (c_.order) view_.g_idx = {Keep(g_idx), g_idx.size()};
    if (c_.scheme == CheckpointScheme::kIntQuantized) {
      Take(std::vector<std::int8_t>(q.begin(), q.end()), &view_.codes);
      if (c_.zeros) Take(std::vector<std::int8_t>(zeros.begin(), zeros.end()), &view_.zeros);
      return;
    }
    const auto bits = static_cast<unsigned>(c_.bits);
    // Short rows have as many words with padding as without it; then there is none.
    const bool padded =
        c_.variant && PackToInt32(q, c_.k, bits, true).size() != PackToInt32(q, c_.k, bits, false).size();
    Take(PackToInt32(q, c_.k, bits, padded), &view_.codes);
    if (!c_.zeros) return;
    view_.byte_zeros = c_.byte_zeros();
    if (view_.byte_zeros) return Take(std::vector<std::int8_t>(zeros.begin(), zeros.end()), &view_.zeros);
    const std::vector<std::uint32_t> words = PackToInt32(Transposed(zeros, rows), rows, bits, padded);
    Take(Transposed(words, groups), &view_.zeros);
  }

  // --- bitsandbytes

  void MakeBitsAndBytes() {
    static constexpr double kNf4[] = {-1.0,
                                      -0.6961928009986877,
                                      -0.5250730514526367,
                                      -0.39491748809814453,
                                      -0.28444138169288635,
                                      -0.18477343022823334,
                                      -0.09105003625154495,
                                      0.0,
                                      0.07958029955625534,
                                      0.16093020141124725,
                                      0.24611230194568634,
                                      0.33791524171829224,
                                      0.44070982933044434,
                                      0.5626170039176941,
                                      0.7229568362236023,
                                      1.0};
    static constexpr double kFp4[] = {0, 0.0625, 8, 12, 4, 6, 2, 3};
    const bool nf4 = c_.scheme == CheckpointScheme::kNf4;
    std::vector<std::uint8_t> codes;
    const std::size_t weights = c_.m * c_.k, blocks = (weights + c_.group() - 1) / c_.group();
    const std::vector<float> absmax = MakeAbsmax(blocks);
    for (std::size_t i = 0; i < weights; ++i) {
      const std::size_t q = random_.Below(16);
      const double value = nf4 ? kNf4[q] : (q < 8 ? 1 : -1) * kFp4[q % 8] / 12;
      const float scale = absmax[i / c_.group()];
      weights_[i] = static_cast<float>(value * static_cast<double>(scale));
      errors_[i] = std::abs(scale) * (nf4 ? 0.0039f : q % 8 == 1 ? 0.0032f : 1e-6f);
      if (i % 2 == 0) codes.push_back(0);
      codes.back() = static_cast<std::uint8_t>(codes.back() | q << (i % 2 == 0 ? 4 : 0));
    }
    Take(codes, &view_.codes);
  }

  std::vector<float> MakeAbsmax(std::size_t blocks) {
    std::vector<float> absmax(blocks);
    if (!c_.variant) {
      for (float& value : absmax) value = random_.Uniform(0.01f, 0.2f);
      Take(absmax, &view_.scales);
      return absmax;
    }
    std::vector<std::uint8_t> bytes(blocks);
    std::vector<float> map(256), nested((blocks + 255) / 256);
    for (float& value : map) value = random_.Uniform(-1, 1);
    for (float& value : nested) value = random_.Uniform(0.01f, 0.05f);
    view_.nested.offset = 0.07f;
    for (std::size_t i = 0; i < blocks; ++i) {
      bytes[i] = static_cast<std::uint8_t>(random_.Below(256));
      absmax[i] = map[bytes[i]] * nested[i / 256] + view_.nested.offset;
    }
    view_.nested.map = {Keep(map), map.size()};
    view_.nested.absmax = {Keep(nested), nested.size()};
    Take(bytes, &view_.scales);
    return absmax;
  }

  // --- MXFP4 and NVFP4

  void MakeFloat4() {
    static constexpr float kE2m1[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, 0, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    const bool mx = c_.scheme == CheckpointScheme::kMxfp4;
    const std::size_t group = mx ? 32 : 16, groups = (c_.k + group - 1) / group, row_bytes = (c_.k + 1) / 2;
    std::vector<std::uint8_t> codes(c_.m * row_bytes), scales(c_.m * groups);
    for (std::uint8_t& scale : scales)
      scale = static_cast<std::uint8_t>(mx ? 60 + random_.Below(100) : random_.Below(127));
    view_.matrix_scale = mx ? 1 : c_.variant ? 3001.5f : 0.00037f;
    view_.matrix_scale_divides = c_.variant;
    for (std::size_t i = 0; i < c_.m * c_.k; ++i) {
      const std::size_t q = random_.Below(16), row = i / c_.k, column = i % c_.k;
      std::uint8_t& byte = codes[row * row_bytes + column / 2];
      byte = static_cast<std::uint8_t>(byte | q << 4 * (column % 2));
      const std::uint8_t scale = scales[row * groups + column / group];
      if (mx) {
        weights_[i] = std::ldexp(kE2m1[q], scale - 127);
        continue;
      }
      const float fraction = static_cast<float>(scale % 8) / 8;
      const float e4m3 = scale < 8 ? std::ldexp(fraction, -6) : std::ldexp(1 + fraction, scale / 8 - 7);
      weights_[i] = kE2m1[q] * (c_.variant ? e4m3 / view_.matrix_scale : e4m3 * view_.matrix_scale);
      if (c_.variant) errors_[i] = std::abs(weights_[i]) * 2.5e-7f;
    }
    Take(codes, &view_.codes);
    Take(scales, &view_.scales);
  }

  // --- HQQ

  void MakeHqq() {
    const std::size_t group = c_.group(), rows = c_.m * c_.k / group;  // of the tool's W_q
    // pack_3bit_32 pads the rows to a multiple of ten.
    const std::size_t per_word = c_.bits == 3 ? 10 : 8 / static_cast<std::size_t>(c_.bits);
    const std::size_t step = (rows + per_word - 1) / per_word;
    ASSERT_TRUE(c_.bits == 3 || step * per_word == rows);
    std::vector<std::uint32_t> words(step * group);
    std::vector<std::uint8_t> scale_bytes, zero_bytes;
    for (std::size_t row = 0; row < rows; ++row) {
      const float scale = AddScale(&scale_bytes, -0.1f, 0.1f);
      const float zero = AddScale(&zero_bytes, 0, std::ldexp(1.0f, c_.bits));
      for (std::size_t j = 0; j < group; ++j) {
        const std::size_t q = random_.Below(std::size_t{1} << c_.bits), plane = row / step;
        words[row % step * group + j] |=
            static_cast<std::uint32_t>(q << static_cast<std::size_t>(c_.bits) * (per_word - 1 - plane));
        weights_[row * group + j] = (static_cast<float>(q) - zero) * scale;
      }
    }
    if (c_.bits == 3) {
      Take(words, &view_.codes);
    } else {
      Take(std::vector<std::uint8_t>(words.begin(), words.end()), &view_.codes);
    }
    Take(scale_bytes, &view_.scales);
    Take(zero_bytes, &view_.zeros);
  }

  // --- BitNet

  void MakeBitnet() {
    const std::size_t rows = (c_.m + 3) / 4;
    std::vector<std::uint8_t> codes(rows * c_.k);
    view_.matrix_scale = 2.7f;
    view_.matrix_scale_divides = c_.variant;
    for (std::size_t m = 0; m < c_.m; ++m) {
      for (std::size_t k = 0; k < c_.k; ++k) {
        const std::size_t q = random_.Below(3);
        std::uint8_t& byte = codes[m % rows * c_.k + k];
        byte = static_cast<std::uint8_t>(byte | q << 2 * (m / rows));
        const float value = static_cast<float>(q) - 1;
        weights_[m * c_.k + k] = value == 0 ? 0 : c_.variant ? value / 2.7f : value * 2.7f;
      }
    }
    Take(codes, &view_.codes);
  }

  // --- FP8

  void MakeFp8() {
    const std::size_t groups = c_.groups(), rows = c_.blocks();
    const bool e4m3 = c_.scheme == CheckpointScheme::kFp8;
    std::vector<std::uint8_t> codes(c_.m * c_.k), scale_bytes;
    std::vector<float> scales;
    for (std::size_t i = 0; i < rows * groups; ++i) scales.push_back(AddScale(&scale_bytes, 0.001f, 0.1f));
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const std::size_t magnitude = random_.Below(e4m3 ? 127 : 124), q = random_.Below(2) * 128 + magnitude;
      const std::size_t row = i / c_.k, column = i % c_.k;
      codes[i] = static_cast<std::uint8_t>(q);
      // E5M2 is the upper byte of an f16.
      const float value =
          e4m3 ? E4M3(static_cast<unsigned>(magnitude)) : F16ToF32(static_cast<std::uint16_t>(magnitude << 8));
      weights_[i] = scales[row / view_.scale_rows * groups + column / c_.group()] * (q < 128 ? value : -value);
    }
    Take(codes, &view_.codes);
    Take(scale_bytes, &view_.scales);
  }

  CheckpointCase c_;
  Random random_;
  CheckpointView view_;
  std::vector<float> weights_, errors_;
  std::vector<Guarded> kept_;
};

}  // namespace lutra::test
