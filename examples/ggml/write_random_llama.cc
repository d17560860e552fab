// Writes a Llama with random weights: write_random_llama FILE SHAPE TYPE
#include <cstdio>
#include <cstring>

#include "random_llama.h"

namespace {

template <class Row, std::size_t kCount>
const Row* Find(const Row (&rows)[kCount], const char* name) {
  for (const Row& row : rows) {
    if (std::strcmp(row.name, name) == 0) return &row;
  }
  std::fprintf(stderr, "%s is none of", name);
  for (const Row& row : rows) std::fprintf(stderr, " %s", row.name);
  std::fprintf(stderr, "\n");
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s FILE SHAPE TYPE\n", argv[0]);
    return 2;
  }
  const random_llama::Shape* const shape = Find(random_llama::kShapes, argv[2]);
  const random_llama::FileType* const type = Find(random_llama::kFileTypes, argv[3]);
  if (shape == nullptr || type == nullptr) return 2;
  if (random_llama::Write(argv[1], *shape, *type)) return 0;
  std::fprintf(stderr, "%s cannot be written\n", argv[1]);
  return 1;
}
