// Writes a GGUF file for the tests of examples, with a tensor of every type that is imported, and a model in three
// parts: write_gguf FILE PREFIX
#include <cstdio>
#include <string>
#include <vector>

#include "support/gguf_writer.h"
#include "support/problem.h"

namespace lutra::test {
namespace {

bool Write(const GgufWriter& file, const std::string& path) {
  const std::vector<std::uint8_t> bytes = file.Bytes();
  std::FILE* const out = std::fopen(path.c_str(), "wb");
  if (out == nullptr) return false;
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), out) == bytes.size();
  return std::fclose(out) == 0 && written;
}

// Parts with one tensor each, of which one has experts.
bool WriteParts(const std::string& prefix, Random& random) {
  for (std::uint16_t i = 0; i < 3; ++i) {
    GgufWriter file;
    file.Split(i, 3, 3);
    file.Tensor("blk." + std::to_string(i), {256, 64, i == 1 ? 4u : 1u}, 2,
                MakeBlocks(2, 64 * 8 * (i == 1 ? 4 : 1), random).bytes);
    if (!Write(file, prefix + "-0000" + std::to_string(i + 1) + "-of-00003.gguf")) return false;
  }
  return true;
}

}  // namespace
}  // namespace lutra::test

int main(int argc, char** argv) {
  using namespace lutra::test;
  if (argc != 2 && argc != 3) return 2;
  struct Tensor {
    std::string name;
    std::uint64_t k, m;
    std::uint32_t type;
    float scale = 0.0f;
  };
  constexpr std::uint64_t kWidth = 512, kHidden = 768;
  // Blocks with one level of scales and with two, where gate and up have groups of different sizes.
  std::vector<Tensor> tensors = {{"gate", kWidth, kHidden, 2},   {"up", kWidth, kHidden, 2},
                                 {"down", kHidden, kWidth, 35},  {"gate.k", kWidth, kHidden, 12},
                                 {"up.k", kWidth, kHidden, 11},  {"down.k", kHidden, kWidth, 10},
                                 {"\x1b[31mred", kWidth, 64, 42}};
  for (const lutra::GgufType& type : lutra::GgufTypes()) {
    if (type.refusal != nullptr) continue;
    tensors.push_back({type.name, 4096, 64, type.id});
    if (type.format == lutra::Format::kTernary && type.tail_bytes == 0) {
      tensors.push_back({type.name + std::string(".one_scale"), 4096, 64, type.id, 0.05f});
    }
  }
  Random random(1);
  GgufWriter file;
  for (const Tensor& t : tensors) {
    const std::size_t blocks = t.m * t.k / lutra::FindGgufType(t.type)->weights;
    file.Tensor(t.name, {t.k, t.m}, t.type, MakeBlocks(t.type, blocks, random, {0, t.scale}).bytes);
  }
  file.Tensor("norm", {kWidth}, 0, std::vector<std::uint8_t>(4 * kWidth));
  file.Tensor("half", {kWidth}, 1, std::vector<std::uint8_t>(2 * kWidth));
  file.Tensor("brain", {kWidth}, 30, std::vector<std::uint8_t>(2 * kWidth));
  file.Tensor("new", {kWidth}, 99, std::vector<std::uint8_t>(kWidth));
  file.Tensor("unknown", {kWidth}, 500, std::vector<std::uint8_t>(kWidth));
  file.Tensor("odd", {1, 1, 1, 1, 1}, 0, std::vector<std::uint8_t>(4));
  file.Tensor("experts", {256, 32, 4}, 12, MakeBlocks(12, 32 * 4, random).bytes);
  if (!Write(file, argv[1])) return 1;
  return argc == 2 || WriteParts(argv[2], random) ? 0 : 1;
}
