// Imports weights of other tools from any bytes. An imported matrix is valid and survives Pack; a tensor that is found
// in a file lies in it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "fuzz/checkpoints.h"
#include "fuzz/input.h"
#include "lutra/lutra.h"
#include "support/checkpoint_tensors.h"
#include "support/panels.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kWeights = 6000;

// An array that ends where its memory ends, so that AddressSanitizer sees a read beyond.
template <class T>
class Array {
 public:
  explicit Array(const std::vector<std::uint8_t>& bytes)
      : data_(new T[bytes.size() / sizeof(T)]), size_(bytes.size() / sizeof(T)) {
    if (size_ != 0) std::memcpy(data_.get(), bytes.data(), size_ * sizeof(T));
  }
  Array(Input& input, std::size_t size) : Array(input.Repeated(size * sizeof(T))) {}

  T& operator[](std::size_t i) { return data_[i]; }
  T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  operator TensorView<T>() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<T[]> data_;
  std::size_t size_;
};

std::vector<float> Dequantized(const QuantizedView& w) {
  std::vector<float> weights(w.m * w.k);
  EXPECT_TRUE(Ok(Dequantize(w, weights.data(), w.k)));
  return weights;
}

// An imported matrix has shape m x k and survives Pack; a refusal leaves w untouched.
void CheckImported(Input& input, const Status& status, const QuantizedMatrix& w, std::size_t m, std::size_t k) {
  if (!status.ok()) {
    EXPECT_TRUE(*status.argument() != 0 && *status.reason() != 0);
    EXPECT_EQ(w.view().codes, nullptr);
    return;
  }
  ASSERT_EQ(w.view().m, m);
  ASSERT_EQ(w.view().k, k);
  PackedMatrix packed;
  QuantizedMatrix unpacked;
  ASSERT_TRUE(Ok(Pack(w.view(), {PickTarget(input), nullptr}, &packed)));
  ASSERT_TRUE(Ok(Unpack(packed, &unpacked)));
  ExpectSame(unpacked.view(), w.view());
  const std::vector<float> weights = Dequantized(w.view()), again = Dequantized(unpacked.view());
  EXPECT_TRUE(SameBits(again, weights, std::max<std::size_t>(k, 1)));
}

void CheckGguf(Input& input) {
  const GgufType& type = GgufTypes().data[input.Below(GgufTypes().size)];
  const std::uint32_t id = input.Rarely(16) ? input.Number<std::uint32_t>() : type.id;
  const std::size_t m = input.Below(9), blocks = input.Below(4);
  std::size_t k = blocks * type.weights, size = m * blocks * type.bytes + (m * blocks != 0 ? type.tail_bytes : 0);
  if (input.Rarely(16)) k = input.Below(4096);
  if (input.Rarely(16)) size = input.Below(4096);
  const Array<std::uint8_t> data(input, size);
  QuantizedMatrix w;
  CheckImported(input, ImportGguf(id, data.data(), data.size(), m, k, &w), w, m, k);
}

std::ptrdiff_t PickGroupSize(Input& input) {
  constexpr std::ptrdiff_t kSizes[] = {16, 32, 64, 128, 256, -1, 48, 0, -2, 512, 40};
  return input.Pick(kSizes);
}

// The number of groups, as the views define it, of a size that is valid.
std::size_t Groups(std::size_t k, std::ptrdiff_t group_size) {
  const auto size = static_cast<std::size_t>(group_size);
  return group_size <= 0 || size >= k ? 1 : k / size + (k % size != 0);
}

// Makes f16 finite unless the input, rarely, keeps it.
void KeepFinite(Input& input, Array<std::uint16_t>* scales) {
  if (input.Rarely(8)) return;
  for (std::size_t i = 0; i < scales->size(); ++i) (*scales)[i] &= 0xbfff;
}

void CheckGptq(Input& input) {
  GptqView gptq;
  constexpr int kBits[] = {2, 3, 4, 4, 3, 2, 8, 1};
  gptq.bits = input.Pick(kBits);
  gptq.m = 32 * input.Below(5);
  gptq.k = std::min(32 * input.Below(20), kWeights / std::max<std::size_t>(gptq.m, 1) / 32 * 32);
  if (input.Rarely(16)) gptq.m = input.Below(64);
  if (input.Rarely(16)) gptq.k = input.Below(64);
  gptq.group_size = PickGroupSize(input);
  gptq.zeros = static_cast<GptqZeros>(input.Below(16) % 5);
  const std::size_t groups = Groups(gptq.k, gptq.group_size), bits = static_cast<std::size_t>(gptq.bits);
  const std::size_t cut = input.Rarely(16) ? 1 : 0;
  const bool has_groups = input.Flag(), swaps = input.Flag();
  Array<std::int32_t> g_idx(std::vector<std::uint8_t>(gptq.k * sizeof(std::int32_t)));
  for (std::size_t i = 0; i < gptq.k; ++i) {
    g_idx[i] = static_cast<std::int32_t>(
        gptq.group_size > 0 && groups > 1 ? i / static_cast<std::size_t>(gptq.group_size) : 0);
  }
  for (std::size_t i = 0; i < 8 && swaps && gptq.k != 0; ++i) {
    std::swap(g_idx[input.Below(gptq.k)], g_idx[input.Below(gptq.k)]);
  }
  if (input.Rarely(16) && gptq.k != 0) g_idx[input.Below(gptq.k)] = input.Number<std::int32_t>();
  Array<std::uint16_t> scales(input, groups * gptq.m);
  KeepFinite(input, &scales);
  const Array<std::uint32_t> qweight(input, gptq.k * bits / 32 * gptq.m + cut);
  const Array<std::uint32_t> qzeros(input, groups * (gptq.m * bits / 32));
  gptq.qweight = qweight;
  gptq.qzeros = qzeros;
  gptq.scales = scales;
  if (has_groups) gptq.g_idx = g_idx;
  QuantizedMatrix w;
  CheckImported(input, ImportGptq(gptq, &w), w, gptq.m, gptq.k);
  std::uint32_t readings = 0;
  const bool plausible = PlausibleGptqZeros(gptq, &readings).ok();
  EXPECT_EQ(plausible, readings != 0);
}

void CheckAwq(Input& input) {
  AwqView awq;
  awq.m = 8 * input.Below(12);
  awq.k = std::min(input.Size(600), kWeights / std::max<std::size_t>(awq.m, 1));
  if (input.Rarely(16)) awq.m = input.Below(64);
  awq.group_size = PickGroupSize(input);
  const std::size_t groups = Groups(awq.k, awq.group_size);
  const std::size_t cut = input.Rarely(16) ? 1 : 0;
  Array<std::uint16_t> scales(input, groups * awq.m);
  KeepFinite(input, &scales);
  const Array<std::uint32_t> qweight(input, awq.k * (awq.m / 8)), qzeros(input, groups * (awq.m / 8) + cut);
  awq.qweight = qweight;
  awq.qzeros = qzeros;
  awq.scales = scales;
  QuantizedMatrix w;
  CheckImported(input, ImportAwq(awq, &w), w, awq.m, awq.k);
}

// A copy of the bytes of a tensor, or, by chance, other bytes, of which there may be more or fewer.
Array<std::uint8_t> Spoiled(Input& input, const TensorBytes& tensor, bool any_values) {
  const bool other = any_values ? !input.Rarely(8) : input.Rarely(8);
  std::size_t size = tensor.size;
  if (input.Rarely(32)) size = input.Below(2 * size + 3);
  std::vector<std::uint8_t> bytes = input.Repeated(size);
  if (!other && size == tensor.size && size != 0) std::memcpy(bytes.data(), tensor.data, size);
  return Array<std::uint8_t>(bytes);
}

void CheckCheckpoint(Input& input) {
  const CheckpointCase c = PickCheckpoint(input, kWeights);
  const CheckpointTensors tensors(c);
  CheckpointView view = tensors.view();
  const bool fields = c.scheme != CheckpointScheme::kHqq;
  const Array<std::uint8_t> codes = Spoiled(input, view.codes, c.scheme != CheckpointScheme::kBitnet),
                            scales = Spoiled(input, view.scales, false), zeros = Spoiled(input, view.zeros, fields);
  view.codes = {codes.data(), codes.size()};
  view.scales = {scales.data(), scales.size()};
  view.zeros = {zeros.data(), zeros.size()};
  if (view.zeros.size == 0) view.zeros.data = nullptr;
  std::vector<std::int32_t> g_idx(view.g_idx.data, view.g_idx.data + view.g_idx.size);
  if (!g_idx.empty() && input.Rarely(8)) g_idx[input.Below(g_idx.size())] = input.Number<std::int32_t>();
  view.g_idx.data = g_idx.data();
  if (input.Rarely(16)) view.m = input.Below(300);
  if (input.Rarely(16)) view.k = input.Below(600);
  if (input.Rarely(16)) view.group_size = PickGroupSize(input);
  if (input.Rarely(16)) view.bits = input.Byte() - 64;
  if (input.Rarely(16)) view.scale_rows = input.Byte();
  if (input.Rarely(16)) view.scheme = static_cast<CheckpointScheme>(input.Byte());
  if (input.Rarely(16)) view.matrix_scale = input.Number<float>();
  if (input.Rarely(16)) view.nested.block = input.Byte();
  view.gptq_zeros = static_cast<GptqZeros>(input.Below(16) % 5);
  view.byte_zeros = view.byte_zeros != input.Rarely(16);
  view.groups_down_rows = input.Rarely(16);
  QuantizedMatrix w;
  const Status status = ImportCheckpoint(view, &w);
  CheckImported(input, status, w, view.m, view.k);
  PackedLayout layout;
  if (!LayoutOf(view, {}, &layout).ok()) {
    EXPECT_FALSE(status.ok());
    return;
  }
  LayoutMemory memory(layout);
  const Status packed = PackPanels(layout, view, 0, layout.panels(), memory.data(), memory.size());
  ASSERT_EQ(packed.ok(), status.ok() || layout.panels() == 0 || view.k == 0) << packed.message() << status.message();
  if (!status.ok() || layout.panels() == 0) return;
  PackedMatrix expected, actual;
  ASSERT_TRUE(Ok(Pack(w.view(), &expected)));
  ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), 0, &actual)));
  ExpectSameMatrix(actual, expected);
}

// Opens any bytes as a file. Its tensors lie within the bytes, are found by name, and are imported or refused.
void CheckFile(Input& input) {
  const Array<std::uint8_t> bytes(input.Rest());
  GgufFile file;
  const Status status = file.Parse(bytes.data(), bytes.size());
  if (!status.ok()) {
    EXPECT_TRUE(*status.argument() != 0 && *status.reason() != 0);
    EXPECT_EQ(file.size(), 0u);
    return;
  }
  for (const GgufTensor& tensor : file) {
    ASSERT_NE(file.Find(tensor.name), nullptr);
    if (tensor.data != nullptr) {
      ASSERT_TRUE(Ok(tensor.error));
      ASSERT_LE(tensor.offset, bytes.size());
      ASSERT_LE(tensor.size, bytes.size() - tensor.offset);
      ASSERT_EQ(tensor.data, bytes.data() + tensor.offset);
      ASSERT_EQ(file.Find(tensor.name), &tensor);
    } else {
      ASSERT_EQ(tensor.size, 0u);
      ASSERT_TRUE(!tensor.error.ok() || tensor.k() == 0 || tensor.m() == 0);
    }
    // A tensor of no weights may have any number of rows, which cost memory and time in Pack.
    if (tensor.error.ok() && (tensor.m() > kWeights || tensor.k() > kWeights)) continue;
    QuantizedMatrix w;
    CheckImported(input, ImportGguf(tensor, &w), w, tensor.m(), tensor.k());
    GgufTensor slice;
    const std::size_t i = tensor.slices() - 1;
    if (!SliceOf(tensor, i, &slice).ok()) continue;
    ASSERT_EQ(slice.data == nullptr, tensor.data == nullptr);
    ASSERT_EQ(slice.data + slice.size, tensor.data + tensor.size);
    QuantizedMatrix last;
    CheckImported(input, ImportGguf(slice, &last), last, slice.m(), slice.k());
    if (file.Find(tensor.name) != &tensor) continue;
    QuantizedMatrix scaled;
    CheckImported(input, ImportGguf(file, tensor.name, i, &scaled), scaled, slice.m(), slice.k());
  }
}

}  // namespace

void CheckInput(Input& input) {
  constexpr void (*kChecks[])(Input&) = {CheckGguf, CheckGptq, CheckAwq, CheckFile,
                                         CheckGguf, CheckGptq, CheckAwq, CheckCheckpoint};
  input.Pick(kChecks)(input);
}

}  // namespace lutra::test
