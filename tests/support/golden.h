// The bits of results on every target, in every mode and build: checksums of y and of what Quantize and the references
// compute. Includes no test framework; its inputs are exact whatever flags it is compiled with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/lutra.h"
#include "support/codebooks.h"

namespace lutra::test {

struct Golden {
  Format format;
  Precision precision;
  std::uint64_t checksum;
};
inline constexpr Golden kGolden[] = {
    {Format::kInt1, Precision::kInt8, 0xcaae1771f7a569abu},
    {Format::kInt1, Precision::kInt16, 0xc461a316dc346d97u},
    {Format::kInt2, Precision::kInt8, 0x38731609679045a4u},
    {Format::kInt2, Precision::kInt16, 0xce00969b3f0f09d0u},
    {Format::kInt3, Precision::kInt8, 0x25fdf394741ae0eau},
    {Format::kInt3, Precision::kInt16, 0xd83d4c10ad4a40aeu},
    {Format::kInt4, Precision::kInt8, 0x6199d380e1dde803u},
    {Format::kInt4, Precision::kInt16, 0xaf3da815a9e36ddbu},
    {Format::kTernary, Precision::kInt8, 0xd9baeb85bdb63c55u},
    {Format::kTernary, Precision::kInt16, 0xbaed0082a60b0ad5u},
    {Format::kIq4nl, Precision::kInt8, 0x76263193bd341238u},
    {Format::kIq4nl, Precision::kInt16, 0x1f039b8e0c1797c0u},
    {Format::kFp4, Precision::kInt8, 0x401dd9571871be91u},
    {Format::kFp4, Precision::kInt16, 0xced1d69de0f16865u},
    {Format::kCodebook3, Precision::kInt8, 0x6001a39689d4a49bu},
    {Format::kCodebook3, Precision::kInt16, 0xfc6ab794c9a071efu},
    {Format::kCodebook4, Precision::kInt8, 0x5639808293c7be85u},
    {Format::kCodebook4, Precision::kInt16, 0x8c5a972d2559c69du},
    {Format::kFp6E2M3, Precision::kInt8, 0x7a1eaecb2868ea57u},
    {Format::kFp6E2M3, Precision::kInt16, 0x608056fdee62101bu},
};

// FNV-1a.
class BitsChecksum {
 public:
  template <class T>
  void Add(const std::vector<T>& values) {
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(values.data());
    for (std::size_t i = 0; i < values.size() * sizeof(T); ++i) sum_ = (sum_ ^ bytes[i]) * 0x100000001b3u;
  }
  std::uint64_t value() const { return sum_; }

 private:
  std::uint64_t sum_ = 0xcbf29ce484222325u;
};

// The checksum of Quantize, Dequantize, MatMul, ReferenceMatMul and ReferenceRmsNorm, for weights and x of moderate
// size and for those whose products are subnormal. 0 if a function fails.
inline std::uint64_t ChecksumOf(Format format, Precision precision, Target target, Executor* executor) {
  constexpr std::size_t kM = 70, kN = 5, kK = 300;
  BitsChecksum sum;
  for (const float unit : {0x1p-6f, 0x1p-66f}) {
    for (const ZeroKind zero_kind : {ZeroKind::kNone, ZeroKind::kOffset}) {
      std::vector<float> weights(kM * kK), x(kN * kK), y(kM * kN), dequantized(kM * kK), normalized(kN * kK);
      std::vector<double> reference(kM * kN);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        weights[i] = static_cast<float>(static_cast<int>(i * i % 1009) - 504) * unit;
      }
      for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<float>(static_cast<int>(i * i % 1013) - 506) * unit;
      }
      QuantizeOptions options;
      options.format = format;
      options.scale_type = DataType::kF32;
      options.zero_kind = zero_kind;
      options.zero_type = DataType::kF32;
      SetCodebook(&options);
      QuantizedMatrix q;
      PackedMatrix w;
      Activations prepared;
      Context context;
      context.executor = executor;
      PackOptions pack;
      pack.target = target;
      pack.executor = executor;
      RmsNorm norm;
      norm.epsilon = 0x1p-140f;
      const ActivationView x_view(x.data(), kN, kK);
      if (!Quantize(weights.data(), kM, kK, kK, options, &q).ok() || !Pack(q.view(), pack, &w).ok() ||
          !Prepare(x_view, w, precision, context, &prepared).ok() ||
          !MatMul(w, prepared, OutputView(y.data(), kN, kM), context).ok() ||
          !Dequantize(q.view(), dequantized.data(), kK).ok() ||
          !ReferenceMatMul(q.view(), x_view, reference.data()).ok() ||
          !ReferenceRmsNorm(x_view, norm, normalized.data()).ok()) {
        return 0;
      }
      sum.Add(dequantized);
      sum.Add(y);
      sum.Add(reference);
      sum.Add(normalized);
    }
  }
  return sum.value();
}

}  // namespace lutra::test
