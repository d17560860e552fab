// Turns a failed expectation into an uncaught exception: a crash, so that libFuzzer keeps its input.
#include <gtest/gtest.h>

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);

int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  GTEST_FLAG_SET(throw_on_failure, true);
  return 0;
}
