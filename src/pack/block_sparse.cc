// PackBlockSparse: finds zero blocks, and packs the others of each panel as a matrix of fewer columns.
#include "lutra/block_sparse.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "block_sparse_access.h"
#include "columns.h"
#include "lutra/pack_panels.h"
#include "pack/panel_packer.h"
#include "scales.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::DivideUp;
using internal::KeptBlocks;
using internal::kPanelRows;

// Whether all weights of columns [begin, end) are 0. In double, a scale times a value is exact.
bool IsZero(const QuantizedView& w, std::size_t begin, std::size_t end) {
  for (std::size_t m = 0; m < w.m; ++m) {
    const std::uint8_t* const codes = w.codes + m * w.code_stride;
    for (std::size_t k = begin; k < end; ++k) {
      if (internal::WeightAt<double>(w, m, k, internal::ValueAt(w, m, k, codes[k])) != 0) return false;
    }
  }
  return true;
}

// Numbers of all panels' lists: where they stand, and how many there are.
struct Sizes {
  std::size_t data = 0, list = 0, kept = 0;
};

// The work of a call: a panel for each task.
class Work {
 public:
  Work(const QuantizedView& w, const PackOptions& options)
      : w_(w), options_(options), columns_(ColumnUnit(w)), panels_(internal::PanelsIn(w.m)) {}

  // `shape` is a matrix of w's shape without rows.
  Status Run(PackedMatrix shape, BlockSparseMatrix* packed) {
    const internal::Geometry g = internal::GeometryOf(PackedAccess::Fields(shape));
    per_panel_ = DivideUp(w_.k, columns_);
    if (!keeps_.Reserve(panels_ * per_panel_ + 1)) return Status::OutOfMemory("packed");
    ForPanels([](Work& work, std::size_t panel) { work.FindBlocks(panel); });
    LUTRA_RETURN_IF_ERROR(Result());

    internal::BlockSparseFields fields;
    fields.m = w_.m;
    fields.columns = columns_;
    const std::size_t bias_bytes = w_.bias == nullptr ? 0 : internal::RoundUp(w_.m * sizeof(float), 8);
    const std::size_t panel_bytes = panels_ * sizeof(KeptBlocks);
    // The list has at most as many K-blocks as the whole matrix.
    if (!lists_.Reserve(bias_bytes + panel_bytes + panels_ * g.blocks * sizeof(std::uint32_t) + 1)) {
      return Status::OutOfMemory("packed");
    }
    if (w_.bias != nullptr && w_.m != 0) {
      std::memcpy(lists_.data(), w_.bias, w_.m * sizeof(float));
      fields.bias = lists_.as<float>();
    }
    kept_ = reinterpret_cast<KeptBlocks*>(lists_.data() + bias_bytes);
    list_ = reinterpret_cast<std::uint32_t*>(lists_.data() + bias_bytes + panel_bytes);
    const Sizes sizes = MakeLists(PackedAccess::Fields(shape), g);
    fields.kept = sizes.kept;
    fields.bytes = sizes.data + panel_bytes + sizes.list * sizeof(std::uint32_t);
    if (!data_.Reserve(sizes.data)) return Status::OutOfMemory("packed");
    ForPanels([](Work& work, std::size_t panel) { work.PackPanel(panel); });
    LUTRA_RETURN_IF_ERROR(Result());
    fields.panels = kept_;
    fields.list = list_;
    fields.data = data_.data();
    *packed = BlockSparseAccess::Make(std::move(shape), fields, std::move(data_), std::move(lists_));
    return {};
  }

 private:
  void ForPanels(void (*run)(Work& work, std::size_t panel)) {
    internal::RunTasks<Work>(options_.executor, w_.k == 0 ? 0 : panels_, *this, run);
  }
  // The failure of any task.
  Status Result() const {
    if (!codes_valid_.load(std::memory_order_relaxed)) {
      return Status::Invalid("w.codes", "holds a code that the format does not have");
    }
    return memory_suffices_.load(std::memory_order_relaxed) ? Status() : Status::OutOfMemory("packed");
  }
  // The rows of a panel, without what its blocks do not have.
  QuantizedView RowsOf(std::size_t panel) const {
    QuantizedView rows = Rows(w_, panel * kPanelRows, std::min((panel + 1) * kPanelRows, w_.m));
    rows.bias = nullptr;
    rows.order = nullptr;
    return rows;
  }
  ShardRange ColumnsOf(std::size_t block) const { return {block * columns_, std::min((block + 1) * columns_, w_.k)}; }
  bool Keeps(std::size_t panel, std::size_t block) const { return keeps_.data()[panel * per_panel_ + block] != 0; }

  void FindBlocks(std::size_t panel) {
    const QuantizedView rows = RowsOf(panel);
    for (std::size_t m = 0; m < rows.m; ++m) {
      if (internal::AllCodesExist(Describe(w_.format), rows.codes + m * rows.code_stride, rows.k)) continue;
      codes_valid_.store(false, std::memory_order_relaxed);
      return;
    }
    for (std::size_t block = 0; block < per_panel_; ++block) {
      const ShardRange columns = ColumnsOf(block);
      keeps_.data()[panel * per_panel_ + block] = IsZero(rows, columns.begin, columns.end) ? 0 : 1;
    }
  }

  // Says which K-blocks each panel keeps, and where its bytes will stand.
  Sizes MakeLists(internal::PackedFields shape, const internal::Geometry& g) {
    Sizes sizes;
    for (std::size_t panel = 0; panel < panels_; ++panel) {
      kept_[panel] = {sizes.data, 0, sizes.list};
      for (std::size_t block = 0; block < per_panel_; ++block) {
        if (!Keeps(panel, block)) continue;
        const ShardRange columns = ColumnsOf(block);
        const internal::Cuts cuts(g);
        for (std::size_t b = cuts.block_at(columns.begin); b < cuts.block_at(columns.end); ++b) {
          list_[sizes.list++] = static_cast<std::uint32_t>(b);
        }
        kept_[panel].columns += columns.size();
        ++sizes.kept;
      }
      shape.k = kept_[panel].columns;
      sizes.data += internal::RoundUp(internal::GeometryOf(shape).panel_bytes, PackedLayout::kAlignment);
    }
    return sizes;
  }

  void PackPanel(std::size_t panel) {
    if (kept_[panel].columns == 0) return;
    Buffer memory;
    QuantizedMatrix blocks;
    PackedLayout layout;
    LayoutOptions options;
    options.target = options_.target;
    bool done = memory.Reserve(per_panel_ * sizeof(ShardRange));
    if (done) {
      auto* const ranges = memory.as<ShardRange>();
      std::size_t count = 0;
      for (std::size_t block = 0; block < per_panel_; ++block) {
        if (Keeps(panel, block)) ranges[count++] = ColumnsOf(block);
      }
      done = internal::GatherColumns(RowsOf(panel), ranges, count, &blocks).ok() &&
             LayoutOf(blocks.view(), options, &layout).ok() &&
             PackPanels(layout, blocks.view(), 0, 1, data_.data() + kept_[panel].offset, layout.bytes()).ok();
    }
    if (!done) memory_suffices_.store(false, std::memory_order_relaxed);
  }

  const QuantizedView& w_;
  const PackOptions& options_;
  const std::size_t columns_, panels_;
  std::size_t per_panel_ = 0;  // blocks
  Buffer keeps_;               // of each panel and block: whether it is not zero
  Buffer lists_, data_;
  KeptBlocks* kept_ = nullptr;
  std::uint32_t* list_ = nullptr;
  std::atomic<bool> codes_valid_{true}, memory_suffices_{true};
};

}  // namespace

Status functions::PackBlockSparse(const QuantizedView& w, const PackOptions& options, BlockSparseMatrix* packed) {
  if (packed == nullptr) return Status::Invalid("packed", "is null");
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(w));
  QuantizedView rows = Rows(w, 0, 0);
  rows.bias = nullptr;
  PackedMatrix shape;
  LUTRA_RETURN_IF_ERROR(Pack(rows, options, &shape));
  const internal::FloatMode mode;
  return Work(w, options).Run(std::move(shape), packed);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
