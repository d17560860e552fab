// Packed files, whole, damaged and forged: a loaded matrix multiplies within its bytes, and an undamaged one equals the
// saved one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fuzz/input.h"
#include "lutra/lutra.h"
#include "support/packed_bytes.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kProducts = 8000;

// By every plan.
void Multiply(Input& input, const PackedMatrix& w) {
  const std::size_t n = 1 + input.Below(5);
  if (w.k() > 4096 || w.m() > 4096 || w.m() * w.k() * n > kProducts * 16) return;
  Random random(1);
  std::vector<float> data(n * w.k());
  for (float& value : data) value = random.Gaussian();
  Context context;
  Activations x;
  const PrepareOptions options(input.Pick(kPrecisions), input.Flag() ? Choice::kFastest : Choice::kInvariant);
  EXPECT_TRUE(Ok(Prepare({data.data(), n, w.k()}, w, options, context, &x)));
  for (const Plan& plan : Plans()) {
    if (!HasMethod(w.format(), plan.method) || KindOf(plan.method, w.format()) != x.kind()) continue;
    Output y(n, w.m(), 0, DataType::kF32);
    EXPECT_TRUE(Ok(MatMul(w, x, y.view(), plan, context)));
    EXPECT_TRUE(y.SurroundingsIntact());
  }
}

// Bytes at a chosen offset from a multiple of 64, with nothing accessible behind them.
struct Placed {
  Placed(const std::vector<std::uint8_t>& from, std::size_t offset)
      : bytes(offset + from.size()), at(bytes.data() + offset) {
    std::copy(from.begin(), from.end(), at);
  }
  Bytes bytes;
  std::uint8_t* at;
};

// Loads a matrix without a check of its data, and multiplies some of its rows.
void LoadUnchecked(Input& input, const Placed& placed, std::size_t size, Target target) {
  PackOptions options;
  options.target = target;
  options.check_data = false;
  PackedMatrix w, rows;
  if (!LoadPacked(placed.at, size, options, &w).ok() || w.m() > 65536) return;
  const std::size_t begin = w.m() / 2 / RowUnit(w) * RowUnit(w);
  EXPECT_TRUE(Ok(ViewRows(w, begin, w.m(), &rows)));
  EXPECT_TRUE(Ok(ReleaseRows(w, begin, w.m())));
  Multiply(input, rows);
}

// Loads a matrix and uses it in every way. True if it was loaded.
bool Loads(Input& input, const std::vector<std::uint8_t>& bytes) {
  const std::size_t offset = input.Rarely(4) ? 1 + input.Below(63) : 0;
  const Placed placed(bytes, offset);
  const Target target = PickTarget(input);
  PackedMatrix w, again;
  Loaded loaded = Loaded::kRepacked;
  const Status status = LoadPacked(placed.at, bytes.size(), {target, nullptr}, &w, &loaded);
  if (!status.ok()) {
    EXPECT_TRUE(*status.argument() != 0 && *status.reason() != 0);
    EXPECT_EQ(w.target(), nullptr);
    LoadUnchecked(input, placed, bytes.size(), target);
    return false;
  }
  EXPECT_EQ(w.target(), target);
  EXPECT_FALSE(loaded == Loaded::kInPlace && offset != 0);
  if (w.m() > 65536) return true;  // rows without columns: nothing to compute, but much to allocate
  Multiply(input, w);
  QuantizedMatrix unpacked, twice;
  EXPECT_TRUE(Ok(Unpack(w, &unpacked)));
  // Forged codes may be none of the format's, which Pack refuses.
  if (Pack(unpacked.view(), {target, nullptr}, &again).ok()) {
    EXPECT_TRUE(Ok(Unpack(again, &twice)));
    ExpectSame(twice.view(), unpacked.view());
  }
  LoadUnchecked(input, placed, bytes.size(), target);
  return true;
}

// A file of a matrix, whose page or data are then edited, cut or lengthened, and sealed as a forger would.
void Forge(Input& input) {
  Case c = PickCase(input, kProducts);
  c.n = 0;
  const Problem problem(c);
  SCOPED_TRACE(c);
  const PackedMatrix packed = Packed(problem, c.target);
  std::vector<std::uint8_t> bytes(PackedFileSize(packed));
  EXPECT_TRUE(Ok(SavePacked(packed, bytes.data(), bytes.size())));
  bool damaged = false;
  if (input.Flag()) {  // any codes; scales stay finite where a bit of each byte is clear
    const std::uint8_t mask = input.Flag() ? 0xff : 0xbf;
    const std::size_t begin = kPage + input.Below(4096);
    Random random(input.Byte());
    for (std::size_t i = begin; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(random.Bits()) & mask;
    damaged = begin < bytes.size();
  }
  for (std::size_t edits = input.Below(6); edits > 0; --edits) {
    const std::size_t at = input.Flag() ? 8 + input.Below(72) : input.Below(65536) % bytes.size();
    damaged = true;
    bytes[at] = input.Byte();
  }
  if (input.Rarely(8)) {
    damaged = true;
    bytes.resize(input.Flag() ? bytes.size() + 1 + input.Below(256) : input.Below(65536) % bytes.size());
  }
  if (input.Flag() && bytes.size() >= kPage) Seal(bytes.data(), bytes.size());
  EXPECT_TRUE(Loads(input, bytes) || damaged);
}

}  // namespace

void CheckInput(Input& input) {
  if (!input.Rarely(16)) return Forge(input);
  Loads(input, input.Rest());
}

}  // namespace lutra::test
