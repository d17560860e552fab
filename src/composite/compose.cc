// Compose: checks the parts of a composite and keeps copies of the small ones. SparseMatrix.
#include <cstring>

#include "composite/composite_access.h"
#include "lutra/sparse.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// --- SparseMatrix

Status SparseMatrix::Allocate(std::size_t m, std::size_t k, std::size_t entries) {
  if (entries > 0xffffffffu || internal::Overflows(entries, sizeof(std::uint32_t))) {
    return Status::Invalid("entries", "is not below 2^32");
  }
  if (internal::Overflows(m, sizeof(std::uint32_t))) return Status::Invalid("m", "is too large");
  Buffer offsets, columns, values;
  // One byte more than needed, so that pointers of an empty matrix are not null.
  if (!offsets.Reserve((m + 1) * sizeof(std::uint32_t)) || !columns.Reserve(entries * ColumnBytes(k) + 1) ||
      !values.Reserve(entries * sizeof(std::uint16_t) + 1)) {
    return Status::OutOfMemory("entries");
  }
  offsets_ = std::move(offsets);
  columns_ = std::move(columns);
  values_ = std::move(values);
  view_ = {m, k, offsets_.as<std::uint32_t>(), columns_.data(), values_.as<std::uint16_t>()};
  return {};
}

Status internal::ValidateSparse(const SparseView& sparse, const char* name) {
  if (sparse.m == 0 && sparse.offsets == nullptr) return {};
  if (sparse.offsets == nullptr) return Status::Invalid(name, "has no offsets");
  if (sparse.offsets[0] != 0) return Status::Invalid(name, "has offsets that do not begin at 0");
  for (std::size_t m = 0; m < sparse.m; ++m) {
    if (sparse.offsets[m + 1] < sparse.offsets[m]) return Status::Invalid(name, "has offsets that descend");
  }
  const std::size_t entries = EntryCount(sparse);
  if (entries == 0) return {};
  if (sparse.columns == nullptr || sparse.values == nullptr)
    return Status::Invalid(name, "has no columns or no values");
  for (std::size_t i = 0; i < entries; ++i) {
    if (ColumnAt(sparse, i) >= sparse.k) return Status::Invalid(name, "has a column that is not below K");
  }
  const bool finite = AllFinite(sparse.values, DataType::kF16, entries);
  return finite ? Status() : Status::Invalid(name, "has a value that is not finite");
}

// --- CompositeMatrix

namespace {

// Checks a matrix beside the first one.
Status ValidateMatrix(const PackedMatrix* w, const PackedMatrix* first, const char* name) {
  if (w == nullptr) return Status::Invalid(name, "is null");
  if (w->target() == nullptr) return Status::Invalid(name, "was not packed");
  return w->target() == first->target() ? Status() : Status::Invalid(name, "was packed for another target");
}

Status ValidateRows(const MatrixList& rows, std::size_t* m) {
  if (rows.size() == 0) return Status::Invalid("parts.rows", "is empty");
  *m = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const PackedMatrix* const matrix = rows.at(i);
    LUTRA_RETURN_IF_ERROR(ValidateMatrix(matrix, i == 0 || matrix == nullptr ? matrix : &rows[0], "parts.rows"));
    if (rows[i].k() != rows[0].k()) return Status::Invalid("parts.rows", "holds matrices of different K");
    *m += rows[i].m();
    if (internal::Overflows(*m, 64)) return Status::Invalid("parts.rows", "has too many rows");
  }
  return {};
}

Status ValidateRowOrder(const std::uint32_t* order, std::size_t m) {
  if (order == nullptr) return {};
  const Status status = internal::ValidateOrder(order, m, "parts.order");
  if (status.code() != StatusCode::kInvalidArgument) return status;
  return Status::Invalid("parts.order", "is not a permutation of 0 .. M - 1");  // rows, not columns
}

Status ValidateLowRank(const CompositeParts& parts, std::size_t m) {
  if (parts.down == nullptr && parts.up == nullptr) return {};
  LUTRA_RETURN_IF_ERROR(ValidateMatrix(parts.down, &parts.rows[0], "parts.down"));
  LUTRA_RETURN_IF_ERROR(ValidateMatrix(parts.up, &parts.rows[0], "parts.up"));
  if (parts.down->has_bias()) return Status::Invalid("parts.down", "has a bias");
  if (parts.up->has_bias()) return Status::Invalid("parts.up", "has a bias");
  if (parts.down->k() != parts.rows[0].k()) return Status::Invalid("parts.down", "has another K than the rows");
  if (parts.up->m() != m) return Status::Invalid("parts.up", "has not as many rows as parts.rows");
  return parts.up->k() == parts.down->m() ? Status()
                                          : Status::Invalid("parts.up", "has not a column for each row of down");
}

// Copies `bytes` bytes to the buffer. Of nothing, there is still an address.
bool Copy(const void* from, std::size_t bytes, Buffer* to) {
  if (!to->Reserve(bytes + 1)) return false;
  if (bytes != 0) std::memcpy(to->data(), from, bytes);
  return true;
}

Status CopySparse(const SparseView& from, SparseMatrix* to) {
  LUTRA_RETURN_IF_ERROR(to->Allocate(from.m, from.k, EntryCount(from)));
  std::memcpy(to->offsets(), from.offsets, (from.m + 1) * sizeof(std::uint32_t));
  if (EntryCount(from) == 0) return {};
  std::memcpy(to->columns(), from.columns, EntryCount(from) * ColumnBytes(from.k));
  std::memcpy(to->values(), from.values, EntryCount(from) * sizeof(std::uint16_t));
  return {};
}

}  // namespace

std::size_t CompositeMatrix::bytes() const {
  std::size_t sum = BytesOf(parts_.sparse);
  for (std::size_t i = 0; i < internal::MatrixCount(parts_); ++i) sum += internal::MatrixAt(parts_, i).bytes();
  return sum;
}

Status CompositeAccess::Compose(const CompositeParts& parts, CompositeMatrix* w) {
  std::size_t m = 0;
  LUTRA_RETURN_IF_ERROR(ValidateRows(parts.rows, &m));
  const std::size_t k = parts.rows[0].k();
  LUTRA_RETURN_IF_ERROR(ValidateRowOrder(parts.order, m));
  const bool sparse = parts.sparse.m != 0 || parts.sparse.offsets != nullptr;
  if (sparse && (parts.sparse.m != m || parts.sparse.k != k)) {
    return Status::Invalid("parts.sparse", "is not M x K, as the rows");
  }
  LUTRA_RETURN_IF_ERROR(internal::ValidateSparse(parts.sparse, "parts.sparse"));
  LUTRA_RETURN_IF_ERROR(ValidateLowRank(parts, m));

  CompositeMatrix result;
  if (!result.pointers_.Reserve(parts.rows.size() * sizeof(void*))) return Status::OutOfMemory("w");
  for (std::size_t i = 0; i < parts.rows.size(); ++i) result.pointers_.as<const PackedMatrix*>()[i] = &parts.rows[i];
  result.parts_ = parts;
  result.parts_.rows = {result.pointers_.as<const PackedMatrix*>(), parts.rows.size()};
  if (parts.order != nullptr) {
    if (!Copy(parts.order, m * sizeof(std::uint32_t), &result.order_)) return Status::OutOfMemory("w");
    result.parts_.order = result.order_.as<std::uint32_t>();
  }
  if (sparse && !CopySparse(parts.sparse, &result.sparse_).ok()) return Status::OutOfMemory("w");
  result.parts_.sparse = result.sparse_.view();
  result.m_ = m;
  result.k_ = k;
  *w = std::move(result);
  return {};
}

Status functions::Compose(const CompositeParts& parts, CompositeMatrix* w) {
  return w == nullptr ? Status::Invalid("w", "is null") : CompositeAccess::Compose(parts, w);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
