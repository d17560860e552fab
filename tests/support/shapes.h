// The problem sizes that the tests sweep.
#pragma once

#include <cstddef>

namespace lutra::test {

struct Shape {
  std::size_t m, n, k;
};

// Both sides of every width the library rounds to: tiles, panels, chunks, blocks and groups.
inline constexpr std::size_t kSizes[] = {1,  2,  3,  4,  5,  6,   7,   8,   9,   15,  16,  17,  31,
                                         32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000};
inline constexpr std::size_t kSizeCount = sizeof(kSizes) / sizeof(kSizes[0]);

// Shape number i of a sweep. Each lap of 25 brings every size once to every dimension, because the strides are coprime
// to 25; these strides and offsets let large sizes meet small ones, so that five laps take only 17 million products.
constexpr Shape MixedShape(std::size_t i) {
  const std::size_t lap = i / kSizeCount;
  return {kSizes[(16 * i + lap + 23) % kSizeCount], kSizes[(8 * i + 2 * lap + 16) % kSizeCount],
          kSizes[i % kSizeCount]};
}

// Layers of Llama-2-7B and BitNet-3B.
inline constexpr Shape kModelShapes[] = {
    {4096, 5, 4096}, {11008, 1, 4096}, {4096, 2, 11008}, {8640, 1, 3200}, {3200, 3, 8640}};

}  // namespace lutra::test
