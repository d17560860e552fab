// See emulated_unit.h.
#include "support/emulated_unit.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>

#include "lutra/lutra.h"
#include "support/emulated_registers.h"
#include "support/random.h"

// Not the library's names: see vectors-inl.h.
#define LUTRA_KERNELS_NAMESPACE HWY_CONCAT(Emulated, HWY_NAMESPACE)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "support/emulated_unit.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "lutra/kernels/matrix_unit-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra::test {
namespace HWY_NAMESPACE {
namespace kernels = internal::LUTRA_KERNELS_NAMESPACE;

// Matrix units multiply bytes. Where a kernel takes codes of 16 bits, the unpacker of joint K-blocks makes bytes.
void TileWithBytes(const internal::TileArgs& a) {
  internal::MethodKernel kernel = *a.kernel;
  internal::TileArgs args = a;
  if (kernel.joint.unpack != nullptr && a.unpack && a.x.row_group == 1) {
    kernel.unpack = kernel.joint.unpack;
    kernel.unpacked_bytes = kernel.joint.unpacked_bytes;
    if (kernel.joint.folded_bytes == 2) kernel.joint.fold = nullptr;
    args.kernel = &kernel;
  }
  kernels::TileOfUnit<EmulatedRegisters>(args);
}
internal::TileFunction EmulatedTile() { return &TileWithBytes; }

#ifdef LUTRA_MATRIX_REGISTERS
// Adds products of bytes, or of bf16, to sums, for `rows` rows of x of 4 * `quads` bytes.
template <class Registers, ActivationKind kKind>
HWY_NOINLINE void MultiplyOnce(std::size_t rows, std::size_t quads, const std::uint8_t* x, const std::uint8_t* codes,
                               std::uint8_t* sums) {
  internal::MatrixShapes shapes = {};
  for (int i = 0; i < internal::kMatrixRegisters; ++i) {
    shapes.rows[i] = i == 7 ? quads : rows;
    shapes.row_bytes[i] = i == 4 ? 4 * quads : 64;
  }
  Registers registers(false, shapes);
  registers.template Load<0>(sums, 64);
  registers.template Load<4>(x, 128);
  registers.template Load<7>(codes, 256);
  registers.template Multiply<kKind, 0, 4, 7>();
  registers.template Store<0>(sums, 64);
}

template <ActivationKind kKind>
void CheckRegistersOf() {
  HWY_ALIGN std::uint8_t x[16 * 128], codes[16 * 256], sums[2][16 * 64] = {};
  std::uint32_t random = 1;
  const auto next = [&] { return static_cast<std::uint8_t>((random = random * 1664525 + 1013904223) >> 24); };
  for (std::size_t rows = 1; rows <= 16; ++rows) {
    for (const std::size_t quads : {std::size_t{4}, std::size_t{8}, std::size_t{16}}) {
      for (auto& byte : x) byte = next();
      for (auto& byte : codes) byte = next();
      if (kKind == ActivationKind::kBf16) {  // 1 to 127, whose sums need no rounding
        for (std::size_t i = 1; i < sizeof(x); i += 2) Store(DataType::kBF16, x[i] % 127 + 1.0f, x + i - 1, 0);
        for (std::size_t i = 1; i < sizeof(codes); i += 2) {
          Store(DataType::kBF16, codes[i] % 127 + 1.0f, codes + i - 1, 0);
        }
        std::memset(sums, 0, sizeof(sums));
      }
      MultiplyOnce<EmulatedRegisters, kKind>(rows, quads, x, codes, sums[0]);
      MultiplyOnce<kernels::AmxRegisters, kKind>(rows, quads, x, codes, sums[1]);
      EXPECT_EQ(std::memcmp(sums[0], sums[1], sizeof(sums[0])), 0) << rows << " rows, " << quads << " quads";
    }
  }
}
void CheckRegisters() {
  CheckRegistersOf<ActivationKind::kIntegers>();
  CheckRegistersOf<ActivationKind::kBf16>();
}
#else
void CheckRegisters() {}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace lutra::test
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lutra::test {
namespace {
HWY_EXPORT(EmulatedTile);
HWY_EXPORT(CheckRegisters);

// A pointer to the function as it is compiled for the target.
#define LUTRA_OF_TARGET(target, function) \
  (hwy::GetChosenTarget().Update((target)->info.hwy_target), HWY_DYNAMIC_POINTER(function))

}  // namespace

Target WithUnit(Target base) {
  static std::map<Target, internal::TargetKernels> targets;
  const auto [entry, is_new] = targets.emplace(base, *base);
  if (is_new) {
    internal::TargetKernels& kernels = entry->second;
    kernels.info.hwy_target = HWY_AVX3_SPR;
    kernels.info.extension = internal::Extension::kMatrix;
    kernels.info.bf16 = true;
    kernels.unit = internal::kMatrixUnit;
    kernels.tile = LUTRA_OF_TARGET(base, EmulatedTile)();
    for (auto& of_format : kernels.methods) {  // the unpackers of bytes serve both precisions
      for (std::size_t i = 0; i < internal::kMethodsPerFormat; ++i) of_format[1][i].joint = of_format[0][i].joint;
    }
  }
  return &entry->second;
}

void CheckRegisters(Target target) { LUTRA_OF_TARGET(target, CheckRegisters)(); }

}  // namespace lutra::test
#endif  // HWY_ONCE
