// ReplaceFile: writes a file beside the old one, and renames it.
#include "memory/replace_file.h"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#if defined(__unix__) || defined(__APPLE__)
#define LUTRA_POSIX 1
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#define LUTRA_POSIX 0
#endif
#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#include <sys/stat.h>
#endif

#include "memory/rename_over.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

constexpr std::size_t kMaxPath = 4096;  // bytes, with the 0 at the end; systems take no longer ones
#if defined(_WIN32)
constexpr char kSeparators[] = "/\\:";  // what the name of a file stands behind
#else
constexpr char kSeparators[] = "/";
#endif
constexpr int kMaxAttempts = 10000;  // to find a name that no other writer has

constexpr Status Failed(const char* reason) { return {StatusCode::kIo, "path", reason}; }

// The path of a new file in the folder of `path`, for the attempt-th writer there.
bool NamePart(const char* path, long process, int attempt, char (&part)[kMaxPath]) {
  const char* name = path;
  for (const char* at = path; *at != 0; ++at) {
    if (std::strchr(kSeparators, *at) != nullptr) name = at + 1;
  }
  const auto folder = static_cast<int>(name - path);
  const int length = std::snprintf(part, kMaxPath, "%.*s.lutra-%ld-%d.part", folder, path, process, attempt);
  return length > 0 && static_cast<std::size_t>(length) < kMaxPath;
}

#if LUTRA_POSIX

// Copies `path` to *target; of a symbolic link, the path that it leads to, which need not exist.
bool FollowLinks(const char* path, char (&target)[kMaxPath]) {
  constexpr int kMaxLinks = 40;  // as Linux follows
  if (std::strlen(path) >= kMaxPath) return false;
  std::strcpy(target, path);
  for (int i = 0; i < kMaxLinks; ++i) {
    char link[kMaxPath];
    const ssize_t size = readlink(target, link, sizeof(link));
    if (size < 0) return true;  // no link; if it cannot be read, neither can the file be written
    char* const slash = std::strrchr(target, '/');
    const bool keeps_folder = link[0] != '/' && slash != nullptr;
    const std::size_t folder = keeps_folder ? static_cast<std::size_t>(slash + 1 - target) : 0;
    const auto length = static_cast<std::size_t>(size);
    if (folder + length >= kMaxPath) return false;
    std::memcpy(target + folder, link, length);
    target[folder + length] = 0;
  }
  errno = ELOOP;
  return false;
}

bool WriteAll(int file, const FilePiece& piece) {
  constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;  // some systems take less than 2 GB
  const auto* from = static_cast<const std::uint8_t*>(piece.data);
  for (std::size_t left = piece.size; left != 0;) {
    const ssize_t bytes = write(file, from, left < kMostAtOnce ? left : kMostAtOnce);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) return false;
    from += bytes;
    left -= static_cast<std::size_t>(bytes);
  }
  return true;
}

// Gives a new file the mode of the old one, where umask took bits away.
bool SetMode(int file, mode_t mode) {
  struct stat info;
  if (fstat(file, &info) == 0 && (info.st_mode & 0777) == mode) return true;
  return fchmod(file, mode) == 0;
}

// Opens a new file, whose path it writes to *part. Returns -1 if there is none.
int OpenPart(const char* target, mode_t mode, char (&part)[kMaxPath]) {
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    if (!NamePart(target, static_cast<long>(getpid()), attempt, part)) return -1;
    const int file = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file >= 0 || errno != EEXIST) return file;
  }
  return -1;
}

#else

// Opens a new file; null with EEXIST if there is such a file.
std::FILE* OpenNew(const char* path) {
#if defined(_WIN32)  // whose fopen() need not know x
  const int file = _open(path, _O_WRONLY | _O_CREAT | _O_EXCL | _O_BINARY, _S_IREAD | _S_IWRITE);
  return file < 0 ? nullptr : _fdopen(file, "wb");
#else
  return std::fopen(path, "wbx");
#endif
}

#endif

}  // namespace

#if LUTRA_POSIX

Status ReplaceFile(const char* path, std::initializer_list<FilePiece> pieces) {
  char target[kMaxPath], part[kMaxPath];
  if (!FollowLinks(path, target)) return Failed("cannot be written");
  struct stat old;
  const bool replaces = stat(target, &old) == 0;
  if (replaces && !S_ISREG(old.st_mode)) return Failed("is not a regular file");
  const mode_t mode = replaces ? old.st_mode & 0777 : 0666;
  const int file = OpenPart(target, mode, part);
  if (file < 0) return Failed("cannot be written");
  bool written = !replaces || SetMode(file, mode);
  for (const FilePiece& piece : pieces) written = written && WriteAll(file, piece);
  written = close(file) == 0 && written;
  if (written && RenameOver(part, target)) return {};
  const int error = errno;
  (void)unlink(part);
  errno = error;
  return Failed("cannot be written");
}

#else

Status ReplaceFile(const char* path, std::initializer_list<FilePiece> pieces) {
  char part[kMaxPath];
  std::FILE* file = nullptr;
  for (int attempt = 0; attempt < kMaxAttempts && file == nullptr; ++attempt) {
    if (!NamePart(path, 0, attempt, part)) break;
    file = OpenNew(part);
    if (file == nullptr && errno != EEXIST) break;
  }
  if (file == nullptr) return Failed("cannot be written");
  bool written = true;
  for (const FilePiece& piece : pieces) {
    written = written && (piece.size == 0 || std::fwrite(piece.data, piece.size, 1, file) == 1);
  }
  written = std::fclose(file) == 0 && written;
  if (written && RenameOver(part, path)) return {};
  (void)std::remove(part);
  return Failed("cannot be written");
}

#endif

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
