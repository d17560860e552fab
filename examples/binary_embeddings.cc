// Ranks binary embeddings: the k vectors of a corpus that agree with a query in most bits, by bits times bits of int1.
//
//     binary_embeddings [VECTORS [TARGET]]
//
// The corpus is packed once, in parts of 2 MB whose scores stay in cache. The score of a vector is the product of the
// numbers 1 and -1 that bits stand for: the number of bits minus twice the Hamming distance. A corpus of at most 100000
// vectors is ranked by a plain loop, too.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "best_ms.h"
#include "lutra/lutra.h"

namespace {

constexpr std::size_t kBits = 1024, kWords = kBits / 64, kPart = 16384, kBest = 5, kCheckedVectors = 100000;

// Word `word` of vector `i`: pseudo-random bits.
std::uint64_t Word(std::size_t i, std::size_t word) {
  std::uint64_t z = (i * kWords + word + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Queries of kBits bits each: query n is vector source[n] with about a quarter of its bits flipped.
struct Queries {
  Queries(std::size_t n, std::size_t vectors) : bits(n * kBits / 8), scales(n, 1.0f) {
    for (std::size_t i = 0; i < n; ++i) {
      source.push_back((i * 7919 + 13) % vectors);
      for (std::size_t w = 0; w < kWords; ++w) {
        const std::uint64_t flipped = Word(~i, 2 * w) & Word(~i, 2 * w + 1), word = Word(source[i], w) ^ flipped;
        for (std::size_t b = 0; b < 8; ++b) {
          bits[(i * kWords + w) * 8 + b] = static_cast<std::uint8_t>(word >> (8 * b));
        }
      }
    }
  }
  lutra::ActivationView view() const { return lutra::ActivationView::Bits(bits.data(), scales.data(), n(), kBits); }
  std::size_t n() const { return source.size(); }

  std::vector<std::size_t> source;
  std::vector<std::uint8_t> bits;
  std::vector<float> scales;
};

// The best scores of a query, the best first; of equal scores the first vector.
class Best {
 public:
  // Takes the scores of `count` vectors from vector `first` on.
  void Take(const float* scores, std::size_t count, std::size_t first) {
    constexpr std::size_t kAtOnce = 64;
    for (std::size_t begin = 0; begin < count; begin += kAtOnce) {
      const std::size_t end = std::min(begin + kAtOnce, count);
      int better = 0;
      for (std::size_t i = begin; i < end; ++i) better |= scores[i] > worst_ ? 1 : 0;
      for (std::size_t i = begin; better != 0 && i < end; ++i) {
        if (scores[i] > worst_) Insert(scores[i], first + i);
      }
    }
  }
  const std::vector<std::pair<float, std::size_t>>& list() const { return list_; }

 private:
  void Insert(float score, std::size_t vector) {
    const auto at = std::find_if(list_.begin(), list_.end(), [=](const auto& other) { return other.first < score; });
    list_.insert(at, {score, vector});
    if (list_.size() > kBest) list_.pop_back();
    if (list_.size() == kBest) worst_ = list_.back().first;
  }
  std::vector<std::pair<float, std::size_t>> list_;
  float worst_ = -static_cast<float>(kBits) - 1;
};

class Corpus {
 public:
  lutra::Status Pack(std::size_t vectors, lutra::Target target) {
    const std::size_t part_vectors = std::min(kPart, vectors);
    std::vector<std::uint8_t> codes(part_vectors * kBits);
    const float scale = 1.0f;
    lutra::QuantizedView view;
    view.format = lutra::Format::kInt1;
    view.m = part_vectors;
    view.k = view.code_stride = kBits;
    view.codes = codes.data();
    view.group = lutra::kPerMatrix;
    view.scales = &scale;
    view.scale_type = lutra::DataType::kF32;
    parts_.resize((vectors + kPart - 1) / kPart);
    lutra::PackedLayout layout;
    lutra::Status status = lutra::LayoutOf(view, {target}, &layout);
    if (!status.ok()) return status;
    vectors_ = vectors;
    part_bytes_ = layout.bytes();
    if (!memory_.Reserve(parts_.size() * part_bytes_)) return lutra::Status::OutOfMemory("vectors");
    for (std::size_t part = 0; part < parts_.size() && status.ok(); ++part) {  // the last one is filled up
      for (std::size_t i = 0; i < codes.size(); ++i) {
        codes[i] = Word(part * kPart + i / kBits, i % kBits / 64) >> (i % 64) & 1;
      }
      std::uint8_t* const to = memory_.data() + part * part_bytes_;
      status = lutra::PackPanels(layout, view, 0, layout.panels(), to, part_bytes_);
      if (status.ok()) status = lutra::View(layout, to, part_bytes_, 0, &parts_[part]);
    }
    return status;
  }

  // Prepares the queries once and ranks all vectors, part by part.
  lutra::Status Rank(const Queries& queries, std::vector<Best>* best) {
    best->assign(queries.n(), {});
    scores_.resize(queries.n() * kPart);
    const lutra::PrepareOptions options(lutra::Precision::kInt8, lutra::Choice::kBits);
    lutra::Status status = lutra::Prepare(queries.view(), parts_[0], options, context_, &prepared_);
    for (std::size_t part = 0; part < parts_.size() && status.ok(); ++part) {
      const std::size_t m = parts_[part].m();
      status = lutra::MatMul(parts_[part], prepared_, lutra::OutputView(scores_.data(), queries.n(), m), context_);
      const std::size_t first = part * kPart, count = std::min(m, vectors_ - first);
      for (std::size_t i = 0; i < queries.n(); ++i) (*best)[i].Take(scores_.data() + i * m, count, first);
    }
    return status;
  }

  // Reads all packed bytes, as some streams of addresses.
  std::uint64_t Read(std::size_t streams) const {
    constexpr std::size_t kSums = 16;
    std::uint64_t sums[kSums] = {};
    const auto* const words = memory_.as<const std::uint64_t>();
    const std::size_t length = parts_.size() * part_bytes_ / sizeof(std::uint64_t) / streams / kSums * kSums;
    for (std::size_t at = 0; at < length; at += kSums) {
      for (std::size_t stream = 0; stream < streams; ++stream) {
        for (std::size_t i = 0; i < kSums; ++i) sums[i] += words[stream * length + at + i];
      }
    }
    std::uint64_t sum = 0;
    for (const std::uint64_t each : sums) sum += each;
    return sum;
  }

  double bytes() const { return static_cast<double>(parts_.size() * part_bytes_); }

 private:
  std::size_t vectors_ = 0, part_bytes_ = 0;
  lutra::Buffer memory_;
  std::vector<lutra::PackedMatrix> parts_;
  lutra::Context context_;
  lutra::Activations prepared_;
  std::vector<float> scores_;
};

// Ranks all vectors by counting the bits that differ, one after the other.
Best RankPlainly(const Queries& queries, std::size_t query, std::size_t vectors) {
  Best best;
  for (std::size_t i = 0; i < vectors; ++i) {
    int differ = 0;
    for (std::size_t w = 0; w < kWords; ++w) {
      std::uint64_t word = 0;
      for (std::size_t b = 8; b-- > 0;) word = word << 8 | queries.bits[(query * kWords + w) * 8 + b];
      for (word ^= Word(i, w); word != 0; word &= word - 1) ++differ;
    }
    const float score = static_cast<float>(kBits) - 2 * static_cast<float>(differ);
    best.Take(&score, 1, i);
  }
  return best;
}

// Whether each query finds the vector that it was made of, and all that a plain loop finds.
bool Agrees(const Queries& queries, const std::vector<Best>& best, std::size_t vectors) {
  for (std::size_t i = 0; i < queries.n(); ++i) {
    if (best[i].list()[0].second != queries.source[i]) return false;
    if (vectors <= kCheckedVectors && best[i].list() != RankPlainly(queries, i, vectors).list()) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t vectors = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000000;
  const lutra::Target target = argc > 2 ? lutra::FindTarget(argv[2]) : *lutra::RunnableTargets().begin();
  if (vectors == 0 || argc > 3 || target == nullptr) {
    std::fprintf(stderr, "usage: %s [VECTORS [TARGET]]\n", argv[0]);
    return 2;
  }
  Corpus corpus;
  lutra::Status status = corpus.Pack(vectors, target);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  const auto gb_s = [&](double ms) { return corpus.bytes() / ms * 1e-6; };
  std::uint64_t sum = 0;
  double reading = 0;
  for (const std::size_t streams : {1u, 2u, 4u, 8u}) {
    reading = std::max(reading, gb_s(lutra::examples::BestMs([] {}, [&] { sum += corpus.Read(streams); })));
  }
  std::printf("%zu vectors of %zu bits, %.0f MB, on %s; one thread reads %.1f GB/s (sum %u)\n", vectors, kBits,
              corpus.bytes() * 1e-6, lutra::TargetName(target), reading, static_cast<unsigned>(sum % 1000));

  bool agrees = true;
  for (const std::size_t n : {std::size_t{1}, std::size_t{4}, std::size_t{32}}) {
    const Queries queries(n, vectors);
    std::vector<Best> best;
    const double ms = lutra::examples::BestMs([] {}, [&] { status = corpus.Rank(queries, &best); });
    agrees = agrees && status.ok() && Agrees(queries, best, vectors);
    std::printf("%2zu queries: %7.2f ms, %5.1f GB/s of vectors, %.2f of reading; times queries %.0f GB/s\n", n, ms,
                gb_s(ms), gb_s(ms) / reading, gb_s(ms) * static_cast<double>(n));
    if (n != 1) continue;
    for (const auto& [score, vector] : best[0].list()) std::printf("   vector %zu: score %.0f\n", vector, score);
  }
  std::printf("%s\n", !status.ok() ? status.message().c_str() : agrees ? "the ranks agree" : "the ranks differ");
  return agrees ? 0 : 1;
}
