// Lutra's kernel templates in a SIMD file of your own, for experts: y = max(0, x * W^T), without storing the product.
// They may change with any version. Compile with Highway's headers and the flags of the CMake target lutra::kernels.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "lutra/lutra.h"

// Highway includes this file once more for each instruction set, whose kernels stand in a namespace of their own.
#define LUTRA_KERNELS_NAMESPACE HWY_CONCAT(Own, HWY_NAMESPACE)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "own_kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "lutra/kernels/methods-inl.h"

HWY_BEFORE_NAMESPACE();
namespace own {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace internal = lutra::internal;
namespace kernels = lutra::internal::LUTRA_KERNELS_NAMESPACE;

// Only the methods that are named are compiled: here int2 weights times tables of 8 bits.
constexpr internal::MethodKernel kKernel = kernels::LookupMethod<lutra::Format::kInt2, lutra::Precision::kInt8>();

// A target of the library that packs weights as these kernels read them, or null.
lutra::Target FindTarget() {
  for (const lutra::Target target : lutra::RunnableTargets()) {
    if (target->info.layout == kernels::kLayout) return target;
  }
  return nullptr;
}

// x[N x K] as tables, in groups of kNR rows.
internal::PreparedView Prepare(const float* x, std::size_t n, const internal::Geometry& geometry, lutra::Buffer& tables,
                               std::vector<internal::BlockScale>& scales) {
  const std::size_t row_bytes = geometry.x_chunks() * kKernel.method.activations().chunk_bytes;
  if (!tables.Reserve(n * row_bytes)) return {};
  scales.resize(n * geometry.blocks);
  internal::PrepareArgs args = {};
  args.x_stride = geometry.k * sizeof(float);
  args.scale_group = geometry.k;
  args.geometry = &geometry;
  args.end_block = geometry.blocks;
  for (std::size_t row = 0; row < n; row += internal::kNR) {
    args.x = x + row * geometry.k;
    args.rows = HWY_MIN(internal::kNR, n - row);
    args.prepared = tables.data() + row * row_bytes;
    args.block_scales = scales.data() + row * geometry.blocks;
    if (!kernels::PrepareRowGroup<kKernel.method.kind, kKernel.precision>(args)) return {};  // x is not finite
  }
  return {tables.data(), row_bytes, scales.data(), geometry.x_scales};
}

// y[N x M] = max(0, x[N x K] * W^T). False if x is not finite or memory is short.
bool Multiply(const lutra::PackedMatrix& w, const float* x, std::size_t n, float* y) {
  const lutra::FormatInfo& format = kKernel.method.info();
  const internal::Geometry geometry(format, kKernel.method.activations(), w.k(), w.group(),
                                    internal::SchemeOf(w.scale_type(), w.zero_kind(), w.zero_type()));
  lutra::Buffer tables;
  std::vector<internal::BlockScale> scales;
  std::vector<float> tile(n * internal::kPanelRows);
  internal::TileArgs args = {};
  args.kernel = &kKernel, args.geometry = &geometry;
  args.x = Prepare(x, n, geometry, tables, scales);
  args.rows = n;
  args.panel_count = 1;
  args.tile = tile.data();
  if (args.x.data == nullptr) return false;
  const hn::ScalableTag<float> d;
  const std::size_t panels = internal::PanelsIn(w.m());
  const std::size_t interleaved = internal::InterleavedPanels(kernels::kLayout, format.stored());
  for (std::size_t panel = 0; panel < panels; ++panel) {
    const internal::Place place(interleaved, panel, panels);
    args.panels = w.data() + place.first * geometry.panel_bytes;
    args.interleaved = place.count;
    args.first = place.at;
    kernels::Tile(args);
    for (std::size_t i = 0; i < tile.size(); i += hn::Lanes(d))  // a step that the library does not have
      hn::StoreU(hn::Max(hn::LoadU(d, &tile[i]), hn::Zero(d)), d, &tile[i]);
    const std::size_t m = panel * internal::kPanelRows, count = HWY_MIN(internal::kPanelRows, w.m() - m);
    for (std::size_t row = 0; row < n; ++row)
      std::memcpy(y + row * w.m() + m, &tile[row * internal::kPanelRows], count * sizeof(float));
  }
  return true;
}

}  // namespace HWY_NAMESPACE
}  // namespace own
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace own {
HWY_EXPORT(FindTarget);
HWY_EXPORT(Multiply);
int Compare() {
  const std::size_t M = 200, K = 1000, N = 5;
  std::vector<float> weights(M * K), x(N * K), y(N * M), product(N * M);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = std::sin(static_cast<float>(i * i % 1009));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::cos(static_cast<float>(i * i % 1013));

  lutra::QuantizeOptions options;
  options.format = lutra::Format::kInt2;
  lutra::QuantizedMatrix quantized;
  lutra::PackedMatrix w;
  lutra::Context context;
  const lutra::Target target = HWY_DYNAMIC_DISPATCH(FindTarget)();  // of the best instruction set here
  bool same = target != nullptr && lutra::Quantize(weights.data(), M, K, K, options, &quantized).ok() &&
              lutra::Pack(quantized.view(), {target, nullptr}, &w).ok() &&
              HWY_DYNAMIC_DISPATCH(Multiply)(w, x.data(), N, y.data()) &&
              lutra::MatMul(w, {x.data(), N, K}, {product.data(), N, M}, context).ok();
  for (std::size_t i = 0; i < y.size(); ++i) same = same && y[i] == (product[i] > 0.0f ? product[i] : 0.0f);
  std::printf("%s max(0, lutra::MatMul)\n", same ? "equals" : "FAILED to be");
  return same ? 0 : 1;
}
}  // namespace own

int main() { return own::Compare(); }
#endif  // HWY_ONCE
