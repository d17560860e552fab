// Arguments that must be refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"

namespace lutra::test {

inline constexpr std::size_t kMax = std::numeric_limits<std::size_t>::max();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNotFinite[] = {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()};

// A fault in one argument, and the name that the refusal must give; "" for sizes where several names are right.
template <class View>
struct Fault {
  const char* argument;
  std::function<void(View&)> spoil;
};

// A copy of `count` values of which the one at `at` is `bad`.
inline std::vector<std::uint8_t> With(float bad, std::size_t at, DataType type, const void* values, std::size_t count) {
  std::vector<std::uint8_t> copy(count * SizeOf(type));
  std::memcpy(copy.data(), values, copy.size());
  Store(type, bad, copy.data(), at);
  return copy;
}

// No permutation of anything but one column.
inline constexpr std::uint32_t kFirstOnly[1000] = {};

// Choices of which the first is of no table.
struct FaultyChoices {
  std::uint8_t choices[65536] = {kMaxTables};
};
inline constexpr FaultyChoices kFaultyChoices;
inline constexpr std::int8_t kFaultyCodebook[kMaxTables * 16] = {0, 1, 2, 3, 4, 5, 6, 7, -127, -128};

// Gives the view a format with own_values, and tables that it may have.
inline void SetCodebook(QuantizedView& w, std::size_t tables) {
  w.format = Format::kCodebook4;
  w.codebook = kCodebook4;
  w.codebook_tables = tables;
  w.table_choices = nullptr;
}

inline const Fault<QuantizedView> kWeightFaults[] = {
    {"w.format", [](QuantizedView& w) { w.format = static_cast<Format>(kFormatCount); }},
    {"w.format", [](QuantizedView& w) { w.format = static_cast<Format>(255); }},
    {"w.codes", [](QuantizedView& w) { w.codes = nullptr; }},
    {"w.code_stride", [](QuantizedView& w) { w.code_stride = w.k - 1; }},
    {"w.code_stride", [](QuantizedView& w) { w.code_stride = 0; }},
    {"w.code_stride", [](QuantizedView& w) { w.code_stride = kMax / 2; }},
    {"w.group", [](QuantizedView& w) { w.group = 1; }},
    {"w.group", [](QuantizedView& w) { w.group = 48; }},
    {"w.group", [](QuantizedView& w) { w.group = 512; }},
    {"w.scales", [](QuantizedView& w) { w.scales = nullptr; }},
    {"w.scale_type", [](QuantizedView& w) { w.scale_type = static_cast<DataType>(5); }},
    {"w.zero_kind", [](QuantizedView& w) { w.scale_type = DataType::kInt8, w.zero_kind = ZeroKind::kPoint; }},
    {"w.zero_kind", [](QuantizedView& w) { w.scale_type = DataType::kUInt4, w.zero_kind = ZeroKind::kPoint; }},
    {"w.zero_type", [](QuantizedView& w) { w.zero_kind = ZeroKind::kPoint, w.zero_type = DataType::kInt8; }},
    {"w.zero_type",
     [](QuantizedView& w) {
       w.zero_kind = ZeroKind::kPoint;  // of a float type, but not that of the scales
       w.zero_type = w.scale_type == DataType::kBF16 ? DataType::kF16 : DataType::kBF16;
     }},
    {"w.zero_type", [](QuantizedView& w) { w.zero_kind = ZeroKind::kOffset, w.zero_type = DataType::kUInt4; }},
    {"w.zero_type", [](QuantizedView& w) { w.zero_kind = ZeroKind::kOffset, w.zero_type = static_cast<DataType>(77); }},
    {"w.zero_type",
     [](QuantizedView& w) { w.scale_type = w.zero_type = DataType::kE8M0, w.zero_kind = ZeroKind::kOffset; }},
    {"w.group", [](QuantizedView& w) { w.scale_type = DataType::kInt8, w.group = kPerRow; }},
    {"w.group", [](QuantizedView& w) { w.scale_type = DataType::kUInt4, w.group = kPerMatrix; }},
    {"w.scale_type", [](QuantizedView& w) { w.scale_type = static_cast<DataType>(77); }},
    {"w.zeros", [](QuantizedView& w) { w.zeros = nullptr; }},
    {"w.zero_kind", [](QuantizedView& w) { w.zero_kind = static_cast<ZeroKind>(5); }},
    {"w.codebook_tables", [](QuantizedView& w) { SetCodebook(w, kMaxTables + 1); }},
    {"w.codebook_tables", [](QuantizedView& w) { SetCodebook(w, kMax); }},
    {"w.codebook", [](QuantizedView& w) { SetCodebook(w, 1), w.codebook = nullptr; }},
    {"w.codebook", [](QuantizedView& w) { SetCodebook(w, 1), w.codebook = kFaultyCodebook; }},
    {"w.table_choices", [](QuantizedView& w) { SetCodebook(w, 2); }},
    {"w.table_choices", [](QuantizedView& w) { SetCodebook(w, 4), w.table_choices = kFaultyChoices.choices; }},
    {"w.order", [](QuantizedView& w) { w.order = kFirstOnly; }},
    {"", [](QuantizedView& w) { w.m = kMax; }},
    {"", [](QuantizedView& w) { w.m = kMax / 2; }},
    {"", [](QuantizedView& w) { w.m = kMax / 160; }},
    {"", [](QuantizedView& w) { w.k = w.code_stride = kMax; }},
    {"", [](QuantizedView& w) { w.k = w.code_stride = kMax / 2; }},
    {"", [](QuantizedView& w) { w.k = w.code_stride = w.m = std::size_t{1} << 32; }},
    {"", [](QuantizedView& w) { w.m = 1, w.k = kMax - 5; }},
    {"", [](QuantizedView& w) { w.m = 1, w.k = kMax / 4; }},
};

}  // namespace lutra::test
