// Composites for tests: matrices of several formats, an order, sparse weights, a path of low rank; and what the parts
// give one by one.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {

inline SparseMatrix RandomSparse(std::size_t m, std::size_t k, std::size_t of, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::vector<std::uint32_t>> rows(m);
  std::size_t entries = 0;
  for (auto& row : rows) {
    for (std::uint32_t c = 0; c < k; ++c) {
      if (random.Below(of) == 0) row.push_back(c);
    }
    entries += row.size();
  }
  SparseMatrix sparse;
  EXPECT_TRUE(Ok(sparse.Allocate(m, k, entries)));
  std::size_t at = 0;
  for (std::size_t r = 0; r < m; ++r) {
    sparse.offsets()[r] = static_cast<std::uint32_t>(at);
    for (const std::uint32_t column : rows[r]) {
      if (ColumnBytes(k) == 2) {
        static_cast<std::uint16_t*>(sparse.columns())[at] = static_cast<std::uint16_t>(column);
      } else {
        static_cast<std::uint32_t*>(sparse.columns())[at] = column;
      }
      sparse.values()[at++] = F32ToF16(random.Gaussian());
    }
  }
  sparse.offsets()[m] = static_cast<std::uint32_t>(at);
  return sparse;
}

inline std::size_t ColumnOf(const SparseView& s, std::size_t i) {
  return ColumnBytes(s.k) == 2 ? static_cast<const std::uint16_t*>(s.columns)[i]
                               : static_cast<const std::uint32_t*>(s.columns)[i];
}

// The float value of element (n, k) of x.
inline float ElementOf(const ActivationView& x, std::size_t n, std::size_t k) {
  const float value = Load(x.type, x.data, n * x.row_stride + k);
  if (!HasScales(x.type)) return value;
  return x.scales[n * GroupsPerRow(x.k, x.scale_group) + (x.scale_group == kPerRow ? 0 : k / x.scale_group)] * value;
}

// Which parts a composite has beside its rows.
struct Sides {
  bool order = false, sparse = false, low_rank = false;
};

class Composite {
 public:
  // Matrices of these formats, of m rows each and a few more from one to the next.
  Composite(const std::vector<Format>& formats, Case c, const Sides& sides) : case_(c) {
    for (const Format format : formats) {
      c.format = format;
      Add(c);
      c.m += 7, ++c.seed, c.bias = !c.bias;
      c.group = c.group == 32 ? 128 : 32;
      rows += problems.back()->w().m;
    }
    std::vector<const PackedMatrix*> pointers;
    for (const auto& matrix : matrices) pointers.push_back(matrix.get());
    parts.rows = {pointers.data(), pointers.size()};
    if (sides.order) {
      order.resize(rows);
      std::iota(order.begin(), order.end(), 0u);
      Random random(c.seed);
      for (std::size_t i = rows; i-- > 1;) std::swap(order[i], order[random.Below(i + 1)]);
      parts.order = order.data();
    }
    if (sides.sparse) {
      sparse = RandomSparse(rows, c.k, 20, c.seed);
      parts.sparse = sparse.view();
    }
    if (sides.low_rank) {
      c.bias = false;
      c.m = 16;
      Add(c);
      c.k = 16, c.m = rows;
      Add(c);
      parts.down = matrices[formats.size()].get();
      parts.up = matrices[formats.size() + 1].get();
    }
    EXPECT_TRUE(Ok(Compose(parts, &w)));
    parts = w.parts();
  }

  // What the parts give, added up in floats and rounded to a type.
  std::vector<float> Expected(const ActivationView& x, const PrepareOptions& options, DataType type) const {
    std::vector<float> y(x.n * rows);
    std::size_t first = 0;
    for (std::size_t i = 0; i < parts.rows.size(); first += parts.rows[i++].m()) {
      const std::vector<float> part = One(parts.rows[i], x, options);
      for (std::size_t j = 0; j < part.size(); ++j) {
        const std::size_t m = parts.rows[i].m(), row = first + j % m;
        y[j / m * rows + (order.empty() ? row : order[row])] = part[j];
      }
    }
    const SparseView& s = parts.sparse;
    for (std::size_t j = 0; s.m != 0 && j < y.size(); ++j) {
      float sum = 0;
      for (std::size_t e = s.offsets[j % rows]; e < s.offsets[j % rows + 1]; ++e) {
        sum += F16ToF32(s.values[e]) * ElementOf(x, j / rows, ColumnOf(s, e));
      }
      y[j] += sum;
    }
    if (parts.up != nullptr) {
      const std::vector<float> hidden = One(*parts.down, x, options);
      const std::vector<float> added = One(*parts.up, {hidden.data(), x.n, parts.down->m()}, options);
      for (std::size_t j = 0; j < y.size(); ++j) y[j] += added[j];
    }
    return Rounded(y, type);
  }

  static std::vector<float> One(const PackedMatrix& w, const ActivationView& x, const PrepareOptions& options) {
    Context context;
    Activations prepared;
    EXPECT_TRUE(Ok(Prepare(x, w, options, context, &prepared)));
    return Multiplied(w, prepared, DataType::kF32, 0);
  }

  static std::vector<float> Multiply(const CompositeMatrix& w, const ActivationView& x, const CompositeOptions& options,
                                     DataType type = DataType::kF32, Executor* executor = nullptr) {
    Context context{executor};
    Output y(x.n, w.m(), 3, type);
    EXPECT_TRUE(Ok(MatMul(w, x, y.view(), options, context)));
    EXPECT_TRUE(y.SurroundingsIntact());
    return y.Floats();
  }

  const ActivationView& x() const { return problems[0]->x(); }

  std::vector<std::unique_ptr<Problem>> problems;
  std::vector<std::unique_ptr<PackedMatrix>> matrices;
  std::size_t rows = 0;
  std::vector<std::uint32_t> order;
  SparseMatrix sparse;
  CompositeParts parts;
  CompositeMatrix w;

 private:
  void Add(const Case& c) {
    problems.push_back(std::make_unique<Problem>(c));
    matrices.push_back(std::make_unique<PackedMatrix>(Packed(*problems.back(), c.target)));
  }

  Case case_;
};

}  // namespace lutra::test
