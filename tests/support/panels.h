// Packed weights in memory of a layout: packed in parts, and compared with those of Pack.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lutra/lutra.h"
#include "support/packed_bytes.h"
#include "support/testing.h"

namespace lutra::test {

// The memory of a layout, filled with garbage, before an unmapped page.
class LayoutMemory {
 public:
  explicit LayoutMemory(const PackedLayout& layout) : bytes_(layout.bytes()) {
    std::fill_n(bytes_.data(), bytes_.size(), std::uint8_t{0xa5});
  }
  std::uint8_t* data() { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }

 private:
  Bytes bytes_;
};

// The same bytes and properties, tail included.
inline void ExpectSameMatrix(const PackedMatrix& actual, const PackedMatrix& expected) {
  ASSERT_EQ(actual.bytes(), expected.bytes());
  ASSERT_EQ(actual.m(), expected.m());
  ASSERT_EQ(actual.k(), expected.k());
  EXPECT_EQ(actual.format(), expected.format());
  EXPECT_EQ(actual.group(), expected.group());
  EXPECT_EQ(actual.scale_type(), expected.scale_type());
  EXPECT_EQ(actual.zero_kind(), expected.zero_kind());
  EXPECT_EQ(actual.matrix_scale(), expected.matrix_scale());
  EXPECT_EQ(actual.target(), expected.target());
  EXPECT_EQ(std::memcmp(actual.data(), expected.data(), actual.bytes()), 0);
  ASSERT_EQ(actual.has_bias(), expected.has_bias());
  if (actual.has_bias()) EXPECT_EQ(std::memcmp(actual.bias(), expected.bias(), actual.m() * sizeof(float)), 0);
  ASSERT_EQ(actual.order() != nullptr, expected.order() != nullptr);
  if (actual.order() != nullptr) {
    EXPECT_EQ(std::memcmp(actual.order(), expected.order(), actual.k() * sizeof(std::uint32_t)), 0);
  }
}

// Packs all panels, a few at a time, from the last to the first.
template <class Source>
void PackInParts(const PackedLayout& layout, const Source& source, std::size_t at_a_time, LayoutMemory& memory) {
  for (std::size_t end = layout.panels(); end != 0;) {
    const std::size_t begin = end > at_a_time ? end - at_a_time : 0;
    ASSERT_TRUE(Ok(PackPanels(layout, source, begin, end, memory.data(), memory.size())));
    end = begin;
  }
}

// A checkpoint packs to the same bytes as what the import made of it, on every target.
template <class Source>
void ExpectPanelsOfPack(const Source& source, const QuantizedView& imported) {
  for (const Target target : RunnableTargets()) {
    PackedLayout layout;
    PackedMatrix packed, expected;
    ASSERT_TRUE(Ok(LayoutOf(source, {target}, &layout)));
    LayoutMemory memory(layout);
    PackInParts(layout, source, 1, memory);
    ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), 0, &packed)));
    ASSERT_TRUE(Ok(Pack(imported, {target, nullptr}, &expected)));
    ExpectSameMatrix(packed, expected);
  }
}

}  // namespace lutra::test
