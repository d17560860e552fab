// Checkpoints, as a fuzzer picks them.
#pragma once

#include <algorithm>
#include <cstddef>

#include "fuzz/input.h"
#include "support/checkpoint_tensors.h"

namespace lutra::test {

// A random case, for CheckpointTensors, of about this number of weights at most.
inline CheckpointCase PickCheckpoint(Input& input, std::size_t most) {
  constexpr std::ptrdiff_t kGroupSizes[] = {16, 32, 64, 128, 512, -1};
  const CheckpointInfo& info = input.Pick(kCheckpointSchemes);
  CheckpointCase c;
  c.scheme = info.scheme;
  c.bits = static_cast<int>(1 + input.Below(8));
  while (!info.has_width(c.bits)) c.bits = c.bits % 8 + 1;
  c.group_size = info.group == 0            ? input.Pick(kGroupSizes)
                 : info.group == kPerMatrix ? -1
                                            : static_cast<int>(info.group);
  c.m = 1 + input.Below(100);
  c.k = 1 + input.Size(600);
  const unsigned flags = input.Byte();
  c.zeros = (flags & 1) != 0;
  c.variant = (flags & 2) != 0;
  c.order = (flags & 4) != 0 && (c.scheme == CheckpointScheme::kGptq || c.scheme == CheckpointScheme::kPackQuantized);
  c.scale_type = c.is_fp8() && c.zeros ? DataType::kE8M0 : input.Pick(kFloatTypes);
  if (c.scheme == CheckpointScheme::kAwq) c.m = 8 * (1 + c.m % 12);
  if (c.scheme == CheckpointScheme::kGptq) c.m = 32 * (1 + c.m % 3), c.k = 32 * (1 + c.k % 12);
  if (c.scheme == CheckpointScheme::kNf4 || c.scheme == CheckpointScheme::kFp4) c.k = 16 * (1 + c.k % 30);
  if (c.scheme == CheckpointScheme::kHqq) {  // whole groups and planes
    c.m = 8 * (1 + c.m % 6);
    if (c.group_size != -1) c.k = (1 + c.k % 3) * c.group();
  }
  c.m = std::max<std::size_t>(std::min(c.m, most / c.k / 32 * 32), std::min<std::size_t>(c.m, 32));
  return c;
}

}  // namespace lutra::test
