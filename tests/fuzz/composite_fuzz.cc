// Files of composites, whole, damaged and forged: a loaded composite multiplies within its bytes, and an undamaged one
// equals the saved one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "fuzz/input.h"
#include "lutra/composite.h"
#include "lutra/lutra.h"
#include "support/composites.h"
#include "support/packed_bytes.h"
#include "support/problem.h"
#include "support/testing.h"
#include "support/xxh64.h"

namespace lutra::test {
namespace {

constexpr std::size_t kHead = 128, kMost = std::size_t{1} << 20;  // of products

std::uint64_t NumberAt(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  std::uint64_t number = 0;
  std::memcpy(&number, bytes.data() + at, sizeof(number));
  return number;
}

// Bytes that a forger knows where to find.
struct Places {
  std::size_t arrays_end, matrices_begin, matrices;

  explicit Places(const Composite& composite) {
    const CompositeParts& parts = composite.parts;
    matrices = parts.rows.size() + (parts.up != nullptr ? 2 : 0);
    arrays_end = kHead + matrices * 8 + (parts.order != nullptr ? 4 * composite.rows : 0) + BytesOf(parts.sparse);
    matrices_begin = (arrays_end + 63) / 64 * 64;
  }
};

// Makes the checksums of the file right.
void SealFile(const Places& places, std::vector<std::uint8_t>* bytes) {
  std::size_t at = places.matrices_begin;
  for (std::size_t i = 0; i < places.matrices && kHead + i * 8 + 8 <= bytes->size(); ++i) {
    const std::uint64_t size = NumberAt(*bytes, kHead + i * 8);
    if (size < kPage || at > bytes->size() || size > bytes->size() - at) break;
    Seal(bytes->data() + at, static_cast<std::size_t>(size));
    at += static_cast<std::size_t>(size + 63) / 64 * 64;
  }
  if (places.arrays_end > bytes->size()) return;
  const std::uint64_t arrays = Xxh64::Of(bytes->data() + kHead, places.arrays_end - kHead);
  std::memcpy(bytes->data() + kHead - 16, &arrays, sizeof(arrays));
  const std::uint64_t head = Xxh64::Of(bytes->data(), kHead - 8);
  std::memcpy(bytes->data() + kHead - 8, &head, sizeof(head));
}

// Loads a composite and uses it. Returns false if it is refused.
bool Loads(Input& input, const std::vector<std::uint8_t>& bytes, const Composite* expected) {
  const std::size_t offset = input.Rarely(4) ? 1 + input.Below(63) : 0;
  Bytes placed(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), placed.data() + offset);
  PackOptions options;
  options.target = PickTarget(input);
  options.check_data = expected != nullptr || !input.Rarely(4);
  CompositeMatrix w;
  const Status status = LoadComposite(placed.data() + offset, bytes.size(), options, &w);
  if (!status.ok()) {
    EXPECT_TRUE(*status.argument() != 0 && *status.reason() != 0);
    EXPECT_EQ(w.m(), 0u);
    return false;
  }
  const std::size_t n = 1 + input.Below(4);
  if (w.m() > 4096 || w.k() > 4096 || w.m() * w.k() * n > kMost) return true;
  Random random(1);
  std::vector<float> x(n * w.k());
  for (float& value : x) value = random.Gaussian();
  CompositeOptions how;
  how.prepare.precision = input.Pick(kPrecisions);
  // Forged weights may be huge, so that the path of low rank gives what is not finite.
  how.prepare.non_finite = NonFinite::kPropagate;
  if (input.Flag()) how.outliers = static_cast<float>(input.Below(4));
  const std::vector<float> y = Composite::Multiply(w, {x.data(), n, w.k()}, how);
  if (expected != nullptr) {
    EXPECT_TRUE(SameBits(y, Composite::Multiply(expected->w, {x.data(), n, w.k()}, how), w.m()));
  }
  std::vector<std::uint8_t> again(CompositeFileSize(w));
  EXPECT_TRUE(Ok(SaveComposite(w, again.data(), again.size())));
  return true;
}

// A file of a composite, of which some bytes are then edited, cut or added, and sealed as a forger would.
void Forge(Input& input) {
  std::vector<Format> formats(1 + input.Below(3));
  for (Format& format : formats) format = input.Pick(kFormats).format;
  Case c = SmallCase();
  c.target = PickTarget(input);
  c.m = input.Below(80);
  c.k = input.Size(300);
  c.n = 0;
  c.seed = input.Byte();
  const std::uint8_t flags = input.Byte();
  const Composite composite(formats, c, {(flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0});
  std::vector<std::uint8_t> bytes(CompositeFileSize(composite.w));
  EXPECT_TRUE(Ok(SaveComposite(composite.w, bytes.data(), bytes.size())));
  const Places places(composite);
  bool damaged = false;
  for (std::size_t edits = input.Below(6); edits > 0; --edits) {
    const std::size_t ends[] = {64, places.arrays_end, places.matrices_begin + kPage, bytes.size()};
    const std::size_t at = input.Below(65536) % std::min(bytes.size(), input.Pick(ends));
    damaged = true;
    bytes[at] = input.Byte();
  }
  if (input.Rarely(8)) {
    damaged = true;
    bytes.resize(input.Flag() ? bytes.size() + 1 + input.Below(256) : input.Below(65536) % bytes.size());
  }
  if (input.Flag() && damaged) SealFile(places, &bytes);
  EXPECT_TRUE(Loads(input, bytes, damaged ? nullptr : &composite) || damaged);
}

}  // namespace

void CheckInput(Input& input) {
  if (!input.Rarely(16)) return Forge(input);
  Loads(input, input.Rest(), nullptr);
}

}  // namespace lutra::test
