// PreparePart: prepares x in parts, by the caller's threads, into the caller's memory.
//
//     std::size_t bytes;
//     lutra::PreparedSize(w, N, options, &bytes);
//     // On thread t of T, for t = 0 .. T - 1; then a barrier:
//     lutra::PreparePart(x, w, options, t, T, memory, bytes);    // memory is aligned to 64
//     lutra::Activations activations;
//     lutra::ViewActivations(w, N, options, memory, bytes, &activations);
//
// The functions here run on the calling thread, allocate nothing, and are thread-safe: threads may prepare different
// parts at the same time.
#pragma once

#include <cstddef>

#include "lutra/activations.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/packed_layout.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

namespace functions {

// Sets *bytes to what PreparedSize says of the matrices of this layout, before they are packed.
LUTRA_API Status PreparedSize(const PackedLayout& layout, std::size_t n, const PrepareOptions& options,
                              std::size_t* bytes);

// Prepares part number `part` of `parts` into `memory` of `size` bytes, at least PreparedSize(w, x.n, options). When
// all parts are prepared, the memory has the same bytes as from one part, and ViewActivations makes the same
// activations of it as Prepare. Parts are rows of x and, where there are fewer rows than parts need, ranges of
// K-blocks; some parts may be empty. Parts of one x may come in any order, but must all have the same arguments
// otherwise.
//
// Fails as Prepare does, on a part that is not below `parts`, and if memory is null, not aligned to 64 bytes or too
// small ("memory", "size"). A value that is not finite is reported by each part that reads it, and by no other: the
// activations may be used only if all parts succeed.
LUTRA_API Status PreparePart(const ActivationView& x, const PackedMatrix& w, const PrepareOptions& options,
                             std::size_t part, std::size_t parts, void* memory, std::size_t size);

// The same for x normalized by RMSNorm, as PrepareRmsNorm. Each part that has a range of a row sums the squares of the
// whole row.
LUTRA_API Status PreparePart(const ActivationView& x, const RmsNorm& norm, const PackedMatrix& w,
                             const PrepareOptions& options, std::size_t part, std::size_t parts, void* memory,
                             std::size_t size);

// Sets *activations to the N rows that PreparePart has prepared, or will have when they are first read, with the same w
// and options. They own no memory: `memory` must stay as it is while they are used. Takes no time. Frees nothing that
// *activations has owned. Fails, with *activations unchanged, as PreparePart does.
LUTRA_API Status ViewActivations(const PackedMatrix& w, std::size_t n, const PrepareOptions& options,
                                 const void* memory, std::size_t size, Activations* activations);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
