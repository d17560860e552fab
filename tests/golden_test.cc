// Results have the bits that they had in earlier versions.
#include "support/golden.h"

#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdio>

#include "lutra/lutra.h"
#include "support/names.h"

namespace lutra::test {
namespace {

TEST(Golden, BitsOfEveryTarget) {
  for (const Golden& golden : kGolden) {
    for (const Target target : RunnableTargets()) {
      EXPECT_EQ(ChecksumOf(golden.format, golden.precision, target, nullptr), golden.checksum)
          << Name(golden.format) << ' ' << Name(golden.precision) << " on " << TargetName(target);
    }
  }
}

}  // namespace
}  // namespace lutra::test
