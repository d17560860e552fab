// See weights.h.
#include "weights.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <system_error>
#include <thread>

#include "pages.h"
#include "plugin.h"

namespace plugin {
namespace {

constexpr std::size_t kPanelRows = 64;

// Packs panels over the machine's threads, which start for it, as a tensor takes milliseconds. The pages of blocks that
// are packed are released meanwhile, if the blocks are mapped.
lutra::Status PackOnThreads(const lutra::PackedLayout& layout, const lutra::GgufBlocks& blocks,
                            const MappedBytes& mapped, std::size_t first, std::size_t last, void* memory) {
  constexpr std::size_t kPanels = 4;  // at a time
  std::atomic<std::size_t> next{first};
  std::mutex mutex;
  lutra::Status result;
  const std::size_t row_bytes = blocks.size / std::max<std::size_t>(blocks.rows, 1);
  const auto offset = [&](std::size_t panel) { return (layout.rows_before(panel) - blocks.first_row) * row_bytes; };
  const auto work = [&] {
    for (std::size_t begin; (begin = next.fetch_add(kPanels)) < last;) {
      const std::size_t end = std::min(begin + kPanels, last);
      const lutra::Status status = lutra::PackPanels(layout, blocks, begin, end, memory, layout.bytes());
      mapped.Release(offset(begin), offset(end));
      if (status.ok()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      result = status;
    }
  };
  std::vector<std::thread> threads;
  const std::size_t most = std::min<std::size_t>(std::thread::hardware_concurrency(), (last - first) / kPanels);
  try {
    for (std::size_t i = 1; i < most; ++i) threads.emplace_back(work);
  } catch (const std::system_error&) {
    // The threads that have started, and this one, do the work.
  }
  work();
  for (std::thread& thread : threads) thread.join();
  mapped.Release();
  return result;
}

// The target that the environment names; null, the best one, if it names none that runs here.
lutra::Target ChosenTarget() {
  static const lutra::Target target = [] {
    const char* const name = std::getenv("LUTRA_TARGET");
    lutra::Target found = lutra::FindTarget(name);
    if (name != nullptr && found == nullptr) Log(GGML_LOG_LEVEL_ERROR, std::string("cannot run LUTRA_TARGET=") + name);
    return found;
  }();
  return target;
}

// How x is prepared for a matrix. NaN flows on, as in ggml. Lookups err alike for weights of zero and others; where
// most weights are zero, 8 bits err more than ggml does, so such matrices take 16.
lutra::PrepareOptions OptionsFor(const lutra::PackedMatrix& w) {
  lutra::PrepareOptions options;
  options.non_finite = lutra::NonFinite::kPropagate;
  if (w.format() != lutra::Format::kTernary || w.m() == 0) return options;
  std::vector<std::int32_t> rows(std::min<std::size_t>(w.m(), 8));
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int32_t>(i);
  std::vector<float> values(rows.size() * w.k());
  if (!lutra::DequantizeRows(w, rows.data(), rows.size(), values.data(), w.k()).ok()) return options;
  const auto zeros = static_cast<std::size_t>(std::count(values.begin(), values.end(), 0.0f));
  if (2 * zeros > values.size()) options.precision = lutra::Precision::kInt16;
  return options;
}

}  // namespace

void Ranges::Add(std::size_t begin, std::size_t end) {
  auto at = ends_.upper_bound(begin);
  if (at != ends_.begin() && std::prev(at)->second >= begin) --at;
  for (; at != ends_.end() && at->first <= end; at = ends_.erase(at)) {
    begin = std::min(begin, at->first);
    end = std::max(end, at->second);
  }
  ends_[begin] = end;
}

lutra::Status Weights::LayoutOf(const ggml_tensor* tensor, lutra::PackedLayout* layout) {
  if (tensor->ne[3] != 1) return lutra::Status::Unsupported("tensor", "has four dimensions");
  lutra::LayoutOptions options;
  options.target = ChosenTarget();
  options.count = static_cast<std::size_t>(tensor->ne[2]);
  return lutra::LayoutOfGguf(tensor->type, static_cast<std::size_t>(tensor->ne[1]),
                             static_cast<std::size_t>(tensor->ne[0]), options, layout);
}

Weights::Weights(const ggml_tensor* tensor)
    : type_(static_cast<std::uint32_t>(tensor->type)),
      memory_(static_cast<std::uint8_t*>(tensor->data)),
      bytes_(ggml_nbytes(tensor)),
      row_bytes_(ggml_row_size(tensor->type, tensor->ne[0])) {
  if (!LayoutOf(tensor, &layout_).ok()) return;
  packed_.resize(layout_.panels());
  matrices_.resize(layout_.count());
  for (std::size_t i = 0; i < layout_.count(); ++i) {
    // PackPanels refuses what View refuses: memory that is not aligned.
    (void)lutra::View(layout_, memory_, layout_.bytes(), i, &matrices_[i]);
  }
}

std::size_t Weights::PanelAt(std::size_t offset) const {
  const std::size_t row = offset / row_bytes_;
  return row / layout_.m() * layout_.panels_per_matrix() + row % layout_.m() / kPanelRows;
}

void Weights::SetPacked(std::size_t panel, bool packed) {
  packed_count_ += static_cast<std::size_t>(packed) - static_cast<std::size_t>(packed_[panel]);
  packed_[panel] = packed;
}

// Packs whole panels; `blocks` are theirs.
lutra::Status Weights::PackPanels(std::size_t first, std::size_t last, const std::uint8_t* blocks, Source source) {
  const std::size_t row = layout_.rows_before(first), rows = layout_.rows_before(last) - row;
  const std::size_t size = rows * row_bytes_;
  const MappedBytes mapped = source == Source::kCaller ? MappedBytes(blocks, size) : MappedBytes();
  const lutra::Status status = PackOnThreads(layout_, {type_, blocks, size, row, rows}, mapped, first, last, memory_);
  for (std::size_t panel = first; panel < last; ++panel) {
    parts_.erase(panel);
    SetPacked(panel, status.ok());
  }
  if (valid()) options_ = OptionsFor(matrices_[0]);
  return status;
}

// Writes the bytes [begin, end) of a panel. What is packed already is kept, where the type has it.
lutra::Status Weights::WritePart(std::size_t panel, const std::uint8_t* data, std::size_t begin, std::size_t end) {
  const std::size_t size = BeginOf(panel + 1) - BeginOf(panel);
  const auto [at, added] = parts_.try_emplace(panel);
  Part& part = at->second;
  if (added) {
    part.blocks.resize(size);
    if (packed_[panel] && Unpack(panel, 0, size, part.blocks.data()).ok()) part.written.Add(0, size);
    SetPacked(panel, false);
  }
  std::copy(data, data + (end - begin), part.blocks.begin() + static_cast<std::ptrdiff_t>(begin));
  part.written.Add(begin, end);
  if (!part.written.AreAll(size)) return {};
  const std::vector<std::uint8_t> blocks = std::move(part.blocks);
  return PackPanels(panel, panel + 1, blocks.data(), Source::kOwn);
}

// Reads the bytes [begin, end) of a panel that is packed.
lutra::Status Weights::Unpack(std::size_t panel, std::size_t begin, std::size_t end, std::uint8_t* blocks) const {
  const std::size_t first = begin / row_bytes_, last = (end + row_bytes_ - 1) / row_bytes_;
  const std::size_t row = panel % layout_.panels_per_matrix() * kPanelRows;
  std::vector<std::uint8_t> rows((last - first) * row_bytes_);
  const lutra::Status status = lutra::UnpackGguf(matrices_[panel / layout_.panels_per_matrix()], type_, row + first,
                                                 row + last, rows.data(), rows.size());
  if (status.ok()) std::memcpy(blocks, rows.data() + (begin - first * row_bytes_), end - begin);
  return status;
}

lutra::Status Weights::Write(const void* data, std::size_t offset, std::size_t size) {
  return Put(static_cast<const std::uint8_t*>(data), offset, size, Source::kCaller);
}

lutra::Status Weights::Put(const std::uint8_t* bytes, std::size_t offset, std::size_t size, Source source) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t end = offset + size;
  if (packed_.empty()) {
    std::memcpy(memory_ + offset, bytes, size);
    return {};
  }
  lutra::Status result;
  for (std::size_t at = offset; at < end;) {
    const std::size_t panel = PanelAt(at), begin = BeginOf(panel), whole = PanelAt(end);  // panels before it end here
    const std::size_t next = at == begin && panel < whole ? BeginOf(whole) : std::min(end, BeginOf(panel + 1));
    const lutra::Status status = at == begin && panel < whole
                                     ? PackPanels(panel, whole, bytes + (at - offset), source)
                                     : WritePart(panel, bytes + (at - offset), at - begin, next - begin);
    if (!status.ok()) result = status;
    at = next;
  }
  return result;
}

lutra::Status Weights::Fill(std::uint8_t value, std::size_t offset, std::size_t size) {
  const std::vector<std::uint8_t> bytes(std::min(size, kPanelRows * row_bytes_), value);
  lutra::Status result;
  for (std::size_t done = 0; done < size;) {
    const std::size_t part = std::min(bytes.size(), size - done);
    const lutra::Status status = Put(bytes.data(), offset + done, part, Source::kOwn);
    if (!status.ok()) result = status;
    done += part;
  }
  return result;
}

lutra::Status Weights::Read(std::size_t offset, std::size_t size, void* data) {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto* const bytes = static_cast<std::uint8_t*>(data);
  const std::size_t end = offset + size;
  if (packed_.empty()) {
    std::memcpy(bytes, memory_ + offset, size);
    return {};
  }
  std::memset(bytes, 0, size);
  for (std::size_t at = offset, next; at < end; at = next) {
    const std::size_t panel = PanelAt(at), begin = BeginOf(panel);
    next = std::min(end, BeginOf(panel + 1));
    if (const auto part = parts_.find(panel); part != parts_.end()) {
      std::memcpy(bytes + (at - offset), part->second.blocks.data() + (at - begin), next - at);
    } else if (packed_[panel]) {
      const lutra::Status status = Unpack(panel, at - begin, next - begin, bytes + (at - offset));
      if (!status.ok()) return status;
    }
  }
  return {};
}

}  // namespace plugin
