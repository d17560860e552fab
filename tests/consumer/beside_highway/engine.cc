// Uses Lutra and a Highway of its own: what it does to its Highway changes nothing in Lutra.
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "hwy/aligned_allocator.h"
#include "hwy/targets.h"
#include "lutra/lutra.h"

namespace {

// Whether Lutra runs the kernels of a target.
bool Runs(const char* name) { return lutra::FindTarget(name) != nullptr; }

}  // namespace

int main() {
  const std::int64_t best = hwy::SupportedTargets();
  hwy::DisableTargets(HWY_AVX2 | HWY_NEON_WITHOUT_AES);
  if ((hwy::SupportedTargets() & (HWY_AVX2 | HWY_NEON_WITHOUT_AES)) != 0) return 1;
  if (Runs("AVX2") != ((best & HWY_AVX2) != 0) || Runs("NEON") != ((best & HWY_NEON_WITHOUT_AES) != 0)) {
    std::fprintf(stderr, "Lutra uses the engine's Highway\n");
    return 1;
  }

  const std::size_t m = 64, k = 64;
  const auto weights = hwy::AllocateAligned<float>(m * k);
  const auto x = hwy::AllocateAligned<float>(k);
  const auto y = hwy::AllocateAligned<float>(m);
  for (std::size_t i = 0; i < m * k; ++i) weights[i] = 0.5f;
  for (std::size_t i = 0; i < k; ++i) x[i] = 1;
  lutra::QuantizedMatrix q;
  lutra::PackedMatrix w;
  lutra::Context context;
  lutra::Status status = lutra::Quantize(weights.get(), m, k, k, {}, &q);
  if (status.ok()) status = lutra::Pack(q.view(), &w);
  if (status.ok()) {
    status = lutra::MatMul(w, lutra::ActivationView(x.get(), 1, k), lutra::OutputView(y.get(), 1, m), context);
  }
  std::printf("Highway %d.%d: %s, y[0] = %g\n", HWY_MAJOR, HWY_MINOR, status.message().c_str(),
              static_cast<double>(y[0]));
  return status.ok() && y[0] > 31 && y[0] < 33 ? 0 : 1;
}
