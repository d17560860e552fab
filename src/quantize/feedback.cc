// QuantizeWithFeedback: GPTQ's error feedback, for a few rows at a time.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "float_mode.h"
#include "lutra/buffer.h"
#include "lutra/layout/qparams.h"
#include "lutra/quantize.h"
#include "memory/elements.h"
#include "quantize/checks.h"
#include "quantize/fit_group.h"
#include "quantize/quadratic_form.h"
#include "scales.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

constexpr std::size_t kRows = internal::kFormRows;  // of a task: they share what is read of the factor and the Hessian
constexpr std::size_t kPiece = 64;                  // columns whose errors are fed back together
constexpr std::size_t kTile = 512;                  // columns that take these errors, so that they stay in L1

// What all tasks read and write.
struct Work {
  const internal::Elements<float>& weights;
  const std::size_t row_stride;
  const Fit fit;
  const Feedback& feedback;
  const float* const importance;  // [K]
  const QuantizedView& plain;     // by Quantize
  QuantizedMatrix& w;
  std::atomic<bool> out_of_memory{false};

  std::size_t ColumnOf(std::size_t j) const { return ColumnOfX(w.view(), j); }
};

// Copies elements [row * count, (row + 1) * count) of an array.
template <class T>
void CopyPart(const T* from, std::size_t row, std::size_t count, T* to) {
  if (count != 0) std::memcpy(to + row * count, from + row * count, count * sizeof(T));
}

// Copies the qparams of row `row`; if one scale serves the matrix, of row 0 alone.
void CopyQparams(const QuantizedView& from, std::size_t row, QuantizedMatrix& to) {
  for (const internal::QparamField& field : internal::SchemeOf(from)) {
    const std::size_t bytes = internal::ValueCount(field, 1, from.k, from.group) * SizeOf(field.type);
    CopyPart(static_cast<const std::uint8_t*>(internal::ArrayOf(from, field.role)), row, bytes,
             internal::WritableArrayOf(to.view(), field.role));
  }
}

// Rows [first, first + rows_) of W.
class Rows {
 public:
  Rows(Work& work, std::size_t first)
      : work_(work),
        v_(work.w.view()),
        arrays_(internal::ArraysOf(work.w)),
        first_(first),
        rows_(std::min(kRows, v_.m - first)) {}

  bool Allocate() {
    return memory_.Reserve(kRows * (v_.k + kPiece) * sizeof(float)) &&
           errors_.Reserve((kRows + 1) * v_.k * sizeof(float));
  }

  void Quantize() {
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t j = 0; j < v_.k; ++j) Current(r)[j] = Weight(r, work_.ColumnOf(j));
    }
    const std::size_t columns = internal::FitColumns(v_);
    for (std::size_t begin = 0; begin < v_.k; begin += columns) {
      const std::size_t end = std::min(begin + columns, v_.k);
      if (v_.group != kPerMatrix) FitRows(begin, end);
      for (std::size_t piece = begin; piece < end; piece += kPiece) Round(piece, std::min(piece + kPiece, end));
    }
  }

  // Rows that Quantize has multiplied with less error get its codes.
  void KeepTheBetter() {
    double fed_back[kRows], plain[kRows];
    Errors(v_, fed_back);
    Errors(work_.plain, plain);
    for (std::size_t r = 0; r < rows_; ++r) {
      if (fed_back[r] <= plain[r]) continue;
      CopyPart(work_.plain.codes, first_ + r, v_.k, work_.w.codes());
      if (v_.group != kPerMatrix) CopyQparams(work_.plain, first_ + r, work_.w);
    }
  }

 private:
  float Weight(std::size_t r, std::size_t column) const {
    return work_.weights[(first_ + r) * work_.row_stride + column];
  }
  float* Current(std::size_t r) { return memory_.as<float>() + r * v_.k; }
  float* PieceErrors(std::size_t r) { return memory_.as<float>() + kRows * v_.k + r * kPiece; }

  // The weight as feedback has made it. A factor that is no factor of H may make it infinite: then as it was.
  float& Tamed(std::size_t r, std::size_t j) {
    float& w = Current(r)[j];
    if (!internal::IsFinite(w)) w = Weight(r, work_.ColumnOf(j));
    return w;
  }

  void FitRows(std::size_t begin, std::size_t end) {
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t j = begin; j < end; ++j) Tamed(r, j);
      const internal::Group columns{internal::Elements<float>(Current(r) + begin), 1, 0, end - begin,
                                    work_.importance + begin};
      internal::FitGroups(columns, internal::GroupAt(v_, first_ + r, begin), arrays_, work_.fit);
    }
  }

  // Rounds columns [begin, end), whose qparams are stored, and makes the columns after them take their errors.
  void Round(std::size_t begin, std::size_t end) {
    for (std::size_t r = 0; r < rows_; ++r) RoundRow(r, begin, end);
    for (std::size_t tile = end; tile < v_.k; tile += kTile) {
      const std::size_t tile_end = std::min(tile + kTile, v_.k);
      for (std::size_t r = 0; r < rows_; ++r) {
        for (std::size_t j = begin; j < end; ++j) Take(r, j, PieceErrors(r)[j - begin], tile, tile_end);
      }
    }
  }
  void RoundRow(std::size_t r, std::size_t begin, std::size_t end) {
    std::size_t at = internal::GroupAt(v_, first_ + r, begin);
    internal::Coder coder(at, arrays_);
    for (std::size_t j = begin; j < end; ++j) {
      const std::size_t group = internal::GroupAt(v_, first_ + r, j);
      if (group != at) coder = internal::Coder(at = group, arrays_);
      const float w = Tamed(r, j);
      const std::uint8_t code = coder.Nearest(w);
      work_.w.codes()[(first_ + r) * v_.k + j] = code;
      const float error = (w - coder.WeightOf(code)) / work_.feedback.factor[j * v_.k + j];
      PieceErrors(r)[j - begin] = error;
      Take(r, j, error, j + 1, end);
    }
  }
  // Columns [begin, end) take the error of column j.
  void Take(std::size_t r, std::size_t j, float error, std::size_t begin, std::size_t end) {
    const float* const factor = work_.feedback.factor + j * v_.k;
    float* const w = Current(r);
    for (std::size_t i = begin; i < end; ++i) w[i] -= error * factor[i];
  }

  // The squared errors of x * W^T with the codes and qparams of `quantized`.
  void Errors(const QuantizedView& quantized, double* errors) {
    auto* const e = errors_.as<float>();
    float* const row = e + kRows * v_.k;
    std::fill(e, e + kRows * v_.k, 0.0f);
    for (std::size_t r = 0; r < rows_; ++r) {
      internal::DequantizeRow(quantized, first_ + r, row);
      for (std::size_t k = 0; k < v_.k; ++k) e[k * kRows + r] = Weight(r, k) - row[k];
    }
    internal::QuadraticForms(work_.feedback.hessian, v_.k, e, errors);
  }

  Work& work_;
  const QuantizedView& v_;
  const internal::GroupArrays arrays_;
  const std::size_t first_, rows_;
  Buffer memory_;  // the weights as they are now [kRows x K]; the errors of a piece
  Buffer errors_;  // of the weights [K x kRows]; a row
};

void RunRows(Work& work, std::size_t i) {
  Rows rows(work, i * kRows);
  if (!rows.Allocate()) {
    work.out_of_memory = true;
    return;
  }
  rows.Quantize();
  rows.KeepTheBetter();
}

// Checks the upper triangle of h[K x K]: finite, and its diagonal not negative.
Status ValidateTriangle(const float* h, std::size_t k, const char* name) {
  if (h == nullptr) return Status::Invalid(name, "is null");
  for (std::size_t i = 0; i < k; ++i) {
    if (!internal::AllFinite(h + i * k + i, DataType::kF32, k - i)) {
      return Status::Invalid(name, "holds a value that is not finite");
    }
    if (h[i * k + i] < 0.0f) return Status::Invalid(name, "has a negative number on its diagonal");
  }
  return {};
}

Status ValidateFeedback(const Feedback& feedback, std::size_t k) {
  LUTRA_RETURN_IF_ERROR(ValidateTriangle(feedback.hessian, k, "feedback.hessian"));
  LUTRA_RETURN_IF_ERROR(ValidateTriangle(feedback.factor, k, "feedback.factor"));
  for (std::size_t i = 0; i < k; ++i) {
    if (feedback.factor[i * k + i] == 0.0f) return Status::Invalid("feedback.factor", "has a 0 on its diagonal");
  }
  return {};
}

}  // namespace

Status functions::QuantizeWithFeedback(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                                       const QuantizeOptions& options, const Feedback& feedback, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  if (options.importance != nullptr) return Status::Invalid("options.importance", "is not null");
  LUTRA_RETURN_IF_ERROR(internal::ValidateQuantizing(weights, m, k, row_stride, options));
  if (internal::Overflows(k, k, sizeof(float))) return Status::Invalid("k", "is too large for a Hessian");
  if (m == 0 || k == 0) return Quantize(weights, m, k, row_stride, options, w);
  LUTRA_RETURN_IF_ERROR(ValidateFeedback(feedback, k));

  const internal::Elements<float> elements(weights);
  QuantizedMatrix plain, result;
  LUTRA_RETURN_IF_ERROR(Quantize(weights, m, k, row_stride, options, &plain));
  QuantizedView shape = ShapeOf(m, k, options);
  shape.matrix_scale = plain.view().matrix_scale;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape));
  std::copy_n(shape.codebook, CodebookSize(shape), result.codebook());
  if (shape.order != nullptr) std::copy_n(plain.view().order, k, result.order());
  if (shape.group == kPerMatrix) CopyQparams(plain.view(), 0, result);

  Buffer importance;  // an error e of column j adds (e / U(j, j))^2 to that of x * W^T, after the feedback
  if (!importance.Reserve(k * sizeof(float))) return Status::OutOfMemory("w");
  {
    const internal::FloatMode mode;
    for (std::size_t j = 0; j < k; ++j) {
      const double diagonal = feedback.factor[j * k + j];
      importance.as<float>()[j] = static_cast<float>(std::min(1 / (diagonal * diagonal), 1e30));
    }
  }
  Work work{elements, row_stride, options.fit, feedback, importance.as<float>(), plain.view(), result};
  internal::RunTasks(options.executor, (m + kRows - 1) / kRows, work, RunRows);
  if (work.out_of_memory) return Status::OutOfMemory("w");
  *w = std::move(result);
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
