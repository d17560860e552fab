// Every call runs on a thread with a stack of 128 KB, and takes no more of it than is documented.
#include "support/stack.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "support/checkpoints.h"
#include "support/gguf_writer.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

#if LUTRA_MEASURES_STACK

namespace lutra::test {
namespace {

// As executor.h has them.
constexpr std::size_t kOfMatMul = kMaxStackBytes, kOfPack = std::size_t{48} << 10, kOfOthers = std::size_t{16} << 10;

template <class Base>
class WithStack : public Base {
 protected:
  // The call succeeds, and takes at most `most` bytes.
  template <class Call>
  void Expect(const char* name, std::size_t most, const Call& call) {
    Status status;
    const std::size_t bytes = stack_.BytesOf([&] { status = call(); });
    EXPECT_TRUE(Ok(status)) << name;
    EXPECT_LE(bytes, most) << name;
  }

  Stack stack_;
};
class StackOfKernels : public WithStack<KernelTest> {};
class StackOfOthers : public WithStack<::testing::Test> {
 protected:
  // Packs panels of the layout that layout_of(layout) makes, and reads a row of view_, which they become.
  template <class Source, class LayoutOf>
  void ExpectPanels(const Source& source, const LayoutOf& layout_of) {
    PackedLayout layout;
    std::vector<float> row;
    const std::int32_t number = 1;
    Expect("LayoutOf", kOfOthers, [&] { return layout_of(&layout); });
    ASSERT_TRUE(memory_.Reserve(layout.bytes()));
    Expect("PackPanels", kOfMatMul,
           [&] { return PackPanels(layout, source, 0, layout.panels(), memory_.data(), memory_.size()); });
    Expect("View", kOfOthers, [&] { return View(layout, memory_.data(), memory_.size(), 0, &view_); });
    row.resize(layout.k());
    Expect("DequantizeRows", kOfMatMul, [&] { return DequantizeRows(view_, &number, 1, row.data(), layout.k()); });
  }

  Buffer memory_;
  PackedMatrix view_;
};

TEST_P(StackOfKernels, IsAsDocumented) {
  for (const std::size_t group : {std::size_t{16}, std::size_t{128}, kPerRow}) {
    for (const bool order : {false, true}) {
      Case c = NewCase({130, 9, 300}, 1);
      c.group = group;
      c.zeros = order ? Zeros::kFloat : Zeros::kOffset;
      c.bias = true;
      c.order = order;
      SCOPED_TRACE(c);
      const Problem problem(c);
      c.x = {DataType::kBits, kPerRow};
      const Problem of_bits(c);
      PackedMatrix w, loaded;
      QuantizedMatrix unpacked;
      Context context;
      std::vector<float> y(c.m * c.n), floats(c.m * c.k);
      const OutputView to(y.data(), c.n, c.m);
      Expect("Pack", kOfPack, [&] { return Pack(problem.w(), {c.target, nullptr}, &w); });
      BlockSparseMatrix sparse;
      Expect("PackBlockSparse", kOfPack, [&] { return PackBlockSparse(problem.w(), {c.target, nullptr}, &sparse); });
      Expect("ViewRows", kOfOthers, [&] { return ViewRows(w, 0, c.m, &loaded); });
      Expect("Unpack", kOfPack, [&] { return Unpack(w, &unpacked); });
      Expect("Dequantize", kOfOthers, [&] { return Dequantize(problem.w(), floats.data(), c.k); });
      std::vector<std::uint8_t> bytes(PackedFileSize(w));
      Expect("SavePacked", kOfOthers, [&] { return SavePacked(w, bytes.data(), bytes.size()); });
      for (const Target target : RunnableTargets()) {  // in place, copied or repacked
        Expect("LoadPacked", kOfPack, [&] {
          return LoadPacked(bytes.data(), bytes.size(), {target, nullptr}, &loaded);
        });
      }
      for (const Precision precision : kPrecisions) {
        Activations x;
        Expect("MatMul of views", kOfMatMul, [&] { return MatMul(w, problem.x(), to, context); });
        Expect("PrepareRmsNorm", kOfOthers, [&] {
          return PrepareRmsNorm(problem.x(), {nullptr, 1e-5f}, w, precision, context, &x);
        });
        Expect("PrepareHadamard", kOfOthers, [&] {
          return PrepareHadamard(problem.x(), {nullptr, 1e-5f}, {nullptr, c.k & -c.k}, w, precision, context, &x);
        });
        Expect("Prepare", kOfOthers, [&] { return Prepare(problem.x(), w, precision, context, &x); });
        Expect("MatMul", kOfMatMul, [&] { return MatMul(w, x, to, context); });
        Buffer memory;
        ASSERT_TRUE(memory.Reserve(x.bytes()));
        Expect("PreparePart", kOfOthers,
               [&] { return PreparePart(problem.x(), w, precision, 1, 2, memory.data(), memory.size()); });
        Expect("MatMulRange", kOfMatMul, [&] { return MatMulRange(w, x, to, 0, c.m); });
        Expect("MatMul without zero blocks", kOfMatMul, [&] { return MatMul(sparse, x, to, context); });
        GroupedProduct product;
        const std::int32_t offsets[] = {0, 1, 9}, rows[] = {0, 8, 7, 6, 5, 4, 3, 2, 1};
        const PackedMatrix* const twice[] = {&w, &w};
        product.w = product.gate = {twice, 2};
        product.x = &x;
        product.rows = {offsets, 9, rows, nullptr};
        product.y = to;
        Expect("MatMulGrouped", kOfMatMul, [&] { return MatMulGrouped(product, context); });
        Expect("MatMulPiece", kOfMatMul, [&] { return MatMulPiece(w, x, to, 0, 1); });
        for (Plan plan : Plans()) {
          if (!HasMethod(c.format, plan.method)) continue;
          if (!HasKernel(c.format, w.target(), plan.method, plan.unpack)) plan.unpack = true;
          const Problem& of_plan = plan.method == Method::kPopcount ? of_bits : problem;
          Expect("Prepare by plan", kOfOthers, [&] { return Prepare(of_plan.x(), w, precision, plan, context, &x); });
          Expect("MatMul by plan", kOfMatMul, [&] { return MatMul(w, x, to, plan, context); });
        }
      }
    }
  }
}

TEST_P(StackOfKernels, OfCompositesIsAsDocumented) {
  Case c = NewCase({130, 9, 300}, 1);
  c.bias = true;
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  const PackedMatrix* const rows[] = {&w, &w};
  CompositeParts parts;
  parts.rows = {rows, 2};
  CompositeMatrix composite;
  Context context;
  std::vector<float> y(2 * c.m * c.n), rounded(c.n * c.k);
  Expect("Compose", kOfOthers, [&] { return Compose(parts, &composite); });
  Expect("MatMul of a composite", kOfMatMul, [&] {
    return MatMul(composite, problem.x(), {y.data(), c.n, 2 * c.m}, {Precision::kInt8, 1.0f}, context);
  });
  std::vector<std::uint8_t> bytes(CompositeFileSize(composite));
  Expect("SaveComposite", kOfOthers, [&] { return SaveComposite(composite, bytes.data(), bytes.size()); });
  Expect("LoadComposite", kOfPack, [&] { return LoadComposite(bytes.data(), bytes.size(), {}, &composite); });
  Expect("RoundToBlockFloat", kOfOthers,
         [&] { return RoundToBlockFloat(problem.x(), {}, nullptr, context, rounded.data()); });
}

INSTANTIATE_TEST_SUITE_P(Sweep, StackOfKernels, ::testing::ValuesIn(Kernels()), KernelName);

TEST_F(StackOfOthers, IsAsDocumented) {
  constexpr std::size_t kM = 64, kK = 512;
  std::vector<float> weights(kM * kK), y(kM);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i * i % 1009) - 504.0f;
  std::vector<double> sums(kM);
  const ActivationView x(weights.data(), 1, kK);
  const std::string path = ::testing::TempDir() + "lutra_stack_test." + std::to_string(getpid());
  QuantizedMatrix w;
  PackedMatrix packed;
  for (const FormatInfo& f : kFormats) {
    QuantizeOptions options;
    options.format = f.format;
    SetCodebook(&options);
    SparseMatrix outliers;
    Expect("QuantizeWithOutliers", kOfOthers,
           [&] { return QuantizeWithOutliers(weights.data(), kM, kK, kK, options, 0.01, &w, &outliers); });
    Expect("Quantize", kOfOthers, [&] { return Quantize(weights.data(), kM, kK, kK, options, &w); });
    QuantizeOptions search = options;
    search.fit = Fit::kLeastError;
    Expect("Quantize with a search", kOfOthers, [&] { return Quantize(weights.data(), kM, kK, kK, search, &w); });
    search.scale_type = search.zero_type = DataType::kUInt4;
    search.zero_kind = f.is_float() ? ZeroKind::kNone : ZeroKind::kOffset;
    Expect("Quantize with two levels", kOfOthers, [&] { return Quantize(weights.data(), kM, kK, kK, search, &w); });
    const std::vector<float> ones(kK * kK, 1.0f);  // stands for a Hessian and a factor
    Expect("QuantizeWithFeedback", kOfOthers, [&] {
      return QuantizeWithFeedback(weights.data(), kM, kK, kK, options, {ones.data(), ones.data()}, &w);
    });
    std::int8_t tables[kMaxTables * 16];
    if (f.own_values) {
      Expect("LearnCodebook", kOfOthers, [&] { return LearnCodebook(weights.data(), kM, kK, kK, options, tables); });
    }
    Expect("ReferenceMatMul", kOfOthers, [&] { return ReferenceMatMul(w.view(), x, sums.data()); });
    Expect("ReferenceExactMatMul", kOfOthers, [&] { return ReferenceExactMatMul(w.view(), x, y.data()); });
    Expect("ReferenceErrorBound", kOfOthers,
           [&] { return ReferenceErrorBound(w.view(), x, Precision::kInt8, sums.data()); });
    ExpectPanels(FloatRows{weights.data(), kK},
                 [&](PackedLayout* layout) { return LayoutOf(ShapeOf(kM, kK, options), {}, layout); });
    ExpectPanels(w.view(), [&](PackedLayout* layout) { return LayoutOf(w.view(), {}, layout); });
    ASSERT_TRUE(Ok(Pack(w.view(), &packed)));
    Expect("SavePacked", kOfOthers, [&] { return SavePacked(packed, path.c_str()); });
    Expect("LoadPacked", kOfPack, [&] { return LoadPacked(path.c_str(), {}, &packed); });
  }
  Expect("ReferenceRmsNorm", kOfOthers, [&] { return ReferenceRmsNorm(x, {nullptr, 1.0f}, weights.data()); });
  Expect("ReferenceHadamard", kOfOthers, [&] { return ReferenceHadamard(x, {nullptr, 2}, weights.data()); });
  std::remove(path.c_str());

  const Grouped grouped(4, kM, kK, 128, false, true);
  const GptqTensors gptq(grouped, 4, 128, GptqZeros::kV1Words);
  Expect("ImportGptq", kOfOthers, [&] { return ImportGptq(gptq.view, &w); });
  AwqView awq;  // the sizes of its tensors are those of GPTQ
  awq.m = kM, awq.k = kK, awq.group_size = 128;
  awq.qweight = gptq.view.qweight, awq.qzeros = gptq.view.qzeros, awq.scales = gptq.view.scales;
  Expect("ImportAwq", kOfOthers, [&] { return ImportAwq(awq, &w); });
  ExpectPanels(gptq.view, [&](PackedLayout* layout) { return LayoutOf(gptq.view, {}, layout); });
  ExpectPanels(awq, [&](PackedLayout* layout) { return LayoutOf(awq, {}, layout); });

  Random random(1);
  for (const GgufType& type : GgufTypes()) {
    if (type.refusal != nullptr) continue;
    const GgmlBlocks blocks = MakeBlocks(type.id, kM * kK / type.weights, random);
    Expect(type.name, kOfOthers,
           [&] { return ImportGguf(type.id, blocks.bytes.data(), blocks.bytes.size(), kM, kK, &w); });
    ExpectPanels(GgufBlocks{type.id, blocks.bytes.data(), blocks.bytes.size()},
                 [&](PackedLayout* layout) { return LayoutOfGguf(type.id, kM, kK, {}, layout); });
    if (!type.restorable) continue;
    std::vector<std::uint8_t> restored(blocks.bytes.size());
    Expect("UnpackGguf", kOfMatMul,
           [&] { return UnpackGguf(view_, type.id, 0, kM, restored.data(), restored.size()); });
  }
}

}  // namespace
}  // namespace lutra::test

#endif  // LUTRA_MEASURES_STACK
