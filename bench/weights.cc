// Packs the weights that benchmarks multiply, on all of the machine's threads so that a single case starts soon.
#include "weights.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>
#include <thread>

namespace lutra::bench {
namespace {

constexpr std::size_t kDramBytes = std::size_t{512} << 20;

}  // namespace

Status RandomWeights(Format format, std::size_t m, std::size_t k, const Params& params, QuantizedMatrix* w) {
  QuantizedView shape;
  shape.format = format;
  shape.m = m;
  shape.k = k;
  shape.group = params.group;
  shape.scale_type = params.scale_type;
  shape.zero_kind = params.zero_kind;
  shape.zero_type = params.scale_type;
  if (const Status status = w->Allocate(shape); !status.ok()) return status;

  std::mt19937_64 random(1);
  const auto levels = static_cast<unsigned>(Describe(format).levels);
  for (std::size_t i = 0; i < m * k;) {
    std::uint64_t bits = random();
    for (const std::size_t end = std::min(i + 8, m * k); i < end; ++i, bits >>= 8) {
      w->codes()[i] = static_cast<std::uint8_t>((bits & 0xff) * levels >> 8);
    }
  }
  std::uniform_real_distribution<float> scale(0.01f, 0.03f);
  const auto fill = [&](void* to, std::size_t count) {
    if (to != nullptr) std::generate_n(static_cast<std::uint16_t*>(to), count, [&] { return F32ToF16(scale(random)); });
  };
  const auto fill_integers = [&](void* to, std::size_t count) {
    // As E8M0 tiny powers of two.
    if (to != nullptr) std::generate_n(static_cast<std::uint8_t*>(to), count, [&] { return random() % 15 + 1; });
  };
  const std::size_t count = ScaleCount(w->view()), supers = SuperScaleCount(w->view());
  for (void* const array : {w->scales(), w->zeros()}) {
    SizeOf(params.scale_type) == 1 ? fill_integers(array, count) : fill(array, count);
  }
  fill(w->super_scales(), supers);
  fill(w->super_offsets(), supers);
  return {};
}

Weights::Weights(Format format, Target target, std::size_t m, std::size_t k, const Params& params)
    : format_(format), target_(target), params_(params), status_(RandomWeights(format, m, k, params, &codes_)) {}

Status Weights::Reserve(Residence residence) {
  const PackOptions options{target_, nullptr};
  if (copies_.empty() && status_.ok()) {
    copies_.resize(1);
    status_ = Pack(codes(), options, &copies_[0]);
  }
  if (residence == Residence::kCache || copies_.size() != 1 || !status_.ok()) return status_;

  copies_.resize(kDramBytes / first().bytes() + 1);
  std::vector<Status> statuses(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::thread> threads;
  std::atomic<std::size_t> next{1};
  for (Status& status : statuses) {
    threads.emplace_back([&] {
      for (std::size_t i; status.ok() && (i = next++) < copies_.size();) status = Pack(codes(), options, &copies_[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Status& status : statuses) {
    if (!status.ok()) status_ = status;
  }
  return status_;
}

}  // namespace lutra::bench
