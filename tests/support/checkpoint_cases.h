// Cases of checkpoints: the schemes, widths, groups and shapes that tests import.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "lutra/lutra.h"

namespace lutra::test {

struct CheckpointCase {
  CheckpointScheme scheme = CheckpointScheme::kPackQuantized;
  int bits = 4;
  std::size_t m = 0, k = 0;
  std::ptrdiff_t group_size = -1;
  DataType scale_type = DataType::kF16;
  bool zeros = false, order = false;
  bool variant = false;  // padded words, nested absmax, a scale of the matrix that divides, or several rows per scale

  std::size_t group() const { return group_size == -1 ? k : static_cast<std::size_t>(group_size); }
  std::size_t groups() const { return (k + group() - 1) / group(); }
  bool is_fp8() const { return scheme == CheckpointScheme::kFp8 || scheme == CheckpointScheme::kFp8E5M2; }
  // A variant has blocks of 24 rows, or one scale for the matrix. compressed-tensors has no order of columns with
  // blocks.
  std::size_t scale_rows() const {
    const bool packed = scheme == CheckpointScheme::kPackQuantized;
    if (!variant || !(packed || scheme == CheckpointScheme::kIntQuantized || is_fp8())) return 1;
    return group_size == -1 ? std::max<std::size_t>(m, 1) : packed && order ? 1 : 24;
  }
  // Zero points of blocks and of the matrix are not packed.
  bool byte_zeros() const { return scheme == CheckpointScheme::kPackQuantized && zeros && scale_rows() != 1; }
  // The rows of scales.
  std::size_t blocks() const { return (m + scale_rows() - 1) / scale_rows(); }
};
inline void PrintTo(const CheckpointCase& c, std::ostream* out) {
  *out << Name(c.scheme) << ' ' << c.bits << " bits " << c.m << " x " << c.k << " group " << c.group_size << ' '
       << Name(c.scale_type) << (c.zeros ? " zeros" : "") << (c.order ? " order" : "") << (c.variant ? " variant" : "");
}
inline std::ostream& operator<<(std::ostream& out, const CheckpointCase& c) {
  PrintTo(c, &out);
  return out;
}

inline std::string SchemeName(const ::testing::TestParamInfo<CheckpointInfo>& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
// Cases of a scheme: all widths and variants, groups and shapes that it has.
inline std::vector<CheckpointCase> CasesOf(const CheckpointInfo& info) {
  const CheckpointScheme scheme = info.scheme;
  const bool words = scheme == CheckpointScheme::kGptq || scheme == CheckpointScheme::kAwq;
  const bool of_view = scheme == CheckpointScheme::kPackQuantized || scheme == CheckpointScheme::kIntQuantized ||
                       scheme == CheckpointScheme::kHqq || CheckpointCase{scheme}.is_fp8();
  const bool all = scheme == CheckpointScheme::kNf4 || scheme == CheckpointScheme::kFp4;
  // In one sequence of weights, groups are whole, and HQQ's are whole planes.
  const bool sequence = all || scheme == CheckpointScheme::kHqq;
  const bool packed = scheme == CheckpointScheme::kGptq || scheme == CheckpointScheme::kPackQuantized;
  std::vector<CheckpointCase> cases;
  for (int bits = 1; bits <= 8; ++bits) {
    if (!info.has_width(bits)) continue;
    for (const std::ptrdiff_t group : {-1, 16, 32, 64, 128, 512}) {
      for (const unsigned flags : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u}) {
        CheckpointCase c{scheme, bits, 77, 333};
        c.zeros = (flags & 1) != 0;
        c.order = (flags & 2) != 0 && packed;
        c.variant = (flags & 4) != 0;
        c.group_size = info.group == 0            ? group
                       : info.group == kPerMatrix ? -1
                                                  : static_cast<std::ptrdiff_t>(info.group);
        if (words) c.m = 96, c.k = 352;
        if (sequence) c.m = 72, c.k = group == 512 ? 1024 : group == -1 ? 334 : 384;
        // bitsandbytes' blocks of 64, 128 and 512 in rows that end within blocks; and of several rows.
        if (all && (flags & 1) != 0) c.k = group == 512 ? 64 : group == -1 ? 96 : 400;
        if (all && c.group_size == 512 && c.k == 1024) c.m = 5;
        if (of_view) {
          c.scale_type = flags % 3 == 0 ? DataType::kF16 : flags % 3 == 1 ? DataType::kBF16 : DataType::kF32;
        }
        if (c.is_fp8() && c.zeros) c.scale_type = DataType::kE8M0;
        cases.push_back(c);
      }
    }
  }
  return cases;
}

}  // namespace lutra::test
