// A fuzzer for libFuzzer. A failed expectation becomes an uncaught exception: a crash, so that libFuzzer keeps its
// input.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "fuzz/input.h"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  GTEST_FLAG_SET(throw_on_failure, true);
  return 0;
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lutra::test::Input input(data, size);
  lutra::test::CheckInput(input);
  return 0;
}
