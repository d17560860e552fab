// A fuzzer as an ordinary test: it runs over the inputs that are kept.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "fuzz/input.h"

extern const char* const corpus_folder;  // of one fuzzer

TEST(Corpus, Holds) {
  std::size_t inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus_folder)) {
    SCOPED_TRACE(entry.path());
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    lutra::test::Input input(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    lutra::test::CheckInput(input);
    ++inputs;
  }
  EXPECT_GT(inputs, 0u);
}
