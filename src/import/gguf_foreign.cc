// GgufRefusal, and a table of the types that ggml's forks have, and that ggml had.
#include "import/gguf_foreign.h"

#include "lutra/import.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

struct ForeignTypes {
  std::uint32_t first, last;  // ids
  const char* reason;
};

// The forks use the same ids for different types now and then.
constexpr ForeignTypes kForeignTypes[] = {
    {4, 4, "is q4_2, which ggml has removed"},
    {5, 5, "is q4_3, which ggml has removed"},
    {31, 31, "is q4_0_4_4, which ggml has removed: make q4_0 of it"},
    {32, 32, "is q4_0_4_8, which ggml has removed: make q4_0 of it"},
    {33, 33, "is q4_0_8_8, which ggml has removed: make q4_0 of it"},
    {37, 37, "is I8_S of bitnet.cpp or iq4_nl_4_8, which ggml does not have"},
    {38, 38, "is TL1 of bitnet.cpp or iq4_nl_8_8, which ggml does not have"},
    {97, 97, "is q8_0_x4 of ik_llama.cpp, which ggml does not have"},
    {98, 98, "is q8_1_x4 of ik_llama.cpp, which ggml does not have"},
    {99, 99, "is q8_2_x4 of ik_llama.cpp, which ggml does not have"},
    {133, 133, "is q6_0 of ik_llama.cpp, which ggml does not have"},
    {134, 134, "is iq1_bn of ik_llama.cpp, which ggml does not have"},
    {135, 135, "is iq2_bn of ik_llama.cpp, which ggml does not have"},
    {136, 136, "is q8_K64 of ik_llama.cpp, which ggml does not have"},
    {137, 137, "is iq2_k of ik_llama.cpp, which ggml does not have"},
    {138, 138, "is iq3_k of ik_llama.cpp, which ggml does not have"},
    {139, 139, "is iq4_k of ik_llama.cpp, which ggml does not have"},
    {140, 140, "is iq5_k of ik_llama.cpp, which ggml does not have"},
    {141, 141, "is iq6_k of ik_llama.cpp, which ggml does not have"},
    {144, 144, "is iq4_ks of ik_llama.cpp, which ggml does not have"},
    {145, 145, "is iq2_ks of ik_llama.cpp, which ggml does not have"},
    {146, 146, "is iq4_kss of ik_llama.cpp, which ggml does not have"},
    {147, 147, "is q8_K16 of ik_llama.cpp, which ggml does not have"},
    {148, 148, "is q8_K32 of ik_llama.cpp, which ggml does not have"},
    {149, 149, "is q8_KR8 of ik_llama.cpp, which ggml does not have"},
    {150, 150, "is q8_K128 of ik_llama.cpp, which ggml does not have"},
    {151, 151, "is q8_KV of ik_llama.cpp, which ggml does not have"},
    {152, 152, "is iq5_ks of ik_llama.cpp, which ggml does not have"},
    {153, 153, "is iq2_kt of ik_llama.cpp, which ggml does not have"},
    {154, 154, "is iq3_kt of ik_llama.cpp, which ggml does not have"},
    {155, 155, "is iq4_kt of ik_llama.cpp, which ggml does not have"},
    {156, 156, "is iq3_ks of ik_llama.cpp, which ggml does not have"},
    {157, 157, "is iq2_kl of ik_llama.cpp, which ggml does not have"},
    {158, 158, "is iq1_kt of ik_llama.cpp, which ggml does not have"},
    {202, 399, "is a type of ik_llama.cpp with interleaved rows, which ggml does not have"},
};

}  // namespace

const char* internal::ForeignGgufType(std::uint32_t id) {
  for (const ForeignTypes& types : kForeignTypes) {
    if (types.first <= id && id <= types.last) return types.reason;
  }
  return "is not one that ggml has";
}

const char* functions::GgufRefusal(std::uint32_t type) {
  const GgufType* const known = FindGgufType(type);
  return known != nullptr ? known->refusal : internal::ForeignGgufType(type);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
