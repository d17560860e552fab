// SavePacked and LoadPacked: packed matrices in files or memory. A mapped file is multiplied without a copy.
//
//     page of 4096 bytes   magic, byte order, version, format, types, shape, layout, codebook, checksums; its own
//                          checksum last
//     data                 PackedMatrix::bytes() bytes, laid out as layout/panels.h says
//     bias                 M floats, if there is one
//     order                K std::uint32_t, if there is one
//
// A file has one matrix. Numbers are in the byte order of the machine that wrote them. Targets that share a layout
// share files. Formats whose encoding has no indices have the same layout on all targets.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/export.h"
#include "lutra/mapped_file.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

namespace functions {

// The number of bytes that SavePacked writes. All functions here are thread-safe.
LUTRA_API std::size_t PackedFileSize(const PackedMatrix& w);

// Writes w to bytes[0 .. size). Bytes at an address that is a multiple of 64 can be loaded in place. Fails with
// kInvalidArgument if `bytes` is null or `size` is not PackedFileSize(w).
LUTRA_API Status SavePacked(const PackedMatrix& w, void* bytes, std::size_t size);

// Writes w to a file. It is written under a name of its own in the same folder (.lutra-*.part) and then renamed, so
// that `path` never has half a file. Any number of threads and processes may save to the same path and load from it at
// the same time. A file that is replaced keeps its mode; through a symbolic link, the file that it points to is
// replaced. Fails, with `path` untouched and no other file left behind, with kIo if the file cannot be written or
// `path` is not a regular file (errno may say why), and with kInvalidArgument if `path` is null.
LUTRA_API Status SavePacked(const PackedMatrix& w, const char* path);

}  // namespace functions

// How LoadPacked loaded a matrix.
enum class Loaded : std::uint8_t {
  kInPlace,   // without a copy
  kCopied,    // the bytes were not aligned to 64, or read from a file (FileAccess::kRead)
  kRepacked,  // options.target has another layout than the bytes
};

namespace functions {

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

// Loads the `size` bytes that SavePacked wrote. Reads and checks all of them, if
// options.check_data is true. If *loaded is kInPlace, `bytes` must stay
// unchanged as long as w, or a matrix that w is moved to, exists. Sets *loaded on success, unless `loaded` is null.
//
// Fails, with w unchanged, with kInvalidArgument on damaged, truncated or overlong bytes, with kUnsupported on bytes of
// another version or byte order, and if memory is short. Input is untrusted: bytes with forged checksums may give wrong
// products, but nothing is read out of bounds.
//
// Without options.check_data it reads the page, the bias and the order alone, and checks them: a matrix that is larger
// than memory loads at once, and damaged data give wrong products, or NaN. Data are read and checked all the same where
// that needs them: if they are repacked, and if groups choose among several tables.
LUTRA_API Status LoadPacked(const void* bytes, std::size_t size, const PackOptions& options, PackedMatrix* w,
                            Loaded* loaded = nullptr);

// Loads a file that SavePacked wrote: maps it and keeps the mapping in w. Fails as above, with kIo if the file cannot
// be read, and with kInvalidArgument if `access` is no FileAccess.
//
// SavePacked over a mapped file does no harm. If any program truncates the file, or its disk or network fails, a
// multiplication by w ends the program with a signal (SIGBUS): see MappedFile. FileAccess::kRead reads the file to
// memory that w owns; w does not depend on the file then.
LUTRA_API Status LoadPacked(const char* path, const PackOptions& options, PackedMatrix* w, Loaded* loaded = nullptr,
                            FileAccess access = FileAccess::kMap);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
