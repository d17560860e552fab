// Calls of the C API of checkpoints with tensors that may be spoiled.
#pragma once

#include <cstddef>

#include "fuzz/c_arguments.h"
#include "fuzz/c_handles.h"
#include "fuzz/checkpoints.h"
#include "fuzz/input.h"
#include "lutra/lutra_c_checkpoint.h"
#include "support/c_checkpoint_views.h"

namespace lutra::test {

// May spoil a view of a checkpoint, though no array becomes longer than it is.
inline void SpoilCheckpoint(Input& input, lutra_checkpoint_view* view) {
  switch (input.Below(32)) {
    case 0:
      view->codes = nullptr;
      break;
    case 1:
      view->codes_size = input.Below(view->codes_size + 1);
      break;
    case 2:
      view->scales_size = input.Below(view->scales_size + 1);
      break;
    case 3:
      view->zeros_size = input.Below(view->zeros_size + 1);
      break;
    case 4:
      view->m = kMax;
      break;
    case 5:
      view->k = kMax / 32 * 32;
      break;
    case 6:
      view->group_size = -static_cast<std::ptrdiff_t>(input.Below(3));
      break;
    case 7:
      view->scheme = PickEnum(input, kCheckpointSchemeCount);
      break;
    case 8:
      view->bits = input.Number<std::int32_t>();
      break;
    case 9:
      view->scale_rows = input.Below(300);
      break;
    case 10:
      view->byte_zeros = !view->byte_zeros;
      break;
    case 11:
      view->groups_down_rows = true;
      break;
    default:
      break;
  }
}

// Imports a checkpoint. What is imported has a layout.
inline void ImportCheckpoint(Input& input, Handles& handles, std::size_t weights) {
  const CheckpointTensors tensors(PickCheckpoint(input, weights));
  lutra_checkpoint_view view = CView(tensors.view());
  SpoilCheckpoint(input, &view);
  const bool null = input.Rarely(32);
  bool imported = false;
  handles.Make<lutra_quantized>(input, [&](lutra_quantized** out) {
    const lutra_status status = lutra_import_checkpoint(null ? nullptr : &view, out);
    imported = status.code == LUTRA_OK;
    return status;
  });
  lutra_layout* layout = nullptr;
  const bool planned = Succeeded(lutra_layout_create_checkpoint(null ? nullptr : &view, nullptr, &layout));
  EXPECT_EQ(planned, layout != nullptr);
  EXPECT_TRUE(planned || !imported);
  if (planned) {
    EXPECT_TRUE(Succeeded(lutra_layout_destroy(&layout)));
  }
}

}  // namespace lutra::test
