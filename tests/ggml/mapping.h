// A mapped file for tests of what the plug-in keeps resident of it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

// Bytes in the mapping of a temporary file. If the mapping is private, the file has zeros.
class Mapping {
 public:
  Mapping(const std::vector<std::uint8_t>& bytes, int flags) : size_(bytes.size()) {
    std::FILE* const file = std::tmpfile();
    if (file == nullptr) return;
    void* at = MAP_FAILED;
    if (ftruncate(fileno(file), static_cast<off_t>(size_)) == 0) {
      at = mmap(nullptr, size_, PROT_READ | PROT_WRITE, flags, fileno(file), 0);
    }
    std::fclose(file);
    if (at == MAP_FAILED) return;
    data_ = at;
    std::memcpy(data_, bytes.data(), size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (data_ != nullptr) munmap(data_, size_);
  }

  void* data() const { return data_; }  // null: it failed
  std::size_t size() const { return size_; }

  // The bytes that are resident. Advice may have split the mapping: Linux lists the parts one by one.
  std::size_t Resident() const {
    const auto at = reinterpret_cast<std::uintptr_t>(data_);
    std::ifstream parts("/proc/self/smaps");
    std::uintptr_t begin = 0, end = 0;
    std::size_t kilobytes = 0, sum = 0;
    for (std::string line; std::getline(parts, line);) {
      if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2) continue;
      const bool is_rss = std::sscanf(line.c_str(), "Rss: %zu kB", &kilobytes) == 1;
      if (is_rss && at <= begin && begin < at + size_) sum += kilobytes * 1024;
    }
    return sum;
  }

 private:
  const std::size_t size_;
  void* data_ = nullptr;
};
