// The table of kernels of a target: one method, with its kernels, for each format, precision and activation kind.
#if defined(LUTRA_KERNELS_METHODS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_METHODS_INL_H_
#undef LUTRA_KERNELS_METHODS_INL_H_
#else
#define LUTRA_KERNELS_METHODS_INL_H_
#endif

#include <type_traits>
#include <utility>

#include "lutra/kernels/bf16-inl.h"
#include "lutra/kernels/gated-inl.h"
#include "lutra/kernels/matrix_product-inl.h"
#include "lutra/kernels/matrix_unit-inl.h"
#include "lutra/kernels/prepare/bits-inl.h"
#include "lutra/kernels/prepare/group-inl.h"
#include "lutra/kernels/unpack-inl.h"
#include "lutra/kernels/unpacked_dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// --- Lookups in sum tables.
template <Format kFormat, Precision kPrecision>
constexpr MethodKernel LookupMethod() {
  constexpr Encoding kEncoding = Describe(kFormat).encoding;
  constexpr MethodInfo kMethod = MethodOf(kFormat);
  using Packed = LookupKernel<kEncoding, kPrecision>;
  using Unpacked = UnpackedLookupKernel<kEncoding, kPrecision>;
  using Unpacker = IndexUnpacker<kEncoding>;
  constexpr std::size_t kPanels = InterleavedPanels(kLayout, kMethod.info().stored());
  static_assert(Packed::Sums::Fit(kMethod, 0));
  static_assert(UnpackedBatchesFit(kMethod, kPanels, &Unpacker::Bytes));
  return {kMethod,
          kPrecision,
          MicroKernelOf<Packed>(),
          MicroKernelOf<Unpacked>(),
          &Unpacker::Unpack,
          &Unpacker::Bytes,
          kPanels,
          0,
          0,
          nullptr};
}

// --- Products with integers.

// The operands of a dot kernel for a format: for a code q it multiplies the byte L(q) + kBias. The kernel's Dot is the
// first one, from Dot on, whose range is wide enough.
template <Format kFormat, class Dot>
struct Operands {
  static constexpr MethodInfo kMethod{kFormat, ActivationKind::kIntegers};
  static constexpr int kLow = kMethod.lowest(), kHigh = kMethod.highest();

  template <class D>
  static constexpr auto Choose() {
    if constexpr (kHigh - kLow <= D::kHighest - D::kLowest) {
      return D();
    } else {
      return Choose<typename D::Next>();
    }
  }
  using Type = decltype(Choose<Dot>());
  // The lowest operand is 0 if that fits; otherwise operands are L(q) if these fit.
  static constexpr int kBias = kHigh - kLow <= Type::kHighest                     ? -kLow
                               : kLow >= Type::kLowest && kHigh <= Type::kHighest ? 0
                                                                                  : Type::kLowest - kLow;
  static constexpr int kLargest = kHigh + kBias > -(kLow + kBias) ? kHigh + kBias : -(kLow + kBias);
  static constexpr bool kTable = kMethod.info().has_table();
  static_assert(!kTable || static_cast<std::size_t>(kMethod.info().levels) <= kMaxTableValues);
  using Table = std::conditional_t<TableBytes(kMethod.info()) == 16, TableOfCodes, LongTableOfCodes>;
  using Codes = std::conditional_t<kTable, Table, std::conditional_t<kBias == -128, SignedCodes, StoredCodes>>;
};
// The table of operands for formats with a table of values.
template <std::size_t kBytes>
struct CodeTable {
  std::uint8_t bytes[kBytes];
};
template <Format kFormat, class Dot>
constexpr auto FindCodes() {
  using Of = Operands<kFormat, Dot>;
  CodeTable<TableBytes(Of::kMethod.info())> table{};
  for (int q = 0; q < Of::kMethod.info().levels; ++q) {
    table.bytes[q] = static_cast<std::uint8_t>(Of::kMethod.integer(q) + Of::kBias);
  }
  return table;
}
template <Format kFormat, class Dot>
alignas(64) inline constexpr auto kCodes = FindCodes<kFormat, Dot>();
template <Format kFormat, class Dot>
constexpr const std::uint8_t* TableOf() {
  if constexpr (Describe(kFormat).values != nullptr) return kCodes<kFormat, Dot>.bytes;
  return nullptr;
}

// The micro-kernel on codes that are unpacked for a Dot, and the form in which it takes them.
template <class Dot, Precision kPrecision>
struct UnpackedDot {
  static constexpr bool kShorts = kUnpacksShorts<Dot>;
  using Kernel = std::conditional_t<kShorts, ShortDotKernel<kPrecision>, UnpackedDotKernel<Dot, kPrecision>>;
  using Form = std::conditional_t<kShorts, ShortCodes<Dot::kLowest>, ByteCodes>;
};

// The unpacker of an encoding. kStep: the difference between the values of consecutive codes of the format. Indices are
// unpacked to bytes, which are small enough for any Dot.
template <Encoding kEncoding, class Codes, int kStep, class Form>
struct UnpackerOf {
  using Type = CodeUnpacker<kEncoding, Codes, Form>;
};
template <class Codes, int kStep>
struct UnpackerOf<Encoding::kPlanes1, Codes, kStep, ByteCodes> {
  using Type = PlaneUnpacker<Encoding::kPlanes1, kStep>;
};
template <class Codes, int kStep>
struct UnpackerOf<Encoding::kPlanes2, Codes, kStep, ByteCodes> {
  using Type = PlaneUnpacker<Encoding::kPlanes2, kStep>;
};
template <class Codes, int kStep>
struct UnpackerOf<Encoding::kTernaryIndices, Codes, kStep, ByteCodes> {
  using Type = TernaryUnpacker<Encoding::kTernaryIndices>;
};

// Checks that operands which are not looked up in a table are the code times the step, or the code minus 128, as
// unpackers compute them.
template <Format kFormat, class Operand>
constexpr bool AreCodesTimesStep() {
  for (int q = 0; q < Describe(kFormat).levels; ++q) {
    const int step = Describe(kFormat).stored().kind == ActivationKind::kBinarySums ? Describe(kFormat).step : 1;
    const int signed_by = std::is_same_v<typename Operand::Codes, SignedCodes> ? 128 : 0;
    if (Operand::kMethod.integer(q) + Operand::kBias != step * q - signed_by) return false;
  }
  return true;
}

// The dot kernel on packed codes. There is none for encodings with indices: lookups are faster for few rows of x.
template <Format kFormat, Precision kPrecision, class Operand>
constexpr MicroKernel PackedDot() {
  constexpr Encoding kEncoding = Describe(kFormat).encoding;
  if constexpr (Describe(kEncoding).has_indices()) {
    return {};
  } else {
    return MicroKernelOf<PackedDotKernel<kEncoding, typename Operand::Codes, typename Operand::Type, kPrecision>>();
  }
}

// Chunks whose sums, of 8 products in each 16-bit lane, are small enough.
constexpr std::size_t PairChunks(int weight) { return 32767 / (8u * 127u * static_cast<unsigned>(weight)); }

// The Dot of joint K-blocks: BaseDot if its pairs of 16-bit lanes hold the sums of a chunk, 8 products each, that start
// from the centers; otherwise the format's.
template <Format kFormat, class Dot>
struct JointOperands {
  using Operand = Operands<kFormat, Dot>;
  static constexpr FormatInfo kInfo = Describe(kFormat);
  static constexpr int kWeight = JointWeight(Operand::kMethod, false), kValue = JointWeight(Operand::kMethod, true);
  static constexpr QparamScheme kScheme = SchemeOf(DataType::kUInt4, ZeroKind::kOffset, {});  // named for g++
  static constexpr bool kOffsets = JointRatio(kInfo, kScheme, 32) != 0;
  static constexpr bool kPairs = Dot::kJoint == JointForm::kPairs &&
                                 Operand::kMethod.highest() - Operand::kMethod.lowest() <= 127 &&
                                 PairChunks(kWeight) != 0 && (!kOffsets || PairChunks(kValue) != 0);
  using Type = std::conditional_t<kPairs, Dot, typename Operand::Type>;
  // Chunks of a group that a run takes: 1, 2 or 4.
  static constexpr std::size_t RunChunks(bool offsets) {
    const std::size_t most = kPairs ? PairChunks(offsets ? kValue : kWeight) : Type::RunChunks(Operand::kLargest);
    return most >= 4 ? 4 : most >= 2 ? 2 : 1;
  }
};
// The kernel on unpacked codes of joint K-blocks that a Dot multiplies, and the bytes of a folded code.
template <class Dot, Precision kPrecision>
struct UnpackedJoint {
  static constexpr std::size_t kFoldedBytes = kUnpacksShorts<Dot> ? 2 : 1;
  using Kernel = std::conditional_t<kFoldedBytes == 2, ShortDotKernel<kPrecision>, UnpackedDotKernel<Dot, kPrecision>>;
};
// The unpacker of folded codes: of 16 bits, if kernels multiply these; of a byte, if products of any scheme fit the
// bytes of the target's first Dot.
template <Format kFormat, class Dot, class Codes>
constexpr UnpackFunction FoldOf() {
  using Operand = Operands<kFormat, Dot>;
  using Joint = typename JointOperands<kFormat, Dot>::Type;
  constexpr Encoding kEncoding = Describe(kFormat).encoding;
  bool fit = false;
  for (const DataType scale : {DataType::kInt8, DataType::kUInt4}) {
    for (const ZeroKind zeros : {ZeroKind::kNone, ZeroKind::kOffset}) {
      fit = fit || FoldedCodesOf(Operand::kMethod, SchemeOf(scale, zeros, scale)).fit();
    }
  }
  if constexpr (Describe(kEncoding).has_indices()) {
    return nullptr;
  } else if constexpr (kUnpacksShorts<Joint>) {
    return &FoldedShorts<kEncoding, Codes, Joint::kLowest>::Unpack;
  } else if constexpr (kTakesBytes<Dot> && std::is_same_v<Codes, StoredCodes>) {
    return fit ? &RowUnpacker<kEncoding, ScaledCodes<Dot::kLowest>, ByteCodes>::Unpack : nullptr;
  } else {
    return nullptr;
  }
}
template <Format kFormat, Precision kPrecision, class Dot>
constexpr JointKernels JointMethod() {
  using Joint = JointOperands<kFormat, Dot>;
  using Codes = typename Operands<kFormat, Dot>::Codes;
  using Unpacked = UnpackedJoint<typename Joint::Type, kPrecision>;
  using Unpacker = typename UnpackerOf<Describe(kFormat).encoding, Codes, Describe(kFormat).step, ByteCodes>::Type;
  if constexpr (kPrecision != Precision::kInt8) {
    return {};
  } else {
    MicroKernel packed = {};
    if constexpr (!Describe(kFormat).stored().has_indices()) {
      packed = JointKernelOf<PackedDotKernel<Describe(kFormat).encoding, Codes, typename Joint::Type, kPrecision>>();
    }
    return {packed,
            JointKernelOf<typename Unpacked::Kernel>(),
            &Unpacker::Unpack,
            FoldOf<kFormat, Dot, Codes>(),
            Unpacked::kFoldedBytes,
            &Unpacker::Bytes,
            Joint::RunChunks(false),
            Joint::RunChunks(true),
            Joint::Type::kJoint == JointForm::kPairs};
  }
}

template <Format kFormat, Precision kPrecision, class Dot>
constexpr MethodKernel DotMethod() {
  using Operand = Operands<kFormat, Dot>;
  constexpr MethodInfo kMethod = Operand::kMethod;
  using Dots = UnpackedDot<typename Operand::Type, kPrecision>;
  using Unpacked = typename Dots::Kernel;
  using Unpacker = typename UnpackerOf<kMethod.info().encoding, typename Operand::Codes, kMethod.info().step,
                                       typename Dots::Form>::Type;
  constexpr JointKernels kJoint = JointMethod<kFormat, kPrecision, Dot>();
  static_assert(Unpacked::Sums::Fit(kMethod, Operand::kBias));
  static_assert(UnpackedBatchesFit(kMethod, 1, &Unpacker::Bytes, kJoint.unpacked_bytes));
  static_assert(Operand::kTable || AreCodesTimesStep<kFormat, Operand>());
  static_assert(!kMethod.info().own_values || TableBytes(kMethod.info()) == sizeof(OwnValues::bytes[0]));
  return {kMethod,
          kPrecision,
          PackedDot<kFormat, kPrecision, Operand>(),
          MicroKernelOf<Unpacked>(),
          &Unpacker::Unpack,
          &Unpacker::Bytes,
          1,
          Operand::kBias,
          Operand::Type::RunChunks(Operand::kLargest),
          TableOf<kFormat, Dot>(),
          kJoint};
}

// The method of a matrix in which each group has one of several tables.
template <Format kFormat, Precision kPrecision, class Dot>
constexpr MethodKernel ChoiceMethod() {
  constexpr Encoding kEncoding = Describe(kFormat).encoding;
  MethodKernel kernel = DotMethod<kFormat, kPrecision, Dot>();
  kernel.packed = kernel.joint.packed = {};
#if LUTRA_VECTOR_SCOPE
  kernel.packed =
      MicroKernelOf<PackedDotKernel<kEncoding, TablesOfCodes, typename Operands<kFormat, Dot>::Type, kPrecision>>();
  if constexpr (kPrecision == Precision::kInt8) {
    kernel.joint.packed =
        JointKernelOf<PackedDotKernel<kEncoding, TablesOfCodes, typename Operands<kFormat, Dot>::Type, kPrecision>>();
  }
#endif
  using Form = typename UnpackedDot<typename Operands<kFormat, Dot>::Type, kPrecision>::Form;
  kernel.unpack = &RowUnpacker<kEncoding, TablesOfCodes, Form>::Unpack;
  kernel.unpacked_bytes = &RowUnpacker<kEncoding, TablesOfCodes, Form>::Bytes;
  kernel.joint.unpack = &RowUnpacker<kEncoding, TablesOfCodes, ByteCodes>::Unpack;
  kernel.joint.unpacked_bytes = &RowUnpacker<kEncoding, TablesOfCodes, ByteCodes>::Bytes;
  if constexpr (kPrecision == Precision::kInt8) kernel.joint.fold = FoldOf<kFormat, Dot, TablesOfCodes>();
  return kernel;
}

// --- Products of bits.
template <Format kFormat>
constexpr MethodKernel BitsMethod() {
  constexpr MethodInfo kMethod{kFormat, ActivationKind::kBits};
  using Unpacker = BitsUnpacker<kMethod.info().encoding>;
  constexpr std::size_t kPanels = InterleavedPanels(kLayout, kMethod.info().stored());
  static_assert(BitsSums::Fit(kMethod, 0));
  static_assert(UnpackedBatchesFit(kMethod, kPanels, &Unpacker::Bytes));
  MethodKernel kernel{};
  kernel.method = kMethod;
  kernel.packed = MicroKernelOf<PackedBitsKernel>();
  kernel.unpacked = MicroKernelOf<BitsKernel>();
  kernel.unpack = &Unpacker::Unpack;
  kernel.unpacked_bytes = &Unpacker::Bytes;
  kernel.panels = kPanels;
  return kernel;
}

// --- Products with floats.
template <Format kFormat, Precision kPrecision>
constexpr MethodKernel FloatMethod() {
  constexpr MethodInfo kMethod = MethodOf(kFormat);
  using Unpacker = FloatUnpacker<kFormat>;
  static_assert(kMethod.center() == 0 && kMethod.start() == 0);
  static_assert(UnpackedBatchesFit(kMethod, 1, &Unpacker::Bytes));
  MethodKernel kernel{};
  kernel.method = kMethod;
  kernel.precision = kPrecision;
  kernel.packed = MicroKernelOf<PackedFloatKernel<kFormat>>();
  kernel.unpacked = MicroKernelOf<UnpackedFloatKernel>();
  kernel.unpack = &Unpacker::Unpack;
  kernel.unpacked_bytes = &Unpacker::Bytes;
  kernel.panels = 1;
  kernel.unpacked_rows = kHalfPanel;
  return kernel;
}

// --- Products with bf16.
template <Format kFormat, Precision kPrecision, class Bf16>
constexpr MethodKernel Bf16Method() {
  constexpr MethodInfo kMethod{kFormat, ActivationKind::kBf16};
  using Unpacker = Bf16Unpacker<kFormat, Bf16>;
  static_assert(UnpackedBatchesFit(kMethod, 1, &Unpacker::Bytes));
  MethodKernel kernel{};
  kernel.method = kMethod;
  kernel.precision = kPrecision;
  kernel.unpacked = MicroKernelOf<typename Bf16::Kernel>();
  kernel.unpack = &Unpacker::Unpack;
  kernel.unpacked_bytes = &Unpacker::Bytes;
  kernel.panels = 1;
  return kernel;
}

// --- The table of kernels.

template <Format kFormat, Precision kPrecision, class Dot, class Bf16>
constexpr void SetMethods(TargetKernels& kernels) {
  auto& methods = kernels.methods[static_cast<std::size_t>(kFormat)][static_cast<std::size_t>(kPrecision)];
  if constexpr (Describe(kFormat).is_float()) {
    methods[0] = FloatMethod<kFormat, kPrecision>();
    methods[1] = Bf16Method<kFormat, kPrecision, Bf16>();
  } else {
    methods[1] = DotMethod<kFormat, kPrecision, Dot>();
    if constexpr (Describe(kFormat).own_values) methods[2] = ChoiceMethod<kFormat, kPrecision, Dot>();
    if constexpr (HasBits(kFormat)) methods[2] = BitsMethod<kFormat>();
    if constexpr (Describe(kFormat).stored().has_indices()) {
      methods[0] = LookupMethod<kFormat, kPrecision>();
    } else {
      methods[0] = methods[1];
    }
  }
}
template <class Dot, class Bf16, std::size_t... kFormat>
constexpr void SetMethods(TargetKernels& kernels, std::index_sequence<kFormat...>) {
  (SetMethods<kFormats[kFormat].format, Precision::kInt8, Dot, Bf16>(kernels), ...);
  (SetMethods<kFormats[kFormat].format, Precision::kInt16, Dot, Bf16>(kernels), ...);
}
template <ActivationKind kKind, Precision kPrecision>
constexpr PrepareFunction PrepareFor() {
  if constexpr (kKind == ActivationKind::kBits) {
    return &PrepareBits;
  } else {
    return &PrepareRowGroup<kKind, kPrecision>;
  }
}
template <std::size_t... kKind>
constexpr void SetPrepare(TargetKernels& kernels, std::index_sequence<kKind...>) {
  ((kernels.prepare[kKind][0] = PrepareFor<kActivationKinds[kKind].kind, Precision::kInt8>()), ...);
  ((kernels.prepare[kKind][1] = PrepareFor<kActivationKinds[kKind].kind, Precision::kInt16>()), ...);
}

// The kernels of a target whose CPUs have the instructions of Dot and of Bf16, and perhaps a matrix unit, with its tile
// kernel.
template <class Dot, class Bf16 = Bf16Pairs>
constexpr TargetKernels KernelsWith(const TargetInfo& info, TileFunction tile = &Tile,
                                    const MatrixUnit& unit = kNoMatrixUnit) {
  TargetKernels kernels = {info, {}, {}, tile, &StoreTile, &CombineGated, &AddTile, unit};
  SetMethods<Dot, Bf16>(kernels, std::make_index_sequence<kFormatCount>());
  SetPrepare(kernels, std::make_index_sequence<std::size(kActivationKinds)>());
  return kernels;
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
