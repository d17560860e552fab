// Packed weights of a tensor: written and read as the blocks of its file, in parts of any size and order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "ggml.h"
#include "lutra/lutra.h"
#include "lutra/pack_panels.h"

namespace plugin {

// Disjoint ranges of bytes.
class Ranges {
 public:
  void Add(std::size_t begin, std::size_t end);
  // Whether they are [0, size).
  bool AreAll(std::size_t size) const {
    return ends_.size() == 1 && ends_.begin()->first == 0 && ends_.begin()->second == size;
  }

 private:
  std::map<std::size_t, std::size_t> ends_;  // by their begins
};

// A tensor [M x K], or [M x K] for each expert, in its memory in a buffer. A panel of 64 rows is packed when all of its
// blocks were written; until then the blocks are kept here. Tensors that Lutra cannot pack keep the file's bytes.
class Weights {
 public:
  // The layout of a tensor: the matrices of a third dimension are experts.
  static lutra::Status LayoutOf(const ggml_tensor* tensor, lutra::PackedLayout* layout);

  explicit Weights(const ggml_tensor* tensor);

  // Write, fill and read bytes of the tensor as the file has it: [offset, offset + size), within bytes(). Bytes that
  // were never written are read as zeros. Read fails on packed panels of types that are not restorable; what it did not
  // read is zeros. If a part of such a panel is written again, all of it must be. Thread-safe.
  lutra::Status Write(const void* data, std::size_t offset, std::size_t size);
  lutra::Status Fill(std::uint8_t value, std::size_t offset, std::size_t size);
  lutra::Status Read(std::size_t offset, std::size_t size, void* data);
  std::size_t bytes() const { return bytes_; }

  // Whether all panels are packed; matrices() and options() need this.
  bool valid() const { return packed_count_ != 0 && packed_count_ == packed_.size(); }
  const std::vector<lutra::PackedMatrix>& matrices() const { return matrices_; }  // one for each expert
  const lutra::PrepareOptions& options() const { return options_; }

 private:
  // Blocks of a panel that is not complete.
  struct Part {
    std::vector<std::uint8_t> blocks;
    Ranges written;
  };
  // Where bytes are that are written: the caller's may be in a mapped file.
  enum class Source { kCaller, kOwn };

  std::size_t BeginOf(std::size_t panel) const { return layout_.rows_before(panel) * row_bytes_; }
  std::size_t PanelAt(std::size_t offset) const;  // of a byte; the number of panels at the end
  lutra::Status Put(const std::uint8_t* bytes, std::size_t offset, std::size_t size, Source source);
  lutra::Status PackPanels(std::size_t first, std::size_t last, const std::uint8_t* blocks, Source source);
  lutra::Status WritePart(std::size_t panel, const std::uint8_t* data, std::size_t begin, std::size_t end);
  lutra::Status Unpack(std::size_t panel, std::size_t begin, std::size_t end, std::uint8_t* blocks) const;
  void SetPacked(std::size_t panel, bool packed);

  const std::uint32_t type_;
  std::uint8_t* const memory_;
  const std::size_t bytes_, row_bytes_;
  lutra::PackedLayout layout_;  // without panels, if the tensor is not packed
  std::mutex mutex_;
  std::vector<bool> packed_;  // of panels
  std::size_t packed_count_ = 0;
  std::map<std::size_t, Part> parts_;  // of panels
  std::vector<lutra::PackedMatrix> matrices_;
  lutra::PrepareOptions options_;
};

}  // namespace plugin
