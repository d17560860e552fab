// Routing: sorts (token, slot) pairs by expert, by counting.
#include <algorithm>
#include <limits>

#include "lutra/grouped.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

Status Routing::Assign(const std::int32_t* ids, std::size_t tokens, std::size_t slots, std::size_t stride,
                       std::size_t experts) {
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (tokens > kMost || slots > kMost || tokens * slots > kMost) return Status::Invalid("tokens", "are too many");
  if (experts > kMost) return Status::Invalid("experts", "are too many");
  const std::size_t pairs = tokens * slots;
  if (ids == nullptr && pairs != 0) return Status::Invalid("ids", "is null");
  if (tokens > 1 && stride < slots) return Status::Invalid("stride", "is smaller than slots");
  if (internal::Overflows(tokens, stride, sizeof(*ids))) return Status::Invalid("stride", "is too large");
  const auto none = static_cast<std::int32_t>(experts);
  const auto expert_of = [&](std::size_t pair) {
    const std::int32_t id = ids[pair / slots * stride + pair % slots];
    return id < 0 ? none : id;
  };
  for (std::size_t token = 0; token < tokens; ++token) {
    for (std::size_t slot = 0; slot < slots; ++slot) {
      if (ids[token * stride + slot] >= none) return Status::Invalid("ids", "holds an expert that there is not");
    }
  }
  if (!buffer_.Reserve((experts + 2 + 2 * pairs) * sizeof(std::int32_t))) return Status::OutOfMemory("routing");
  tokens_ = tokens;
  slots_ = slots;
  experts_ = experts;
  auto* const offsets_of = buffer_.as<std::int32_t>();
  std::int32_t* const pairs_of = offsets_of + experts + 2;
  std::int32_t* const tokens_of = pairs_of + pairs;
  // offsets[e + 1] counts the pairs of expert e, then is where they begin, then where they end.
  std::fill_n(offsets_of, experts + 2, 0);
  for (std::size_t pair = 0; pair < pairs; ++pair) ++offsets_of[expert_of(pair) + 1];
  std::int32_t begin = 0;
  for (std::size_t e = 0; e <= experts; ++e) {
    const std::int32_t count = offsets_of[e + 1];
    offsets_of[e + 1] = begin;
    begin += count;
  }
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    const auto at = static_cast<std::size_t>(offsets_of[expert_of(pair) + 1]++);
    pairs_of[at] = static_cast<std::int32_t>(pair);
    tokens_of[at] = static_cast<std::int32_t>(pair / slots);
  }
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
