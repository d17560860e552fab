// The operator for ONNX Runtime beside ONNX Runtime's own, in one session, against the reference in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "lutra/lutra.h"
#include "random_product.h"

namespace {

using onnx_model::Model;
using random_product::Outputs;
using random_product::RandomRows;
using random_product::SessionOf;
using random_product::Shape;
using random_product::Weights;
using random_product::Zeros;

constexpr std::size_t kRows[] = {1, 5, 33};
constexpr const char *kOurs = "lutra", *kStock = "com.microsoft";

// Whether ONNX Runtime's operator takes weights like these.
bool StockTakes(const Shape& shape) {
  return shape.bits == 2 || shape.bits == 4 || (shape.bits == 8 && shape.zeros != Zeros::kFloat);
}

double ZeroAt(const lutra::QuantizedView& w, std::size_t group) {
  if (w.zero_kind == lutra::ZeroKind::kNone) return static_cast<double>(lutra::Describe(w.format).default_zero);
  if (w.zero_type == lutra::DataType::kUInt8) return static_cast<const std::uint8_t*>(w.zeros)[group];
  return static_cast<double>(static_cast<const float*>(w.zeros)[group]);
}

// What y[row][m] sums: |x| * scale * (code + |zero|), and the part of a block whose x is rounded to 8 bits.
struct Sums {
  double terms = 0, rounded = 0;
};
Sums SumsOf(const lutra::QuantizedView& w, const float* x, std::size_t m) {
  const std::size_t blocks = lutra::GroupsPerRow(w.k, w.group);
  Sums sums;
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t at = m * blocks + block, end = std::min(w.k, (block + 1) * w.group);
    const double scale = static_cast<double>(static_cast<const float*>(w.scales)[at]);
    const double zero = ZeroAt(w, at);
    double largest = 0, weights = 0;
    for (std::size_t k = block * w.group; k < end; ++k) {
      const double code = w.codes[m * w.k + k];
      sums.terms += std::abs(double{x[k]}) * scale * (code + zero);
      largest = std::max(largest, std::abs(double{x[k]}));
      weights += scale * std::abs(code - zero);
    }
    sums.rounded += largest * weights;
  }
  if (w.bias != nullptr) sums.terms += std::abs(double{w.bias[m]});
  return sums;
}

// The error of a sum of K products in floats: each weight takes up to three roundings, each product one, each sum one.
// (On arm64, f16 is summed in f16.) x in 8 bits errs by half a step, of 127 to the largest of its block. f16 results
// are rounded once more.
double StockBound(const Shape& shape, const Sums& sums, double y) {
#if defined(__aarch64__)
  const double rounding = shape.half ? 0x1p-11 : 0x1p-24;
#else
  const double rounding = 0x1p-24;
#endif
  const double floats = static_cast<double>(shape.k + 6) * rounding * sums.terms;
  const double rounded = shape.accuracy_level == 4 ? 1.01 / 254 * sums.rounded : 0;
  return 1.01 * (floats + rounded) + (shape.half ? 0x1p-11 * std::abs(y) + 0x1p-25 : 0);
}

void ExpectWithinBounds(const Shape& shape, std::size_t threads) {
  const Weights weights(shape);
  const lutra::QuantizedView& w = weights.view();
  const Model model =
      weights.ModelOf(StockTakes(shape) ? std::vector<std::string>{kOurs, kStock} : std::vector<std::string>{kOurs});
  Ort::Session session = SessionOf(model, static_cast<int>(threads));
  const lutra::Precision precision = shape.accuracy_level == 4 ? lutra::Precision::kInt8 : lutra::Precision::kInt16;
  for (const std::size_t n : kRows) {
    SCOPED_TRACE(testing::Message() << "N " << n);
    const std::vector<float> x = RandomRows(n, shape.k);
    const lutra::ActivationView x_view(x.data(), n, shape.k);
    std::vector<double> exact(n * shape.m), bound(n * shape.m);
    ASSERT_TRUE(lutra::ReferenceMatMul(w, x_view, exact.data()).ok());
    ASSERT_TRUE(lutra::ReferenceErrorBound(w, x_view, precision, bound.data()).ok());
    const std::vector<std::vector<float>> y = Outputs(session, model, x, n);
    ASSERT_EQ(y.size(), model.outputs.size());
    for (std::size_t i = 0; i < exact.size(); ++i) {
      const double rounding = shape.half ? 0x1p-11 * (std::abs(exact[i]) + bound[i]) + 0x1p-25 : 0;
      ASSERT_NEAR(double{y[0][i]}, exact[i], bound[i] + rounding) << kOurs << " " << i;
      if (y.size() == 1) continue;
      const Sums sums = SumsOf(w, &x[i / shape.m * shape.k], i % shape.m);
      ASSERT_NEAR(double{y[1][i]}, exact[i], StockBound(shape, sums, exact[i])) << kStock << " " << i;
    }
  }
}

class Operator : public testing::TestWithParam<std::tuple<std::size_t, bool, std::int64_t>> {};

// Both operators give the product, for each block size and kind of zero points, with a cut block at the end of K.
TEST_P(Operator, IsTheProduct) {
  Shape shape;
  std::tie(shape.bits, shape.half, shape.accuracy_level) = GetParam();
  for (shape.block = 16; shape.block <= 256; shape.block *= 2) {
    for (const Zeros zeros : {Zeros::kNone, Zeros::kPacked, Zeros::kFloat}) {
      shape.zeros = zeros;
      shape.bias = zeros == Zeros::kPacked;
      SCOPED_TRACE(testing::Message() << "block " << shape.block << ", zeros " << static_cast<int>(zeros));
      ASSERT_NO_FATAL_FAILURE(ExpectWithinBounds(shape, 2));
    }
  }
}

std::string NameOf(const testing::TestParamInfo<Operator::ParamType>& case_) {
  const auto [bits, half, level] = case_.param;
  return std::to_string(bits) + "bits_" + (half ? "f16" : "f32") + "_level" + std::to_string(level);
}
INSTANTIATE_TEST_SUITE_P(Each, Operator,
                         testing::Combine(testing::Range<std::size_t>(2, 9), testing::Bool(),
                                          testing::Values<std::int64_t>(0, 4)),
                         NameOf);

// A row has the same bits on one thread and on three, alone and among others, and while another thread runs the
// session.
TEST(OperatorThreads, GiveTheSameBits) {
  const Weights weights(Shape{});
  const Model model = weights.ModelOf({kOurs});
  const std::vector<float> x = RandomRows(33, weights.shape().k);
  Ort::Session one = SessionOf(model, 1), three = SessionOf(model, 3);
  const std::vector<float> y = Outputs(one, model, x, 33)[0];
  EXPECT_EQ(Outputs(three, model, x, 33)[0], y);
  const std::vector<float> row = Outputs(one, model, {x.begin(), x.begin() + static_cast<std::ptrdiff_t>(200)}, 1)[0];
  EXPECT_TRUE(std::equal(row.begin(), row.end(), y.begin()));

  std::vector<std::vector<float>> results(2);
  std::vector<std::thread> threads;
  for (std::vector<float>& result : results) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) result = Outputs(three, model, x, 33)[0];
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<float>& result : results) EXPECT_EQ(result, y);
}

// A row of x with NaN gives NaN, and no other row changes. No rows give no rows.
TEST(OperatorRows, AreTheirOwn) {
  const Weights weights(Shape{});
  const Model model = weights.ModelOf({kOurs});
  Ort::Session session = SessionOf(model, 2);
  std::vector<float> x = RandomRows(3, weights.shape().k);
  const std::vector<float> y = Outputs(session, model, x, 3)[0];
  x[weights.shape().k + 7] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> with_nan = Outputs(session, model, x, 3)[0];
  for (std::size_t i = 0; i < y.size(); ++i) {
    const bool same = with_nan[i] == y[i];
    EXPECT_TRUE(i / weights.shape().m == 1 ? std::isnan(with_nan[i]) : same) << i;
  }
  EXPECT_TRUE(Outputs(session, model, {}, 0)[0].empty());
}

// On request, the operator takes the place of ONNX Runtime's own; other operators of that domain stay.
TEST(OperatorDomain, MayBeTheStockOne) {
  const Weights weights(Shape{});
  const std::vector<float> x = RandomRows(3, weights.shape().k);
  const Model ours = weights.ModelOf({kOurs});
  Model stock = weights.ModelOf({kStock});
  stock.nodes.push_back({kStock, "Gelu", {kStock}, {"gelu"}, {}});
  stock.outputs.push_back({"gelu", weights.type(), {-1, -1}});
  Ort::Session own_session = SessionOf(ours, 2), stock_session = SessionOf(stock, 2);
  const std::vector<float> y = Outputs(own_session, ours, x, 3)[0];
  EXPECT_NE(Outputs(stock_session, stock, x, 3)[0], y);

  setenv("LUTRA_REPLACES_MATMULNBITS", "1", 1);
  Ort::Session session = SessionOf(stock, 2);
  unsetenv("LUTRA_REPLACES_MATMULNBITS");
  const std::vector<std::vector<float>> outputs = Outputs(session, stock, x, 3);
  EXPECT_EQ(outputs[0], y);
  ASSERT_EQ(outputs[1].size(), y.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double value = double{y[i]}, gelu = value * 0.5 * std::erfc(-value / std::sqrt(2.0));
    EXPECT_NEAR(double{outputs[1][i]}, gelu, 1e-5 * (1 + std::abs(value))) << i;
  }
}

// --- Faulty nodes

struct Fault {
  const char* message;  // a part of it
  std::function<void(Model&)> spoil;
};

std::function<void(Model&)> Set(std::size_t attribute, std::int64_t value) {
  return [=](Model& model) { model.nodes[0].attributes[attribute].second = value; };
}

// Makes constant i a tensor of another shape, type or contents.
std::function<void(Model&)> Replace(std::size_t i, ONNXTensorElementDataType type,
                                    const std::vector<std::int64_t>& shape, std::size_t bytes) {
  return [=](Model& model) { model.constants[i] = {model.constants[i].name, type, shape, std::string(bytes, '\0')}; };
}

std::string MessageOf(const Model& model) {
  try {
    SessionOf(model, 1);
    return "no error";
  } catch (const Ort::Exception& error) {
    return error.what();
  }
}

TEST(OperatorFaults, AreErrorsOfTheSession) {
  constexpr ONNXTensorElementDataType kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  constexpr ONNXTensorElementDataType kByte = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
  constexpr ONNXTensorElementDataType kInt32 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
  Shape shape;
  shape.zeros = Zeros::kPacked;
  shape.bias = true;
  const Model good = Weights(shape).ModelOf({kOurs});
  ASSERT_EQ(MessageOf(good), "no error");
  const Fault kFaults[] = {
      {"K", [](Model& model) { model.nodes[0].attributes.erase(model.nodes[0].attributes.begin()); }},
      {"K: is negative", Set(0, -1)},
      {"K: is not from 1", Set(0, 0)},
      {"K: is not from 1", Set(0, std::numeric_limits<std::int64_t>::max())},
      {"N: is not from 1", Set(1, 0)},
      {"N: is not from 1", Set(1, std::int64_t{1} << 62)},
      {"bits: is not from 2 to 8", Set(2, 1)},
      {"bits: is not from 2 to 8", Set(2, 9)},
      {"block_size: is not 16", Set(3, 8)},
      {"block_size: is not 16", Set(3, 48)},
      {"block_size: is not 16", Set(3, 512)},
      {"B: has 7840 elements in place of 6720", Set(0, 192)},
      {"scales: has 1 elements in place of 490", Replace(1, kFloat, {1}, 4)},
      {"zero_points: has 2 elements in place of 280", Replace(2, kByte, {2}, 2)},
      {"zero_points: has 490 elements in place of 280", Replace(2, kByte, {490}, 490)},
      {"zero_points: has neither", Replace(2, kInt32, {280}, 1120)},
      {"bias: has 3 elements in place of 70", Replace(3, kFloat, {3}, 12)},
      {"g_idx: is not supported",
       [](Model& model) {
         model.constants.push_back({"groups", kInt32, {200}, std::string(800, '\0')});
         model.nodes[0].inputs[4] = "groups";
       }},
      {"B: is not a constant",
       [](Model& model) {
         model.inputs.push_back({"B", kByte, model.constants[0].shape});
         model.constants.erase(model.constants.begin());
       }},
      {"scales: holds a value that is not finite",
       [](Model& model) { std::fill_n(model.constants[1].bytes.begin(), 4, '\xff'); }},
  };
  for (const Fault& fault : kFaults) {
    Model model = good;
    fault.spoil(model);
    EXPECT_NE(MessageOf(model).find(fault.message), std::string::npos) << fault.message << "; is: " << MessageOf(model);
  }
}

TEST(OperatorFaults, AreErrorsOfTheRun) {
  const Weights weights(Shape{});
  Model model = weights.ModelOf({kOurs});
  model.inputs[0].shape = {-1, -1};
  Ort::Session session = SessionOf(model, 1);
  try {
    Outputs(session, model, RandomRows(2, weights.shape().k + 1), 2);
    ADD_FAILURE() << "no error";
  } catch (const Ort::Exception& error) {
    EXPECT_NE(std::string(error.what()).find("A: has another last dimension than K"), std::string::npos)
        << error.what();
  }
}

}  // namespace

// AddressSanitizer asks for it: what ONNX Runtime allocates once per process is no leak of ours.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libonnxruntime.so"; }
// NOLINTEND(bugprone-reserved-identifier)

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
