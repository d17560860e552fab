// Reads a .safetensors file that may be malformed, and imports the matrices that are found in it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../examples/safetensors_file.h"
#include "../examples/safetensors_schemes.h"
#include "lutra/lutra.h"
#include "support/guarded.h"
#include "support/testing.h"

namespace lutra::test {

// Parses a copy that ends before an unmapped page, and imports the last slice of every matrix that is not refused. A
// matrix that was imported can be packed.
inline void ReadSafetensors(const std::vector<std::uint8_t>& bytes, const std::string& config) {
  Guarded copy(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.data());
  examples::SafetensorsFile file;
  const std::string error = file.Parse(copy.data(), copy.size());
  if (!error.empty()) {
    EXPECT_TRUE(file.tensors().empty());
    return;
  }
  (void)file.ParseConfig(config.data(), config.size());
  for (const examples::FoundMatrix& found : examples::FindMatrices(file)) {
    if (!found.refusal.empty()) continue;
    QuantizedMatrix w;
    if (!ImportCheckpoint(found.Slice(found.slices - 1), &w).ok()) continue;
    PackedMatrix packed;
    EXPECT_TRUE(Ok(Pack(w.view(), &packed)));
  }
}

}  // namespace lutra::test
