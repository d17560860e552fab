// Quantized matrices as GPTQ and AWQ define them, and the tensors of their checkpoints.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {

// A quantized matrix by its definition: W(m, k) = scale * (code - zero), of the group of column k.
struct Grouped {
  std::size_t m, k, group_size, groups;
  std::vector<unsigned> codes, zeros;  // [K x M], [G x M]
  std::vector<std::uint16_t> scales;   // [G x M]
  std::vector<std::int32_t> g_idx;     // [K]

  Grouped(unsigned bits, std::size_t m_, std::size_t k_, std::ptrdiff_t size, bool one_zero, bool act_order)
      : m(m_),
        k(k_),
        group_size(size == -1 ? k_ : static_cast<std::size_t>(size)),
        groups((k_ + group_size - 1) / group_size) {
    Random random(bits + m + k);
    const std::size_t levels = std::size_t{1} << bits;
    for (std::size_t i = 0; i < m * k; ++i) codes.push_back(static_cast<unsigned>(random.Below(levels)));
    for (std::size_t i = 0; i < m * groups; ++i) {
      zeros.push_back(static_cast<unsigned>(one_zero ? levels / 2 : random.Below(levels)));
      scales.push_back(F32ToF16(random.Uniform(-0.1f, 0.1f)));
    }
    for (std::size_t i = 0; i < k; ++i) g_idx.push_back(static_cast<std::int32_t>(i / group_size));
    if (!act_order) return;
    for (std::size_t i = k; i > 1; --i) std::swap(g_idx[i - 1], g_idx[random.Below(i)]);
  }
  // Zero points of 1 .. 2^bits instead of 0 .. 2^bits - 1; the one that all have in symmetric checkpoints stays.
  void RaiseZeros(unsigned bits) {
    const bool symmetric = std::all_of(zeros.begin(), zeros.end(), [&](unsigned z) { return z == 1u << (bits - 1); });
    for (unsigned& zero : zeros) zero += symmetric ? 0 : 1;
  }
  float Scale(std::size_t group, std::size_t row) const { return F16ToF32(scales[group * m + row]); }
  std::vector<float> Weights() const {
    std::vector<float> weights;
    for (std::size_t row = 0; row < m; ++row) {
      for (std::size_t column = 0; column < k; ++column) {
        const auto group = static_cast<std::size_t>(g_idx[column]);
        const int difference = static_cast<int>(codes[column * m + row]) - static_cast<int>(zeros[group * m + row]);
        weights.push_back(Scale(group, row) * static_cast<float>(difference));
      }
    }
    return weights;
  }
};

// Packs as GPTQ's tools do. Of 3-bit values, a word holds ten and two bits of the next; the next word starts with the
// third bit.
inline std::vector<std::uint32_t> PackedWords(const std::vector<unsigned>& values, unsigned bits) {
  std::vector<std::uint32_t> words;
  if (bits != 3) {
    const std::size_t per_word = 32 / bits;
    for (std::size_t i = 0; i < values.size(); i += per_word) {
      words.push_back(0);
      for (std::size_t j = 0; j < per_word; ++j) words.back() |= values[i + j] << (bits * j);
    }
    return words;
  }
  for (std::size_t i = 0; i < values.size(); i += 32) {
    std::uint32_t a = 0, b = 0, c = 0;
    for (std::size_t j = 0; j < 10; ++j) {
      a |= values[i + j] << (3 * j);
      b |= values[i + 11 + j] << (3 * j + 1);
      c |= values[i + 22 + j] << (3 * j + 2);
    }
    a |= values[i + 10] << 30;
    b |= values[i + 10] >> 2 | values[i + 21] << 31;
    c |= values[i + 21] >> 1;
    words.insert(words.end(), {a, b, c});
  }
  return words;
}

// The words of qzeros of one group, as the tools write them that are read like this.
inline std::vector<std::uint32_t> ZeroWords(std::vector<unsigned> zeros, unsigned bits, GptqZeros reading) {
  const unsigned mask = (1u << bits) - 1;
  const bool whole_words = reading == GptqZeros::kV1Words && bits != 3;
  for (unsigned& zero : zeros) {
    if (reading == GptqZeros::kV1Fields) {
      EXPECT_GT(zero, 0u);  // AutoGPTQ writes z - 1 without a mask
      --zero;
    } else if (reading != GptqZeros::kV2 && !whole_words) {
      zero = (zero - 1) & mask;
    }
  }
  std::vector<std::uint32_t> words = PackedWords(zeros, bits);
  // GPTQModel packs zero points as they are, and subtracts 1 from each field of a word at a time.
  for (std::uint32_t& word : words)
    word -= !whole_words ? 0 : bits == 2 ? 0x55555555u : bits == 4 ? 0x11111111u : 0x01010101u;
  return words;
}

// The tensors of a matrix in a GPTQ checkpoint.
struct GptqTensors {
  std::vector<std::uint32_t> qweight, qzeros;
  GptqView view;

  GptqTensors(const Grouped& w, unsigned bits, std::ptrdiff_t group_size, GptqZeros reading) {
    qweight.resize(w.k * bits / 32 * w.m);
    for (std::size_t row = 0; row < w.m; ++row) {
      std::vector<unsigned> values;
      for (std::size_t column = 0; column < w.k; ++column) values.push_back(w.codes[column * w.m + row]);
      const std::vector<std::uint32_t> words = PackedWords(values, bits);
      for (std::size_t i = 0; i < words.size(); ++i) qweight[i * w.m + row] = words[i];
    }
    for (std::size_t group = 0; group < w.groups; ++group) {
      const auto* const begin = w.zeros.data() + group * w.m;
      const std::vector<std::uint32_t> words = ZeroWords({begin, begin + w.m}, bits, reading);
      qzeros.insert(qzeros.end(), words.begin(), words.end());
    }
    view.bits = static_cast<int>(bits);
    view.m = w.m;
    view.k = w.k;
    view.group_size = group_size;
    view.qweight = {qweight.data(), qweight.size()};
    view.qzeros = {qzeros.data(), qzeros.size()};
    view.scales = {w.scales.data(), w.scales.size()};
    view.g_idx = {w.g_idx.data(), w.g_idx.size()};
    view.zeros = reading;
  }
};

// The tensors of a matrix in an AWQ checkpoint.
struct AwqTensors {
  std::vector<std::uint32_t> qweight, qzeros;
  AwqView view;

  AwqTensors(const Grouped& w, std::ptrdiff_t group_size)
      : qweight(Words(w.codes)),
        qzeros(Words(w.zeros)),
        view{w.m,
             w.k,
             group_size,
             {qweight.data(), qweight.size()},
             {qzeros.data(), qzeros.size()},
             {w.scales.data(), w.scales.size()}} {}
  // As AWQ's tools pack: nibble i of a word is column order[i] of its eight.
  static std::vector<std::uint32_t> Words(const std::vector<unsigned>& values) {
    constexpr std::size_t kOrder[] = {0, 2, 4, 6, 1, 3, 5, 7};
    std::vector<std::uint32_t> words;
    for (std::size_t i = 0; i < values.size(); i += 8) {
      words.push_back(0);
      for (std::size_t j = 0; j < 8; ++j) words.back() |= values[i + kOrder[j]] << (4 * j);
    }
    return words;
  }
};

}  // namespace lutra::test
