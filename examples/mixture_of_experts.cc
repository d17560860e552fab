// A feed-forward layer of experts: a router sends each token to some of them, and their outputs are added up.
#include <cmath>
#include <cstdio>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"

namespace {

constexpr std::size_t kHidden = 256, kWidth = 384, kExperts = 8, kTop = 2, kTokens = 6;

// A small generator of numbers from -1 to 1.
float Next() {
  static unsigned state = 1;
  state = state * 1664525 + 1013904223;
  return static_cast<float>(state >> 8) / 0x1p23f - 1;
}

// The matrices W[M x K] of all experts.
lutra::Status Load(std::size_t m, std::size_t k, std::vector<lutra::PackedMatrix>* experts) {
  experts->resize(kExperts);
  std::vector<float> weights(m * k);
  for (lutra::PackedMatrix& packed : *experts) {
    for (float& weight : weights) weight = Next() * 0.1f;
    lutra::QuantizedMatrix quantized;
    lutra::Status status = lutra::Quantize(weights.data(), m, k, k, {}, &quantized);
    if (status.ok()) status = lutra::Pack(quantized.view(), &packed);
    if (!status.ok()) return status;
  }
  return {};
}

struct Layer {
  std::vector<lutra::PackedMatrix> gate, up, down;

  lutra::Status Load() {
    lutra::Status status = ::Load(kWidth, kHidden, &gate);
    if (status.ok()) status = ::Load(kWidth, kHidden, &up);
    return status.ok() ? ::Load(kHidden, kWidth, &down) : status;
  }

  // y[kTokens x kHidden] in three calls: x is prepared once for all experts, for gate and up.
  lutra::Status Run(const float* x, const std::int32_t* ids, const float* weights, float* y, lutra::Context& context) {
    lutra::Routing routing;
    lutra::Activations prepared;
    std::vector<float> h(kTokens * kTop * kWidth);
    lutra::Status status = routing.Assign(ids, kTokens, kTop, kTop, kExperts);
    if (status.ok()) status = lutra::Prepare(lutra::ActivationView(x, kTokens, kHidden), up[0], {}, context, &prepared);
    if (status.ok()) {
      lutra::GroupedProduct product;
      product.w = {up.data(), kExperts};
      product.gate = {gate.data(), kExperts};
      product.unit = lutra::kSwiGlu;
      product.x = &prepared;
      product.rows = routing.FromTokens();
      product.y = {h.data(), kTokens * kTop, kWidth};
      status = lutra::MatMulGrouped(product, context);
    }
    if (status.ok()) {
      status = lutra::Prepare(lutra::ActivationView(h.data(), kTokens * kTop, kWidth), down[0], {}, context, &prepared);
    }
    if (status.ok()) {
      lutra::GroupedProduct product;
      product.w = {down.data(), kExperts};
      product.x = &prepared;
      product.rows = routing.ToTokens();
      product.weights = weights;
      product.y = {y, kTokens, kHidden};
      status = lutra::MatMulGrouped(product, context);
    }
    return status;
  }

  // Row y[kHidden] of one token, expert by expert.
  lutra::Status RunExpert(const float* x, std::size_t expert, float weight, float* y, lutra::Context& context) {
    std::vector<float> gated(kWidth), h(kWidth), back(kHidden);
    const lutra::ActivationView row(x, 1, kHidden);
    lutra::Status status = lutra::MatMul(gate[expert], row, lutra::OutputView(gated.data(), 1, kWidth), context);
    if (status.ok()) status = lutra::MatMul(up[expert], row, lutra::OutputView(h.data(), 1, kWidth), context);
    if (!status.ok()) return status;
    lutra::ReferenceGatedUnit(lutra::kSwiGlu, gated.data(), h.data(), kWidth, h.data());
    status = lutra::MatMul(down[expert], lutra::ActivationView(h.data(), 1, kWidth),
                           lutra::OutputView(back.data(), 1, kHidden), context);
    for (std::size_t i = 0; i < kHidden; ++i) y[i] = std::fma(weight, back[i], y[i]);
    return status;
  }
};

}  // namespace

int main() {
  Layer layer;
  lutra::ThreadPool pool(2);
  lutra::Context context{&pool};
  lutra::Status status = layer.Load();
  std::vector<float> x(kTokens * kHidden), y(x.size()), expected(x.size()), weights(kTokens * kTop);
  std::vector<std::int32_t> ids(kTokens * kTop);
  for (float& value : x) value = Next();
  for (std::size_t i = 0; i < ids.size(); ++i) {  // what a router would choose
    ids[i] = static_cast<std::int32_t>((i / kTop * 3 + i % kTop * 5) % kExperts);
    weights[i] = i % kTop == 0 ? 0.75f : 0.25f;
  }
  if (status.ok()) status = layer.Run(x.data(), ids.data(), weights.data(), y.data(), context);
  double largest = 0;
  for (std::size_t i = 0; i < ids.size() && status.ok(); ++i) {
    const std::size_t token = i / kTop;
    status = layer.RunExpert(&x[token * kHidden], static_cast<std::size_t>(ids[i]), weights[i],
                             &expected[token * kHidden], context);
  }
  for (std::size_t i = 0; i < y.size(); ++i) largest = std::fmax(largest, std::fabs(double{y[i]} - expected[i]));
  std::printf("%s: %zu tokens to %zu of %zu experts, at most %.1e from one after the other\n", status.message().c_str(),
              kTokens, kTop, kExperts, largest);
  return status.ok() && largest < 1e-4 ? 0 : 1;
}
