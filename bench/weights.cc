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
  shape.codebook_tables = params.tables;
  if (const Status status = w->Allocate(shape); !status.ok()) return status;

  std::mt19937_64 random(1);
  const auto levels = static_cast<unsigned>(Describe(format).levels);
  for (std::size_t i = 0; i < m * k;) {
    std::uint64_t bits = random();
    for (const std::size_t end = std::min(i + 8, m * k); i < end; ++i, bits >>= 8) {
      w->codes()[i] = static_cast<std::uint8_t>((bits & 0xff) * levels >> 8);
      if (!Describe(format).has(w->codes()[i])) w->codes()[i] = 0;
    }
  }
  std::uniform_real_distribution<float> scale(0.01f, 0.03f);
  const auto fill = [&](void* to, DataType type, std::size_t count) {
    if (to == nullptr) return;
    auto* const bytes = static_cast<std::uint8_t*>(to);
    auto* const halves = static_cast<std::uint16_t*>(to);
    if (type == DataType::kF32)
      return void(std::generate_n(static_cast<float*>(to), count, [&] { return scale(random); }));
    if (type == DataType::kF16) return void(std::generate_n(halves, count, [&] { return F32ToF16(scale(random)); }));
    // E8M0: 2^-7 to 1; E4M3: 2^-6 to 0.06; integers: 1 to 15.
    const unsigned least = type == DataType::kE8M0 ? 120 : type == DataType::kE4M3 ? 8 : 1;
    const unsigned many = type == DataType::kE8M0 ? 8 : type == DataType::kE4M3 ? 16 : 15;
    std::generate_n(bytes, count, [&] { return static_cast<std::uint8_t>(random() % many + least); });
  };
  const std::size_t count = ScaleCount(w->view()), supers = SuperScaleCount(w->view());
  fill(w->scales(), params.scale_type, count);
  fill(w->zeros(), w->view().zero_type, count);
  fill(w->super_scales(), DataType::kF16, supers);
  fill(w->super_offsets(), DataType::kF16, supers);
  std::generate_n(w->codebook(), CodebookSize(w->view()),
                  [&] { return static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127); });
  std::generate_n(w->table_choices(), HasTableChoices(w->view()) ? count : 0,
                  [&] { return static_cast<std::uint8_t>(random() % params.tables); });
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
