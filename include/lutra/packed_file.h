// Packed matrices in files, or in an engine's own files: packed once, multiplied from the mapping ever after.
//
//     page of 4096 bytes   magic, byte order, version, format, types, shape, layout, checksums; its own checksum last
//     data                 PackedMatrix::bytes() in the order of kernels/layout.h
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

// Makes w of what SavePacked wrote. In place, `bytes` must outlive w and all that is moved from it, unchanged. All
// bytes are read and checked: fails, with w untouched, on anything that is damaged, truncated or too long, with
// kUnsupported on what another version or byte order wrote. The checksums do not protect from malice, but whatever the
// bytes, loading and multiplying read nothing beyond them. `loaded`, if not null, is set on success.
LUTRA_API Status LoadPacked(const void* bytes, std::size_t size, const PackOptions& options, PackedMatrix* w,
                            Loaded* loaded = nullptr);

// Maps the file, which belongs to w then (see MappedFile). Fails besides with kIo.
LUTRA_API Status LoadPacked(const char* path, const PackOptions& options, PackedMatrix* w, Loaded* loaded = nullptr);

}  // namespace lutra
