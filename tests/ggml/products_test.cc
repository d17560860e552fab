// The operations of the ggml plug-in through ggml's API, each alone, with the shapes of ggml's tests of backends: the
// NMSE to products in double of the weights that ggml dequantizes, below the limit of those tests.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "mapping.h"
#include "random_llama.h"

namespace {

constexpr double kMostNmse = 5e-4;

struct Free {
  void operator()(ggml_context* context) const { ggml_free(context); }
  void operator()(ggml_backend* backend) const { ggml_backend_free(backend); }
  void operator()(ggml_backend_buffer* buffer) const { ggml_backend_buffer_free(buffer); }
};
using Context = std::unique_ptr<ggml_context, Free>;
using Buffer = std::unique_ptr<ggml_backend_buffer, Free>;

Context NewContext() { return Context(ggml_init({std::size_t{1} << 20, nullptr, true})); }

std::vector<float> Gaussian(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

class PluginProducts : public testing::TestWithParam<random_llama::FileType> {
 protected:
  void SetUp() override {
    registry_ = ggml_backend_load(LUTRA_GGML_PLUGIN);
    ASSERT_NE(registry_, nullptr);
    ggml_backend_dev_t device = ggml_backend_reg_dev_get(registry_, 0);
    backend_.reset(ggml_backend_dev_init(device, nullptr));
    ASSERT_NE(backend_, nullptr);
    const auto set_threads = reinterpret_cast<ggml_backend_set_n_threads_t>(
        ggml_backend_reg_get_proc_address(registry_, "ggml_backend_set_n_threads"));
    ASSERT_NE(set_threads, nullptr);
    set_threads(backend_.get(), 2);
    weights_type_ = ggml_backend_dev_buffer_type(device);
  }
  void TearDown() override {
    Clear();
    backend_.reset();
    if (registry_ != nullptr) ggml_backend_unload(registry_);
  }

  // The blocks of random weights, whose floats, as ggml dequantizes them, are kept.
  std::vector<std::uint8_t> Blocks(std::int64_t k, std::int64_t rows) {
    const ggml_type type = GetParam().type;
    const std::vector<float> exact = Gaussian(static_cast<std::size_t>(rows * k), 1), importance(exact.size(), 1.0f);
    std::vector<std::uint8_t> blocks(ggml_row_size(type, k) * static_cast<std::size_t>(rows));
    ggml_quantize_init(type);
    ggml_quantize_chunk(type, exact.data(), blocks.data(), 0, rows, k, importance.data());
    floats_.resize(exact.size());
    ggml_get_type_traits(type)->to_float(blocks.data(), floats_.data(), rows * k);
    return blocks;
  }
  // Packs random weights, [k, m, matrices].
  ggml_tensor* Weights(std::int64_t k, std::int64_t m, std::int64_t matrices) {
    ggml_tensor* const w = ggml_new_tensor_3d(weights_context_.get(), GetParam().type, k, m, matrices);
    const std::vector<std::uint8_t> blocks = Blocks(k, m * matrices);
    weights_.reset(ggml_backend_alloc_ctx_tensors_from_buft(weights_context_.get(), weights_type_));
    const std::size_t part = blocks.size() / 3;  // the end first
    ggml_backend_tensor_set(w, blocks.data() + part, part, blocks.size() - part);
    ggml_backend_tensor_set(w, blocks.data(), 0, part);
    return w;
  }
  // A table [k, m] at an address. llama.cpp makes such tensors for weights that stay in the file's mapping.
  ggml_tensor* Table(std::int64_t k, std::int64_t m, const Mapping& mapping, ggml_backend_buffer_usage usage) {
    ggml_tensor* const table = ggml_new_tensor_2d(weights_context_.get(), GetParam().type, k, m);
    weights_.reset(ggml_backend_cpu_buffer_from_ptr(mapping.data(), mapping.size()));
    ggml_backend_buffer_set_usage(weights_.get(), usage);
    EXPECT_EQ(ggml_backend_tensor_alloc(weights_.get(), table, mapping.data()), GGML_STATUS_SUCCESS);
    return table;
  }
  double Weight(std::int64_t k, std::int64_t row, std::int64_t i) const {
    return static_cast<double>(floats_[static_cast<std::size_t>(row * k + i)]);
  }

  // Computes y, whose sources have the values of Fill.
  std::vector<float> Compute(ggml_tensor* y) {
    ggml_cgraph* const graph = ggml_new_graph(context_.get());
    ggml_build_forward_expand(graph, y);
    EXPECT_TRUE(ggml_backend_supports_op(backend_.get(), y));
    memory_.reset(ggml_backend_alloc_ctx_tensors(context_.get(), backend_.get()));
    for (const Filled& filled : filled_) {
      ggml_backend_tensor_set(filled.tensor, filled.bytes.data(), 0, filled.bytes.size());
    }
    EXPECT_EQ(ggml_backend_graph_compute(backend_.get(), graph), GGML_STATUS_SUCCESS);
    std::vector<float> values(static_cast<std::size_t>(ggml_nelements(y)));
    ggml_backend_tensor_get(y, values.data(), 0, ggml_nbytes(y));
    return values;
  }
  template <class T>
  void Fill(ggml_tensor* tensor, const std::vector<T>& values) {
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(values.data());
    filled_.push_back({tensor, {bytes, bytes + values.size() * sizeof(T)}});
  }
  void Clear() {
    ClearX();
    weights_.reset();
    weights_context_ = NewContext();
  }
  // Clears all but the weights.
  void ClearX() {
    filled_.clear();
    memory_.reset();
    context_ = NewContext();
  }

  // Computes rows of a table whose weights are kept.
  void ExpectRows(ggml_tensor* table, const std::vector<std::int32_t>& rows) {
    ggml_tensor* const ids = ggml_new_tensor_1d(context(), GGML_TYPE_I32, static_cast<std::int64_t>(rows.size()));
    Fill(ids, rows);
    std::vector<double> exact;
    for (const std::int32_t row : rows) {
      for (std::int64_t k = 0; k < table->ne[0]; ++k) exact.push_back(Weight(table->ne[0], row, k));
    }
    EXPECT_LT(Nmse(Compute(ggml_get_rows(context(), table, ids)), exact), 1e-12);
  }

  static double Nmse(const std::vector<float>& values, const std::vector<double>& exact) {
    double error = 0, power = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      error += (static_cast<double>(values[i]) - exact[i]) * (static_cast<double>(values[i]) - exact[i]);
      power += exact[i] * exact[i];
    }
    return values.size() == exact.size() ? error / power : 1.0;
  }

  ggml_context* context() const { return context_.get(); }
  // Asks as llama.cpp does before it gives weights memory.
  bool Wants(ggml_tensor* w, const ggml_tensor* op) const {
    const Buffer none(ggml_backend_buft_alloc_buffer(weights_type_, 0));
    w->buffer = none.get();
    const bool wants = ggml_backend_supports_op(backend_.get(), op);
    w->buffer = nullptr;
    return wants;
  }

 private:
  struct Filled {
    ggml_tensor* tensor;
    std::vector<std::uint8_t> bytes;
  };
  ggml_backend_reg_t registry_ = nullptr;
  std::unique_ptr<ggml_backend, Free> backend_;
  ggml_backend_buffer_type_t weights_type_ = nullptr;
  Context weights_context_ = NewContext(), context_ = NewContext();
  Buffer weights_, memory_;
  std::vector<float> floats_;  // of the weights
  std::vector<Filled> filled_;
};

// One matrix times rows of x, in one batch or in several.
TEST_P(PluginProducts, OfOneMatrix) {
  struct Shape {
    std::int64_t m, n, k, batches;
  };
  std::vector<Shape> shapes = {{1, 64, 256, 1}, {65, 33, 256, 1}, {16, 1, 768, 1}, {67, 2, 256, 3}, {16, 77, 512, 2}};
  for (std::int64_t n = 1; n <= 9; ++n) shapes.push_back({16, n, 256, 1});
  for (const Shape& s : shapes) {
    SCOPED_TRACE(testing::Message() << "m " << s.m << ", n " << s.n << ", k " << s.k << ", batches " << s.batches);
    Clear();
    ggml_tensor* const w = Weights(s.k, s.m, 1);
    ggml_tensor* const x = ggml_new_tensor_3d(context(), GGML_TYPE_F32, s.k, s.n, s.batches);
    const std::vector<float> of_x = Gaussian(static_cast<std::size_t>(ggml_nelements(x)), 2);
    Fill(x, of_x);
    std::vector<double> exact;
    for (std::int64_t n = 0; n < s.n * s.batches; ++n) {
      for (std::int64_t m = 0; m < s.m; ++m) {
        double sum = 0;
        for (std::int64_t k = 0; k < s.k; ++k) {
          sum += Weight(s.k, m, k) * static_cast<double>(of_x[static_cast<std::size_t>(n * s.k + k)]);
        }
        exact.push_back(sum);
      }
    }
    EXPECT_LT(Nmse(Compute(ggml_mul_mat(context(), w, x)), exact), kMostNmse);
  }
}

// The experts of each token: x has a row for the token, or for each of its experts.
TEST_P(PluginProducts, OfExperts) {
  constexpr std::int64_t kExperts = 4, kM = 67, kK = 256;
  ggml_tensor* const w = Weights(kK, kM, kExperts);
  for (const std::int64_t used : {1, 2, 4}) {
    for (const std::int64_t n : {1, 4, 33}) {
      for (const std::int64_t rows : {std::int64_t{1}, used}) {
        SCOPED_TRACE(testing::Message() << used << " experts, n " << n << ", rows of a token " << rows);
        ClearX();
        ggml_tensor* const x = ggml_new_tensor_3d(context(), GGML_TYPE_F32, kK, rows, n);
        ggml_tensor* const ids = ggml_new_tensor_2d(context(), GGML_TYPE_I32, used, n);
        const std::vector<float> of_x = Gaussian(static_cast<std::size_t>(ggml_nelements(x)), 3);
        std::vector<std::int32_t> expert;
        std::vector<double> exact;
        for (std::int64_t token = 0; token < n; ++token) {
          for (std::int64_t slot = 0; slot < used; ++slot) {
            expert.push_back(static_cast<std::int32_t>((token * 3 + slot) % kExperts));
            const std::int64_t row = rows == 1 ? token : token * used + slot;
            for (std::int64_t m = 0; m < kM; ++m) {
              double sum = 0;
              for (std::int64_t k = 0; k < kK; ++k) {
                sum += Weight(kK, expert.back() * kM + m, k) *
                       static_cast<double>(of_x[static_cast<std::size_t>(row * kK + k)]);
              }
              exact.push_back(sum);
            }
          }
        }
        Fill(x, of_x);
        Fill(ids, expert);
        EXPECT_LT(Nmse(Compute(ggml_mul_mat_id(context(), w, x, ids)), exact), kMostNmse);
      }
    }
  }
}

// GET_ROWS, which reads embeddings, equals what ggml dequantizes.
TEST_P(PluginProducts, RowsAreDequantized) {
  constexpr std::int64_t kM = 130, kK = 512;
  ExpectRows(Weights(kK, kM, 1), {0, 129, 64, 7, 7, 63});
}

// A table that is not multiplied is not packed.
TEST_P(PluginProducts, WantsMatricesNotTables) {
  ggml_tensor* const w = ggml_new_tensor_2d(context(), GetParam().type, 512, 130);
  ggml_tensor* const x = ggml_new_tensor_2d(context(), GGML_TYPE_F32, 512, 1);
  ggml_tensor* const ids = ggml_new_tensor_1d(context(), GGML_TYPE_I32, 1);
  EXPECT_TRUE(Wants(w, ggml_mul_mat(context(), w, x)));
  EXPECT_FALSE(Wants(w, ggml_get_rows(context(), w, ids)));
}

std::vector<random_llama::FileType> Types() {
  std::vector<random_llama::FileType> types;
  for (const random_llama::FileType& type : random_llama::kFileTypes) {
    if (type.type == type.finer) types.push_back(type);  // each type once
  }
  return types;
}
INSTANTIATE_TEST_SUITE_P(Types, PluginProducts, testing::ValuesIn(Types()),
                         [](const testing::TestParamInfo<random_llama::FileType>& type) {
                           return std::string(type.param.name);
                         });

class PluginTables : public PluginProducts {};

// The pages of a table that is not packed leave the process before the first graph, and again once 32 rows were read.
// Other memory is left alone: what is not weights, and private mappings, whose pages may hold what is nowhere else.
TEST_P(PluginTables, ReleaseSharedPages) {
  constexpr std::int64_t kM = 4096, kK = 256;  // many times what Linux maps around a page that is read
  const std::vector<std::uint8_t> blocks = Blocks(kK, kM);
  struct Case {
    int flags;
    ggml_backend_buffer_usage usage;
    bool releases;
  };
  for (const Case& c : {Case{MAP_SHARED, GGML_BACKEND_BUFFER_USAGE_WEIGHTS, true},
                        Case{MAP_SHARED, GGML_BACKEND_BUFFER_USAGE_ANY, false},
                        Case{MAP_PRIVATE, GGML_BACKEND_BUFFER_USAGE_WEIGHTS, false}}) {
    SCOPED_TRACE(testing::Message() << "flags " << c.flags << ", usage " << c.usage);
    const Mapping mapping(blocks, c.flags);
    ASSERT_NE(mapping.data(), nullptr);
    Clear();
    ggml_tensor* const table = Table(kK, kM, mapping, c.usage);
    std::size_t rows_read = 32;  // before the first graph as after 32 rows
    for (const std::size_t rows : {33u, 32u, 1u, 31u, 1u}) {
      SCOPED_TRACE(testing::Message() << rows << " rows after " << rows_read);
      ClearX();
      const std::size_t before = mapping.Resident();
      EXPECT_GE(before, blocks.size());
      std::vector<std::int32_t> ids(rows, 1);
      ids.back() = 7;
      ExpectRows(table, ids);
      const bool released = c.releases && rows_read >= 32;
      if (released) {
        EXPECT_LE(mapping.Resident(), blocks.size() / 2);
      } else {
        EXPECT_EQ(mapping.Resident(), before);
      }
      rows_read = (released ? 0 : rows_read) + rows;
      EXPECT_EQ(std::memcmp(mapping.data(), blocks.data(), blocks.size()), 0);  // brings all pages back
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Types, PluginTables, testing::Values(Types().front()),
                         [](const testing::TestParamInfo<random_llama::FileType>& type) {
                           return std::string(type.param.name);
                         });

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  ggml_backend_load_all_from_path(LUTRA_GGML_LIBRARIES);
  return RUN_ALL_TESTS();
}
