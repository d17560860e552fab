// A layer of experts for tests: matrices, x of some rows, and what a loop of single products gives.
#pragma once

#include <memory>
#include <vector>

#include "lutra/kernels/fma.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {

// Matrices of one case that differ in their values, and x of the first.
struct Experts {
  Experts(Case c, std::size_t count, std::size_t x_rows) {
    c.n = x_rows;
    if (c.tables == 0) c.tables = 1 + c.seed % kMaxTables;  // as many in all matrices
    for (std::size_t i = 0; i < count; ++i) {
      problems.push_back(std::make_unique<Problem>(c));
      matrices.push_back(Packed(*problems.back(), c.target));
      if (c.order) c.order = false;  // matrices with orders of their own do not share x
      ++c.seed;
    }
    x = Prepared(*problems[0], matrices[0]);
  }

  MatrixList list() const { return {matrices.data(), matrices.size()}; }

  std::vector<std::unique_ptr<Problem>> problems;
  std::vector<PackedMatrix> matrices;
  Activations x;
};

// What one matrix after the other gives, in floats: the products of all rows of x.
inline std::vector<std::vector<float>> Products(const MatrixList& w, const Activations& x) {
  std::vector<std::vector<float>> products;
  for (std::size_t i = 0; i < w.size(); ++i) products.push_back(Multiplied(w[i], x, DataType::kF32, 0));
  return products;
}

// y of a grouped product by the loop. Rows that no entry writes are as in `before`.
inline std::vector<float> Loop(const GroupedProduct& p, std::vector<float> before) {
  std::vector<std::vector<float>> products = Products(p.w, *p.x);
  if (p.gate.size() != 0) {
    const std::vector<std::vector<float>> gates = Products(p.gate, *p.x);
    for (std::size_t i = 0; i < products.size(); ++i) {
      ReferenceGatedUnit(p.unit, gates[i].data(), products[i].data(), products[i].size(), products[i].data());
    }
  }
  std::vector<float> y = std::move(before);
  const std::size_t m = p.y.m;
  if (p.weights != nullptr) std::fill(y.begin(), y.end(), 0.0f);
  const auto row = [](const std::int32_t* list, std::size_t i) {
    return list == nullptr ? i : static_cast<std::size_t>(list[i]);
  };
  for (std::size_t matrix = 0; matrix < p.w.size(); ++matrix) {
    for (auto i = static_cast<std::size_t>(p.rows.offsets[matrix]);
         i < static_cast<std::size_t>(p.rows.offsets[matrix + 1]); ++i) {
      const std::size_t from = row(p.rows.x_rows, i), to = row(p.rows.y_rows, i);
      for (std::size_t j = 0; j < m; ++j) {
        const float product = products[matrix][from * m + j];
        float& value = y[to * m + j];
        value = p.weights == nullptr ? product : internal::Fma(p.weights[from], product, value);
      }
    }
  }
  for (auto i = static_cast<std::size_t>(p.rows.offsets[p.w.size()]); p.weights == nullptr && i < p.rows.size; ++i) {
    std::fill_n(y.begin() + static_cast<std::ptrdiff_t>(row(p.rows.y_rows, i) * m), m, 0.0f);
  }
  return Rounded(y, p.y.type);
}

// y of a grouped product over an executor.
inline std::vector<float> Grouped(GroupedProduct p, std::size_t n, Executor* executor = nullptr, std::size_t gap = 0) {
  Output y(n, p.w[0].m(), gap, p.y.type);
  p.y = y.view();
  Context context{executor};
  EXPECT_TRUE(Ok(MatMulGrouped(p, context)));
  EXPECT_TRUE(y.SurroundingsIntact());
  return y.Floats();
}

// The same by the pieces of a split into `count`, the last first; 0: into those for three threads.
inline std::vector<float> GroupedInPieces(GroupedProduct p, std::size_t n, std::size_t count) {
  Output y(n, p.w[0].m(), 1, p.y.type);
  p.y = y.view();
  std::size_t bytes = 0;
  EXPECT_TRUE(Ok(GroupedScratchSize(p.w[0], *p.x, &bytes)));
  Buffer scratch;
  EXPECT_TRUE(scratch.Reserve(bytes));
  if (count == 0) {
    EXPECT_TRUE(Ok(MatMulGroupedPieces(p, 3, &count)));
  }
  for (std::size_t i = count; i-- > 0;) {
    EXPECT_TRUE(Ok(MatMulGroupedPiece(p, i, count, scratch.data(), bytes))) << i << " of " << count;
  }
  EXPECT_TRUE(y.SurroundingsIntact());
  return y.Floats();
}

// Expects that products of one matrix with lists of rows of x have the bits of MatMul: rows where they stand, and
// gathered ones.
inline void ExpectRowLists(const Case& c) {
  constexpr std::size_t kRows = 23;
  const Experts one(c, 1, kRows);
  std::vector<std::int32_t> many(100);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::int32_t>(i * 7 % kRows);
  for (const std::vector<std::int32_t>& list : {std::vector<std::int32_t>{22}, {5, 6, 7}, {9, 9, 3}, many}) {
    const std::int32_t offsets[] = {0, static_cast<std::int32_t>(list.size())};
    GroupedProduct p;
    p.w = one.list();
    p.x = &one.x;
    p.rows = {offsets, list.size(), list.data(), nullptr};
    p.y = {nullptr, DataType::kF32, list.size(), c.m, c.m};
    EXPECT_TRUE(SameBits(Grouped(p, list.size()), Loop(p, std::vector<float>(list.size() * c.m)), c.m)) << list.size();
  }
}

}  // namespace lutra::test
