// Writes a .safetensors file for the tests of examples, with a matrix of every scheme: write_safetensors FILE
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "support/safetensors_writer.h"

int main(int argc, char** argv) {
  using namespace lutra;
  using namespace lutra::test;
  if (argc != 2) return 2;
  SafetensorsWriter writer;
  for (const CheckpointInfo& info : kCheckpointSchemes) {
    // Of each width one case, with all that the scheme has; padded codes of 7 bits and blocks of 24 rows need a
    // configuration.
    std::map<int, CheckpointCase> cases;
    for (const CheckpointCase& c : FileCasesOf(info)) {
      if ((c.group_size == 32 || info.group != 0) && !(c.bits == 7 && c.variant) && c.scale_rows() != 24) {
        cases[c.bits] = c;
      }
    }
    for (auto& [bits, c] : cases) {
      c.k = 768;
      writer.Checkpoint(info.name + ("." + std::to_string(bits)), c, CheckpointTensors(c));
    }
  }
  const CheckpointCase experts{CheckpointScheme::kMxfp4, 4, 128, 256, 32};
  const CheckpointTensors tensors(experts);
  const CheckpointView& v = tensors.view();
  writer.Tensor("mlp.experts_blocks", "U8", {4, 32, 8, 16}, v.codes.data, v.codes.size);
  writer.Tensor("mlp.experts_scales", "U8", {4, 32, 8}, v.scales.data, v.scales.size);
  writer.Values("\\u001b[31mred", "F32", std::vector<float>(3));
  writer.Values("embed", "BF16", std::vector<std::uint16_t>(64));
  writer.Values("odd.qweight", "I32", std::vector<std::int32_t>(64));
  const std::vector<std::uint8_t> bytes = writer.Bytes();
  std::FILE* const out = std::fopen(argv[1], "wb");
  if (out == nullptr) return 1;
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), out) == bytes.size();
  return std::fclose(out) == 0 && written ? 0 : 1;
}
