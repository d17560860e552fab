// An engine's functions with the names of Lutra's are never ambiguous with them: lookups by argument types do not find
// Lutra's, with braces, with the engine's types or with Lutra's own.
#include <gtest/gtest.h>

#include <cstddef>
#include <string>

#include "lutra/lutra.h"
#include "lutra/sampled_error.h"

namespace engine {
namespace {

struct Tensor {
  const float* data;
  std::size_t rows, columns;
};
struct Output {
  float* data;
  std::size_t rows, columns;
};
// Converts from anything, as Lutra's options do from a Precision.
struct Anything {
  template <class T>
  Anything(const T& /*value*/) {}  // NOLINT(google-explicit-constructor)
};

using lutra::ActivationView;
using lutra::Context;
using lutra::OutputView;
using lutra::PackedLayout;
using lutra::PackedMatrix;
using lutra::QuantizedView;

// The engine's own, beside Lutra's of the same name and number of arguments.
std::string MatMul(const PackedMatrix& /*w*/, const Tensor& /*x*/, const Output& /*y*/, Context& /*c*/) {
  return "tensors";
}
std::string Prepare(const Tensor& /*x*/, const PackedMatrix& /*w*/, Anything /*options*/, Context& /*c*/,
                    lutra::Activations* /*a*/) {
  return "prepare";
}
std::string PreparedSize(const PackedMatrix& /*w*/, Anything /*n*/, Anything /*options*/, std::size_t* /*bytes*/) {
  return "size";
}
std::string Pack(const QuantizedView& /*w*/, Anything /*options*/, PackedMatrix* /*packed*/) { return "pack"; }
std::string View(const PackedLayout& /*layout*/, Anything /*memory*/, Anything /*size*/, Anything /*index*/,
                 PackedMatrix* /*w*/) {
  return "view";
}

// The same signatures as Lutra's.
std::string MatMulRange(const PackedMatrix& /*w*/, const lutra::Activations& /*x*/, const OutputView& /*y*/,
                        std::size_t /*begin*/, std::size_t /*end*/) {
  return "range";
}
std::string Unpack(const PackedMatrix& /*packed*/, lutra::QuantizedMatrix* /*w*/) { return "unpack"; }
std::string LayoutOf(const PackedMatrix& /*w*/) { return "layout"; }
std::string Rows(QuantizedView /*w*/, std::size_t /*begin*/, std::size_t /*end*/) { return "rows"; }
std::string Name(lutra::Format /*format*/) { return "name"; }
std::string Describe(lutra::Format /*format*/) { return "describe"; }
std::string SizeOf(lutra::DataType /*type*/) { return "bytes"; }
std::string SavePacked(const PackedMatrix& /*w*/, const char* /*path*/) { return "save"; }
std::string Dequantize(const QuantizedView& /*w*/, float* /*out*/, std::size_t /*stride*/) { return "floats"; }
std::string ReferenceMatMul(const QuantizedView& /*w*/, const ActivationView& /*x*/, double* /*y*/) {
  return "reference";
}
std::string SelectPlan(const lutra::PlanCase& /*what*/, lutra::Choice /*choice*/) { return "plan"; }
std::string ImportGguf(const lutra::GgufTensor& /*tensor*/, lutra::QuantizedMatrix* /*w*/) { return "import"; }

TEST(EngineNames, AreNotAmbiguous) {
  PackedMatrix w;
  Context context;
  lutra::Activations x;
  lutra::QuantizedMatrix q;
  std::size_t bytes = 0;
  EXPECT_EQ(MatMul(w, {nullptr, 1, 1}, {nullptr, 1, 1}, context), "tensors");
  EXPECT_EQ(MatMul(w, {}, {}, context), "tensors");
  EXPECT_EQ(Prepare({nullptr, 1, 1}, w, lutra::Precision::kInt8, context, &x), "prepare");
  EXPECT_EQ(PreparedSize(w, 1, lutra::Precision::kInt8, &bytes), "size");
  EXPECT_EQ(Pack(q.view(), lutra::PackOptions{}, &w), "pack");
  EXPECT_EQ(View(lutra::PackedLayout(), nullptr, 0, 0, &w), "view");
  EXPECT_EQ(MatMulRange(w, x, {}, 0, 0), "range");
  EXPECT_EQ(Unpack(w, &q), "unpack");
  EXPECT_EQ(LayoutOf(w), "layout");
  EXPECT_EQ(Rows(q.view(), 0, 0), "rows");
  EXPECT_EQ(Name(lutra::Format::kInt4), "name");
  EXPECT_EQ(Describe(lutra::Format::kInt4), "describe");
  EXPECT_EQ(SizeOf(lutra::DataType::kF32), "bytes");
  EXPECT_EQ(SavePacked(w, nullptr), "save");
  EXPECT_EQ(Dequantize(q.view(), nullptr, 0), "floats");
  EXPECT_EQ(ReferenceMatMul(q.view(), {}, nullptr), "reference");
  EXPECT_EQ(SelectPlan({}, lutra::Choice::kInvariant), "plan");
  EXPECT_EQ(ImportGguf(lutra::GgufTensor{}, &q), "import");
}

// Lutra's own are found where their namespace is named, or used.
TEST(EngineNames, LeaveLutrasOwn) {
  EXPECT_STREQ(lutra::Name(lutra::Format::kInt4), "int4");
  EXPECT_EQ(lutra::SizeOf(lutra::DataType::kF32), 4u);
  lutra::PackedMatrix w;
  lutra::QuantizedMatrix q;
  EXPECT_TRUE(lutra::Unpack(w, &q).ok());
}

}  // namespace
}  // namespace engine

namespace program {
namespace {

using namespace lutra;  // NOLINT(google-build-using-namespace)

TEST(EngineNames, MayBeUsedWithoutQualification) {
  PackedMatrix w;
  QuantizedMatrix q;
  EXPECT_TRUE(Unpack(w, &q).ok());
  EXPECT_STREQ(Name(Format::kInt4), "int4");
}

}  // namespace
}  // namespace program
