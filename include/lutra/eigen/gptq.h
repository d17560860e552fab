// QuantizeGptq: GPTQ's quantizer. This header needs Eigen 3.3 or newer, which your program finds and links
// (Eigen3::Eigen); lutra.h does not include it, and the library does not need it.
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <new>
#include <numeric>
#include <vector>

#include "lutra/quantize.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Options of QuantizeGptq.
struct GptqOptions {
  // This share of the mean of H's diagonal is added to the diagonal: finite, not negative.
  double damping = 0.01;
  // Columns are rounded in the order of falling diagonal elements ("desc_act", "act-order"). Groups are consecutive
  // columns in that order, and the view has it as its order.
  bool by_diagonal = false;
};

namespace functions {

// hessian[K x K] += x^T * x for x[N x K], row-major, `row_stride` elements from row to row: its upper triangle. Start
// from zeros.
inline void AddToHessian(const float* x, std::size_t n, std::size_t k, std::size_t row_stride, float* hessian) {
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto columns = static_cast<Eigen::Index>(k);
  const Eigen::Map<const Rows, 0, Eigen::OuterStride<>> rows(
      x, static_cast<Eigen::Index>(n), columns, Eigen::OuterStride<>(static_cast<Eigen::Index>(row_stride)));
  Eigen::Map<Rows>(hessian, columns, columns).selfadjointView<Eigen::Upper>().rankUpdate(rows.transpose());
}

}  // namespace functions

namespace internal {

// The columns in the order in which they are rounded.
inline std::vector<std::uint32_t> GptqOrder(const float* hessian, std::size_t k, bool by_diagonal) {
  std::vector<std::uint32_t> order(k);
  std::iota(order.begin(), order.end(), 0u);
  const auto larger = [&](std::size_t a, std::size_t b) { return hessian[a * k + a] > hessian[b * k + b]; };
  if (by_diagonal) std::stable_sort(order.begin(), order.end(), larger);
  return order;
}

// Computes Feedback::factor. With rows and columns from last to first, H' = L * L^T with L lower triangular; so
// H' = R * R^T with R upper triangular, and U = R^-1.
inline Status GptqFactor(const float* hessian, std::size_t k, const std::vector<std::uint32_t>& order, double damping,
                         std::vector<float>* factor) {
  double sum = 0;
  for (std::size_t i = 0; i < k; ++i) sum += hessian[i * k + i];
  const double added = sum > 0 ? damping * sum / static_cast<double>(k) : 1.0;
  Eigen::MatrixXd h(k, k);
  for (std::size_t i = 0; i < k; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      const std::size_t a = order[k - 1 - i], b = order[k - 1 - j];
      h(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) =
          hessian[std::min(a, b) * k + std::max(a, b)] + (i == j ? added : 0.0);
    }
  }
  const Eigen::LLT<Eigen::MatrixXd> cholesky(h);
  if (cholesky.info() != Eigen::Success) return Status::Invalid("hessian", "is not positive definite: raise damping");
  h.setIdentity();
  cholesky.matrixL().solveInPlace(h);
  factor->assign(k * k, 0.0f);
  for (std::size_t i = 0; i < k; ++i) {
    for (std::size_t j = i; j < k; ++j) {
      (*factor)[i * k + j] =
          static_cast<float>(h(static_cast<Eigen::Index>(k - 1 - i), static_cast<Eigen::Index>(k - 1 - j)));
    }
  }
  return {};
}

}  // namespace internal

namespace functions {

// QuantizeWithFeedback with the factor of hessian[K x K] (Feedback::hessian), which AddToHessian sums up. It allocates
// 20 bytes for each element of the Hessian. Results are the same bits for one program on every CPU; Eigen sums in
// another order under other compilers and flags.
inline Status QuantizeGptq(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                           const QuantizeOptions& options, const float* hessian, const GptqOptions& gptq,
                           QuantizedMatrix* w) {
  if (!(gptq.damping >= 0) || !std::isfinite(gptq.damping)) {
    return Status::Invalid("gptq.damping", "is negative or not finite");
  }
  if (options.order != nullptr) return Status::Invalid("options.order", "is not null: see gptq.by_diagonal");
  if (k != 0 && hessian == nullptr) return Status::Invalid("hessian", "is null");
  if (k > std::size_t{1} << 20) return Status::Invalid("k", "is too large for a Hessian");
  try {
    for (std::size_t i = 0; i < k; ++i) {
      const bool valid =
          std::all_of(hessian + i * k + i, hessian + i * k + k, [](float h) { return std::isfinite(h); });
      if (!valid || hessian[i * k + i] < 0) {
        return Status::Invalid("hessian", "holds a value that is not finite, or a negative one on its diagonal");
      }
    }
    const std::vector<std::uint32_t> order = internal::GptqOrder(hessian, k, gptq.by_diagonal);
    std::vector<float> factor;
    const Status status = internal::GptqFactor(hessian, k, order, gptq.damping, &factor);
    if (!status.ok()) return status;
    QuantizeOptions in_order = options;
    if (gptq.by_diagonal) in_order.order = order.data();
    return QuantizeWithFeedback(weights, m, k, row_stride, in_order, {hessian, factor.data()}, w);
  } catch (const std::bad_alloc&) {
    return Status::OutOfMemory("hessian");
  }
}

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
