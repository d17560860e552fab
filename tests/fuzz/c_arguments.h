// Arguments of the C API, as a fuzzer picks and spoils them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "fuzz/input.h"
#include "lutra/lutra_c.h"
#include "support/faults.h"

namespace lutra::test {

inline void RunBackwards(void* /*state*/, std::size_t count, lutra_task task, void* context) {
  while (count-- > 0) task(context, count);
}

inline const char* PickTargetName(Input& input) {
  if (input.Rarely(16)) return "ABACUS";
  return lutra_target_name(input.Below(lutra_target_count() + 1));  // NULL behind the last
}

// A value of an enum, or rarely any number.
inline std::int32_t PickEnum(Input& input, std::size_t end) {
  return input.Rarely(32) ? input.Number<std::int32_t>() : static_cast<std::int32_t>(input.Below(end));
}

// May spoil a view of x or y, though not its data.
template <class View>
inline void SpoilView(Input& input, View* view) {
  switch (input.Below(8)) {
    case 0:
      view->data = nullptr;
      break;
    case 1:
      view->type = PickEnum(input, 8);
      if (view->type >= LUTRA_TYPE_F32 && view->type <= LUTRA_TYPE_BF16) view->type = -1;  // may be wider than the data
      break;
    case 2:
      view->row_stride = std::min(view->row_stride, input.Below(3));
      break;
    case 3:
      view->row_stride = kMax / 2;
      break;
    case 4:
      view->n = kMax;
      break;
    default:
      break;
  }
}

}  // namespace lutra::test
