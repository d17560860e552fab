// Saves packed matrices to files or memory, and loads them: a mapped file is multiplied from where it is.
//
//     page of 4096 bytes   magic, byte order, version, format, types, shape, layout, checksums; its own checksum last
//     data                 PackedMatrix::bytes() in the order of layout/panels.h
//     bias                 M floats, if there is one
//     order                K std::uint32_t, if there is one
//
// One matrix per file or block of bytes. Numbers are in the byte order of the machine that wrote them. Targets that
// share a layout share files; formats of integers have the same layout on all.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/export.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {

// The bytes that SavePacked writes.
LUTRA_API std::size_t PackedFileSize(const PackedMatrix& w);

// Writes w to bytes[0 .. PackedFileSize(w)); at an address that is a multiple of 64, it can be loaded in place. Fails
// if bytes is null or size is not PackedFileSize(w).
LUTRA_API Status SavePacked(const PackedMatrix& w, void* bytes, std::size_t size);

// Writes w to a file, first under the name path + ".part"; then the file replaces one that is there. Fails with kIo.
LUTRA_API Status SavePacked(const PackedMatrix& w, const char* path);

enum class Loaded : std::uint8_t {
  kInPlace,   // multiplied from where the bytes are
  kCopied,    // the bytes were not aligned to 64
  kRepacked,  // they were packed for a layout that options.target does not have
};

// "in_place", "copied" or "repacked"; "?" for a value that is none of these.
constexpr const char* Name(Loaded loaded) noexcept {
  switch (loaded) {
    case Loaded::kInPlace:
      return "in_place";
    case Loaded::kCopied:
      return "copied";
    case Loaded::kRepacked:
      return "repacked";
  }
  return "?";
}

// Loads what SavePacked wrote. If it is loaded in place, `bytes` must outlive w, and all that w is moved to, unchanged.
// All bytes are read and checked. Fails, with w untouched, on bytes that are damaged, truncated or too long, and with
// kUnsupported on bytes of another version or byte order. Input is untrusted: malformed data is rejected or gives wrong
// products, but is never read out of bounds. (A forger can make the checksums right.) Sets *loaded on success, if it is
// not null.
LUTRA_API Status LoadPacked(const void* bytes, std::size_t size, const PackOptions& options, PackedMatrix* w,
                            Loaded* loaded = nullptr);

// Maps the file and keeps the mapping in w (see MappedFile). Fails as above, or with kIo.
LUTRA_API Status LoadPacked(const char* path, const PackOptions& options, PackedMatrix* w, Loaded* loaded = nullptr);

}  // namespace lutra
