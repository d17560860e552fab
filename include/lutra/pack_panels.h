// PackPanels and View: packed weights in the caller's memory, packed by the caller's threads; and their way back.
//
//     lutra::PackedLayout layout;
//     lutra::LayoutOfGguf(type, M, K, {}, &layout);
//     void* memory = ...;                                        // layout.bytes(), aligned to 64
//     lutra::PackPanels(layout, lutra::GgufBlocks{type, data, size}, 0, layout.panels(), memory, layout.bytes());
//     lutra::PackedMatrix w;
//     lutra::View(layout, memory, layout.bytes(), 0, &w);
//
// The functions here run on the calling thread and allocate nothing, except that PackPanels takes K bits, or a number
// for each group, to check an order of columns. They are thread-safe: threads may pack different panels at the same
// time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/checkpoint.h"
#include "lutra/export.h"
#include "lutra/import.h"
#include "lutra/matrix.h"
#include "lutra/packed_layout.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

namespace functions {

// Packs the panels [first, last) of a layout into `memory` of `size` bytes, where all matrices of the layout stand.
// Panels have the same bytes as from Pack, in any split and order. Whoever packs the first panel of a matrix also
// writes its order. Reads of the weights only the rows of these panels, once.
//
// Takes up to 96 KB of the stack: a source that is not a view is decoded to codes 256 to 768 columns of a panel at a
// time.
//
// Fails, and leaves the bytes of these panels undefined, if memory is null, not aligned to 64 bytes or below
// layout.bytes() ("memory", "size"), on panels that the layout does not have ("first", "last"), on weights of another
// shape or other types than the layout's, and on weights that Pack or ImportGguf refuses.
//
// Views: rows of all matrices follow each other, so w.m is count() * M, and a bias has as many floats. They share an
// order. Without a bias in the view, PackBias writes the one of the layout.
LUTRA_API Status PackPanels(const PackedLayout& layout, const QuantizedView& w, std::size_t first, std::size_t last,
                            void* memory, std::size_t size);

// The same from blocks of a GGUF file, all or some rows (GgufBlocks::first_row); see LayoutOfGguf. Also fails if a part
// lacks a row of these panels or has rows that the layout does not have ("blocks.rows"), and with kUnsupported on a
// part of a type with a tail ("blocks.type").
LUTRA_API Status PackPanels(const PackedLayout& layout, const GgufBlocks& blocks, std::size_t first, std::size_t last,
                            void* memory, std::size_t size);

}  // namespace functions

// Float weights, row-major, finite, at any address: the rows of all matrices of a layout follow each other.
struct FloatRows {
  const float* data = nullptr;
  std::size_t row_stride = 0;  // elements from row to row; at least K, if there are several rows
};

namespace functions {

// The same from float weights, quantized to the format, groups and types of the layout as Quantize does. Fails on
// layouts with an order, with scales of two levels, with a negative matrix_scale, and with one scale for the matrix,
// which depends on all rows (LayoutOf a view whose group is kPerMatrix).
LUTRA_API Status PackPanels(const PackedLayout& layout, const FloatRows& weights, std::size_t first, std::size_t last,
                            void* memory, std::size_t size);

// Sets *layout to the layout of the matrix that ImportCheckpoint, ImportGptq or ImportAwq imports. Reads g_idx
// and all integer zero points, because a symmetric checkpoint needs none; of codes and scales only the sizes. Fails as
// they do, and on a count other than 1. The scale of the matrix is that of the checkpoint, whatever the options say.
LUTRA_API Status LayoutOf(const CheckpointView& checkpoint, const LayoutOptions& options, PackedLayout* layout);
LUTRA_API Status LayoutOf(const GptqView& gptq, const LayoutOptions& options, PackedLayout* layout);
LUTRA_API Status LayoutOf(const AwqView& awq, const LayoutOptions& options, PackedLayout* layout);

// PackPanels from the tensors of a checkpoint. Each call checks g_idx, for which it allocates G numbers. Also fails on
// a matrix_scale that is not the layout's ("checkpoint.matrix_scale"): experts of kNvfp4 whose scales differ need a
// layout each.
LUTRA_API Status PackPanels(const PackedLayout& layout, const CheckpointView& checkpoint, std::size_t first,
                            std::size_t last, void* memory, std::size_t size);
LUTRA_API Status PackPanels(const PackedLayout& layout, const GptqView& gptq, std::size_t first, std::size_t last,
                            void* memory, std::size_t size);
LUTRA_API Status PackPanels(const PackedLayout& layout, const AwqView& awq, std::size_t first, std::size_t last,
                            void* memory, std::size_t size);

// Writes the biases of all matrices, bias[count() * M], at any address, to `memory`. Fails if the layout has none
// ("layout"), on values that are not finite, and on memory that PackPanels refuses.
LUTRA_API Status PackBias(const PackedLayout& layout, const float* bias, void* memory, std::size_t size);

// Sets *w to matrix number `index` in `memory`, whose panels have been packed. *w owns nothing: the memory must stay
// unchanged as long as *w, or a matrix that *w is moved to, exists. Takes the same time for all sizes, but that an
// order is read. Does not check the bytes. Fails, with *w unchanged, on an index that is not below count() and on
// memory that PackPanels refuses.
LUTRA_API Status View(const PackedLayout& layout, const void* memory, std::size_t size, std::size_t index,
                      PackedMatrix* w);

// Writes rows of W in float, rounded to nearest, to y[count x K] (row_stride elements from row to row): y(i, .) is row
// rows[i], for embeddings. The same bits as Dequantize, and columns in the order of x. Rows may repeat. Fails, with y
// unchanged, on a row that is not below M, on null data of nonzero size, and on a stride below K. Takes up to 96 KB of
// the stack.
LUTRA_API Status DequantizeRows(const PackedMatrix& w, const std::int32_t* rows, std::size_t count, float* y,
                                std::size_t row_stride);

// Writes the rows [begin, end) of w as blocks of a GGUF type, with which GgufType::restorable types give back the bytes
// that were packed, to blocks[0 .. size). Fails with kUnsupported on other types ("type"), and on weights whose format,
// group or scales are not the type's ("w"); with kInvalidArgument on a range of rows that w does not have and a size
// that is not that of the rows ("size").
LUTRA_API Status UnpackGguf(const PackedMatrix& w, std::uint32_t type, std::size_t begin, std::size_t end, void* blocks,
                            std::size_t size);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
