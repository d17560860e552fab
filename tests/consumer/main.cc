// What all consumers compile: a call of each kind, and proof that Highway stays out of sight.
#include <cstdio>
#include <string_view>

#include "lutra/lutra.h"

static_assert(__cplusplus >= 201703L);
static_assert(LUTRA_VERSION_MAJOR == 0 && LUTRA_VERSION_MINOR >= 1);
static_assert(std::string_view(INCLUDE_PATH).find(':') == std::string_view::npos,
              "Lutra passes on a foreign include path: " INCLUDE_PATH);
#ifdef HWY_MAJOR
#error "A public header includes Highway."
#endif

int main() {
  const float weights[] = {1, -1, 1, 1}, x[] = {1, 2, 3, 4};
  float y[1] = {};
  lutra::QuantizedMatrix q;
  lutra::PackedMatrix w;
  lutra::Activations activations;
  lutra::Context context;
  lutra::QuantizeOptions options;
  options.format = lutra::Format::kInt1;
  const lutra::Status steps[] = {
      lutra::Quantize(weights, 1, 4, 4, options, &q),
      lutra::Pack(q.view(), &w),
      lutra::Prepare({x, lutra::DataType::kF32, 1, 4, 4}, w, lutra::Precision::kInt16, context, &activations),
      lutra::MatMul(w, activations, {y, lutra::DataType::kF32, 1, 1, 1}, context),
  };
  for (const lutra::Status& status : steps) {
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.message().c_str());
      return 1;
    }
  }
  std::printf("1 - 2 + 3 + 4 = %g on %s\n", static_cast<double>(y[0]), lutra::TargetName(w.target()));
  return y[0] > 5.99f && y[0] < 6.01f ? 0 : 1;
}
