// Files of every scheme whose header, configuration and data are edited: nothing beyond the file is read, and what is
// imported can be packed.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "support/read_safetensors.h"
#include "support/safetensors_writer.h"

namespace lutra::test {
namespace {

struct File {
  std::string header, config;
  std::vector<std::uint8_t> data;
};

// A small file for every case of every scheme.
std::vector<File> MakeFiles() {
  std::vector<File> files;
  for (const CheckpointInfo& scheme : kCheckpointSchemes) {
    for (CheckpointCase c : FileCasesOf(scheme)) {
      c.m = 32;
      c.k = c.group_size == -1 ? 128 : std::max<std::size_t>(c.group(), 32);
      const CheckpointTensors tensors(c);
      SafetensorsWriter writer;
      writer.Checkpoint("layer", c, tensors);
      const std::vector<std::uint8_t> bytes = writer.Bytes();
      std::uint64_t length;
      std::memcpy(&length, bytes.data(), sizeof(length));
      const auto data = bytes.begin() + static_cast<std::ptrdiff_t>(sizeof(length) + length);
      files.push_back({std::string(bytes.begin() + sizeof(length), data), SafetensorsWriter::Config(c),
                       std::vector<std::uint8_t>(data, bytes.end())});
    }
  }
  return files;
}

// Replaces some characters by a word of JSON, of the format, or of the input.
void Edit(Input& input, std::string* text) {
  static const std::string kWords[] = {"",
                                       "0",
                                       "1",
                                       "-1",
                                       "3",
                                       "8",
                                       "31",
                                       "32",
                                       "33",
                                       "64",
                                       "127",
                                       "128",
                                       "4096",
                                       "65536",
                                       "4294967295",
                                       "4294967296",
                                       "9223372036854775807",
                                       "18446744073709551615",
                                       "1e9",
                                       "0.5",
                                       "null",
                                       "true",
                                       "[",
                                       "]",
                                       "{",
                                       "}",
                                       ",",
                                       ":",
                                       "\"",
                                       "\\",
                                       "[1,1]",
                                       "{}",
                                       "\"U8\"",
                                       "\"I8\"",
                                       "\"I32\"",
                                       "\"I64\"",
                                       "\"F16\"",
                                       "\"BF16\"",
                                       "\"F32\"",
                                       "\"F8_E4M3\"",
                                       "\"F8_E8M0\""};
  const std::size_t at = input.Below(text->size() + 1), count = input.Below(12);
  const std::uint8_t word = input.Byte();
  const bool own = word >= std::size(kWords);
  text->replace(at, std::min(count, text->size() - at),
                own ? std::string(1, static_cast<char>(input.Byte())) : kWords[word]);
}

}  // namespace

void CheckInput(Input& input) {
  static const std::vector<File> files = MakeFiles();
  File file = files[input.Below(files.size())];
  const std::uint8_t flags = input.Byte();
  if ((flags & 1) != 0) file.data.resize(input.Below(file.data.size() + 65));
  const bool damaged = (flags & 2) != 0;
  for (int edits = 0; edits < 8 && !input.empty(); ++edits) Edit(input, input.Flag() ? &file.header : &file.config);
  std::vector<std::uint8_t> bytes = SafetensorsWriter::File(file.header, file.data);
  if (damaged) bytes[input.Below(8)] = input.Byte();
  ReadSafetensors(bytes, file.config);
}

}  // namespace lutra::test
