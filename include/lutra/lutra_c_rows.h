// The C API of row ranges and shards, for matrices that are larger than memory, or than one machine:
// lutra/row_ranges.h and lutra/shards.h say what they are.
//
// What lutra_c.h says of handles, threads and structures holds here, too.
#pragma once

#include "lutra/lutra_c.h"

#if defined(__cplusplus)
extern "C" {
#endif

// As lutra_load, but reads and checks the page, the bias and the order alone. It also reads and checks the data if they
// are repacked, or if groups choose among several tables: see lutra/packed_file.h.
LUTRA_C_API lutra_status lutra_load_unchecked(const char* path, const char* target, lutra_context* context,
                                              lutra_packed** w, lutra_loaded* loaded) LUTRA_C_NOEXCEPT;

// The rows that stand together in packed bytes, and the bytes that hold the rows [begin, end) and the rest of their
// units. 0 if w is NULL; bytes also for a range that w does not have.
LUTRA_C_API size_t lutra_row_unit(const lutra_packed* w) LUTRA_C_NOEXCEPT;
LUTRA_C_API size_t lutra_row_bytes(const lutra_packed* w, size_t begin, size_t end) LUTRA_C_NOEXCEPT;

// Creates a matrix of the rows [begin, end) of w, which reads the bytes of w: w must outlive it. `begin` and
// `end` are multiples of lutra_row_unit(w), or M.
LUTRA_C_API lutra_status lutra_view_rows(const lutra_packed* w, size_t begin, size_t end,
                                         lutra_packed** rows) LUTRA_C_NOEXCEPT;

// Hints about the memory of the rows [begin, end) of a mapped matrix: see lutra::PrefetchRows and lutra::ReleaseRows.
LUTRA_C_API lutra_status lutra_prefetch_rows(const lutra_packed* w, size_t begin, size_t end) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_release_rows(const lutra_packed* w, size_t begin, size_t end) LUTRA_C_NOEXCEPT;

// The columns at whose multiples K can be cut; 0 for a shape that is not valid.
LUTRA_C_API size_t lutra_column_unit(const lutra_quantized_view* w) LUTRA_C_NOEXCEPT;

// Creates the columns [begin, end) of w as weights of their own, to be packed and saved: see lutra::CopyColumns.
LUTRA_C_API lutra_status lutra_copy_columns(const lutra_quantized_view* w, size_t begin, size_t end,
                                            lutra_quantized** columns) LUTRA_C_NOEXCEPT;

#if defined(__cplusplus)
}  // extern "C"
#endif
