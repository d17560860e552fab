// Layouts, panels and parts from any arguments: what succeeds has the bytes of Pack and Prepare, what fails names the
// argument and writes nothing outside the memory. Blocks and words of any bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "fuzz/input.h"
#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/packed_bytes.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kProducts = 20000;

// True if the call succeeded. A status that is not ok has texts.
bool Succeeded(const Status& status) {
  EXPECT_EQ(*status.argument() == 0, status.ok());
  EXPECT_EQ(*status.reason() == 0, status.ok());
  return status.ok();
}

// Packs all panels in ranges that the input chooses, after calls with faulty ranges and memory. True if all succeeded.
template <class Source>
bool PackAll(Input& input, const PackedLayout& layout, const Source& source, Bytes& memory) {
  std::fill_n(memory.data(), memory.size(), input.Byte());
  const std::size_t size = memory.size(), panels = layout.panels();
  EXPECT_FALSE(Succeeded(PackPanels(layout, source, 0, panels + 1, memory.data(), size)));
  if (size != 0) {
    EXPECT_FALSE(Succeeded(PackPanels(layout, source, 0, panels, nullptr, size)));
    EXPECT_FALSE(Succeeded(PackPanels(layout, source, 0, panels, memory.data(), size - 1)));
  }
  bool ok = true;
  for (std::size_t end = panels; ok && end != 0;) {
    const std::size_t begin = end - 1 - input.Below(end);
    ok = Succeeded(PackPanels(layout, source, begin, end, memory.data(), size));
    end = begin;
  }
  return ok && (panels != 0 || Succeeded(PackPanels(layout, source, 0, 0, memory.data(), size)));
}

// The matrices in memory are those of Pack.
void ExpectPacked(const PackedLayout& layout, const Bytes& memory, std::uint8_t* data, const QuantizedView& all) {
  for (std::size_t i = 0; i < layout.count(); ++i) {
    PackedMatrix w, expected;
    ASSERT_TRUE(Ok(View(layout, data, memory.size(), i, &w)));
    const QuantizedView part = Rows(all, i * layout.m(), (i + 1) * layout.m());
    ASSERT_TRUE(Ok(Pack(part, {layout.target(), nullptr}, &expected)));
    ASSERT_EQ(w.bytes(), expected.bytes());
    EXPECT_TRUE(w.bytes() == 0 || std::memcmp(w.data(), expected.data(), w.bytes()) == 0);
    QuantizedMatrix unpacked;
    ASSERT_TRUE(Ok(Unpack(w, &unpacked)));
    ExpectSame(unpacked.view(), part);
  }
}

void CheckView(Input& input) {
  Case c = PickCase(input, kProducts);
  const std::size_t count = input.Rarely(4) ? 1 + input.Below(3) : 1, m = c.m / count;
  c.m = m * count;
  const Problem problem(c);
  QuantizedView shape = problem.w(), w = problem.w();
  shape.m = m;
  const bool spoils = input.Rarely(4);
  if (spoils) input.Pick(kWeightFaults).spoil(w);
  PackedLayout layout;
  ASSERT_TRUE(Ok(LayoutOf(shape, {c.target, count}, &layout)));
  Bytes memory(layout.bytes());
  const bool packed = PackAll(input, layout, w, memory);
  EXPECT_TRUE(packed || spoils);
  if (packed && !spoils) ExpectPacked(layout, memory, memory.data(), w);
  if (!packed || m == 0 || c.k == 0) return;

  PackedMatrix view;
  ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), count - 1, &view)));
  const auto row = static_cast<std::int32_t>(input.Below(m + 1));
  std::vector<float> y(c.k);
  EXPECT_EQ(Succeeded(DequantizeRows(view, &row, 1, y.data(), c.k)), static_cast<std::size_t>(row) < m);
}

void CheckGguf(Input& input) {
  const GgufType& type = GgufTypes().data[input.Below(GgufTypes().size)];
  const std::size_t m = input.Below(150), blocks = input.Below(4), k = blocks * type.weights;
  const std::vector<std::uint8_t> data =
      input.Repeated(m * blocks * type.bytes + (m * blocks != 0 ? type.tail_bytes : 0));
  const Target target = PickTarget(input);
  const GgufBlocks source{type.id, data.data(), input.Rarely(16) ? input.Below(4096) : data.size()};
  QuantizedMatrix imported;
  const bool valid = Succeeded(ImportGguf(type.id, data.data(), data.size(), m, k, &imported));
  PackedLayout layout;
  const bool has_layout = input.Flag() ? Succeeded(LayoutOfGguf(type.id, m, k, {target}, &layout))
                                       : Succeeded(LayoutOfGguf(source, m, k, {target}, &layout));
  if (!has_layout) return;
  Bytes memory(layout.bytes());
  const bool packed = PackAll(input, layout, source, memory);
  // The import may have chosen another group or format, and reads blocks that have no columns.
  const bool same = valid && imported.view().group == layout.group() && imported.view().format == layout.format();
  if (packed && same) ExpectPacked(layout, memory, memory.data(), imported.view());
  if (!packed || data.size() > source.size) return;
  PackedMatrix w;
  ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), 0, &w)));
  std::vector<std::uint8_t> restored(m * blocks * type.bytes);
  const std::size_t begin = input.Below(m + 1);
  (void)Succeeded(UnpackGguf(w, type.id, 0, m, restored.data(), restored.size()));
  EXPECT_EQ(UnpackGguf(w, type.id, begin, m, restored.data(), restored.size() + 1).ok(), false);
}

void CheckFloats(Input& input) {
  QuantizeOptions options;
  options.format = input.Pick(kFormats).format;
  options.group = input.Pick(kGroups);
  options.scale_type = input.Pick(kFloatTypes);
  const Zeros zeros = input.Pick(kZeros);
  SetZeros(HasZeros(options.format, zeros) ? zeros : Zeros::kNone, &options);
  std::int8_t codebook[kMaxTables * 16];
  for (std::int8_t& value : codebook)
    value = static_cast<std::int8_t>(std::max(-127, int{input.Number<std::int8_t>()}));
  options.codebook = codebook;
  options.codebook_tables = 1 + input.Below(kMaxTables);
  const std::size_t m = input.Size(130), k = input.Size(600), stride = k + input.Below(3);
  std::vector<float> weights(m * stride);
  Random random(input.Byte());
  for (float& weight : weights) weight = random.Gaussian();
  if (input.Rarely(8) && !weights.empty()) weights[input.Below(weights.size())] = input.Number<float>();
  QuantizedMatrix quantized;
  const bool valid = Succeeded(Quantize(weights.data(), m, k, stride, options, &quantized));
  PackedLayout layout;
  ASSERT_TRUE(Ok(LayoutOf(ShapeOf(m, k, options), {PickTarget(input)}, &layout)));
  Bytes memory(layout.bytes());
  const bool packed = PackAll(input, layout, FloatRows{weights.data(), stride}, memory);
  EXPECT_TRUE(!packed || valid || stride != k);  // a value between rows does not matter to either
  if (packed && valid) ExpectPacked(layout, memory, memory.data(), quantized.view());
}

void CheckParts(Input& input) {
  Case c = PickCase(input, kProducts);
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  const bool bits = HasBits(c.format) && c.x.type == DataType::kBits && c.x.scale_group == kPerRow;
  const Choice other = bits && input.Flag() ? Choice::kBits : Choice::kFastest;
  const PrepareOptions options(c.precision, input.Flag() ? other : Choice::kInvariant);
  std::size_t bytes = 0;
  ASSERT_TRUE(Ok(PreparedSize(w, c.n, options, &bytes)));
  const std::size_t parts = 1 + input.Below(9);
  Bytes together(bytes), apart(bytes);
  std::fill_n(together.data(), bytes, std::uint8_t{0});
  std::fill_n(apart.data(), bytes, std::uint8_t{0});
  const Status whole = PreparePart(problem.x(), w, options, 0, 1, together.data(), bytes);
  bool ok = true;
  for (std::size_t part = 0; part < parts; ++part) {
    ok = Succeeded(PreparePart(problem.x(), w, options, part, parts, apart.data(), bytes)) && ok;
  }
  EXPECT_EQ(ok, whole.ok());
  EXPECT_FALSE(Succeeded(PreparePart(problem.x(), w, options, parts, parts, apart.data(), bytes)));
  if (!ok || bytes == 0) return;
  EXPECT_EQ(std::memcmp(together.data(), apart.data(), bytes), 0);
  EXPECT_FALSE(Succeeded(PreparePart(problem.x(), w, options, 0, 1, apart.data(), bytes - 1)));
}

}  // namespace

void CheckInput(Input& input) {
  constexpr void (*kChecks[])(Input&) = {CheckView, CheckGguf, CheckFloats, CheckParts};
  input.Pick(kChecks)(input);
}

}  // namespace lutra::test
