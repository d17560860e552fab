// Experts below one bit per weight: ternary weights of a mixture of experts that are mostly zero, compressed by zstd
// with a trained dictionary, and decoded one expert at a time into the packed form that Lutra multiplies. (QMoE,
// https://arxiv.org/abs/2310.16795, has a dictionary codec of its own.)
//
//     compressed_experts [EXPERTS M K [PERCENT_ZERO]]
#include <fmt/format.h>
#include <zdict.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "best_ms.h"
#include "lutra/lutra.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

// Five ternary codes make a byte, a number in base 3: the first one is the lowest digit.
constexpr std::size_t kCodesPerByte = 5, kBytes = 243;

Bytes JoinCodes(const Bytes& codes) {
  Bytes joined((codes.size() + kCodesPerByte - 1) / kCodesPerByte);
  for (std::size_t i = codes.size(); i-- > 0;) {
    std::uint8_t& byte = joined[i / kCodesPerByte];
    byte = static_cast<std::uint8_t>(byte * 3 + codes[i]);
  }
  return joined;
}

using Digits = std::array<std::array<std::uint8_t, kCodesPerByte>, kBytes>;
Digits MakeDigits() {
  Digits digits{};
  for (std::size_t byte = 0; byte < kBytes; ++byte) {
    for (std::size_t i = 0, value = byte; i < kCodesPerByte; ++i, value /= 3) {
      digits[byte][i] = static_cast<std::uint8_t>(value % 3);
    }
  }
  return digits;
}

// False on a byte that is no five codes.
bool SplitCodes(const Bytes& joined, Bytes& codes) {
  static const Digits kDigits = MakeDigits();
  for (std::size_t i = 0, at = 0; at < codes.size(); ++i, at += kCodesPerByte) {
    if (joined[i] >= kBytes) return false;
    std::memcpy(&codes[at], kDigits[joined[i]].data(), std::min(kCodesPerByte, codes.size() - at));
  }
  return true;
}

// Random experts, W[M x K] each, with a scale per row.
struct Experts {
  std::size_t m, k;
  std::vector<Bytes> codes;
  std::vector<std::vector<std::uint16_t>> scales;
  double entropy = 0;  // bits per weight

  Experts(std::size_t count, std::size_t m_, std::size_t k_, unsigned percent) : m(m_), k(k_) {
    std::mt19937_64 random(1);
    double counts[3] = {};
    for (std::size_t i = 0; i < count; ++i) {
      Bytes& expert = codes.emplace_back(m * k);
      for (std::uint8_t& code : expert) {
        const auto bits = static_cast<unsigned>(random() >> 32);
        code = bits % 100 < percent ? 1 : static_cast<std::uint8_t>(bits >> 16 & 2);
        ++counts[code];
      }
      std::vector<std::uint16_t>& of_rows = scales.emplace_back(m);
      for (std::uint16_t& scale : of_rows) {
        scale = lutra::F32ToF16(0.01f + 0.01f * static_cast<float>(random() >> 40) * 0x1p-24f);
      }
    }
    for (const double n : counts) {
      const double share = n / static_cast<double>(count * m * k);
      if (share > 0) entropy -= share * std::log2(share);
    }
  }
  lutra::QuantizedView View(std::size_t i) const { return View(codes[i], i); }
  lutra::QuantizedView View(const Bytes& expert, std::size_t i) const {
    lutra::QuantizedView w;
    w.format = lutra::Format::kTernary;
    w.m = m;
    w.k = k;
    w.codes = expert.data();
    w.code_stride = k;
    w.group = lutra::kPerRow;
    w.scales = scales[i].data();
    return w;
  }
};

// What zstd compresses: packed bytes with their scales, or codes, five in a byte, beside raw scales.
enum class Form { kPacked, kCodes };

struct Codec {
  const char* name;
  Form form;
  int level;
  bool dictionary;
  bool few_matches;  // literals with Huffman codes, and hardly any matches, which take time
};
constexpr Codec kCodecs[] = {
    {"packed bytes, level 1", Form::kPacked, 1, false, false},
    {"packed bytes, level 1, dictionary", Form::kPacked, 1, true, false},
    {"packed bytes, level 19", Form::kPacked, 19, false, false},
    {"packed bytes, few matches", Form::kPacked, 1, false, true},
    {"five codes, level 1", Form::kCodes, 1, false, false},
    {"five codes, level 1, dictionary", Form::kCodes, 1, true, false},
    {"five codes, level 19", Form::kCodes, 19, false, false},
    {"five codes, few matches", Form::kCodes, 1, false, true},
};

struct Free {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// Samples of 4 KB from all experts make a dictionary; empty if zstd makes none.
Bytes Train(const std::vector<Bytes>& texts) {
  constexpr std::size_t kSample = 4096, kMost = 2000;
  std::size_t all = 0;
  for (const Bytes& text : texts) all += text.size();
  Bytes samples, dictionary(std::clamp(all / 500, std::size_t{1} << 10, std::size_t{64} << 10));
  std::vector<std::size_t> sizes;
  for (const Bytes& text : texts) {
    const std::size_t step = std::max(kSample, text.size() * texts.size() / kMost);
    for (std::size_t at = 0; at + kSample <= text.size(); at += step) {
      samples.insert(samples.end(), text.begin() + static_cast<std::ptrdiff_t>(at),
                     text.begin() + static_cast<std::ptrdiff_t>(at + kSample));
      sizes.push_back(kSample);
    }
  }
  const std::size_t size = ZDICT_trainFromBuffer(dictionary.data(), dictionary.size(), samples.data(), sizes.data(),
                                                 static_cast<unsigned>(sizes.size()));
  dictionary.resize(ZDICT_isError(size) ? 0 : size);
  return dictionary;
}

// The compressed experts.
class Store {
 public:
  Store(const Codec& codec, const std::vector<Bytes>& texts) : texts_(texts.size()) {
    if (codec.dictionary) dictionary_ = Train(texts);
    ZSTD_CCtx_setParameter(compress_.get(), ZSTD_c_compressionLevel, codec.level);
    if (codec.few_matches) {
      ZSTD_CCtx_setParameter(compress_.get(), ZSTD_c_strategy, ZSTD_fast);
      ZSTD_CCtx_setParameter(compress_.get(), ZSTD_c_minMatch, 7);
      ZSTD_CCtx_setParameter(compress_.get(), ZSTD_c_hashLog, 6);
    }
    ZSTD_CCtx_loadDictionary(compress_.get(), dictionary_.data(), dictionary_.size());
    ZSTD_DCtx_loadDictionary(decompress_.get(), dictionary_.data(), dictionary_.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      Bytes& to = texts_[i];
      to.resize(ZSTD_compressBound(texts[i].size()));
      const std::size_t size = ZSTD_compress2(compress_.get(), to.data(), to.size(), texts[i].data(), texts[i].size());
      to.resize(ZSTD_isError(size) ? 0 : size);
    }
  }

  // All experts and the dictionary.
  std::size_t bytes() const {
    std::size_t sum = dictionary_.size();
    for (const Bytes& text : texts_) sum += text.size();
    return sum;
  }
  // Decodes an expert to exactly `size` bytes.
  bool Decode(std::size_t i, void* to, std::size_t size) {
    return ZSTD_decompressDCtx(decompress_.get(), to, size, texts_[i].data(), texts_[i].size()) == size;
  }

 private:
  const std::unique_ptr<ZSTD_CCtx, Free> compress_{ZSTD_createCCtx()};
  const std::unique_ptr<ZSTD_DCtx, Free> decompress_{ZSTD_createDCtx()};
  std::vector<Bytes> texts_;
  Bytes dictionary_;
};

// Returns what is wrong; empty if nothing is. Sets *bits to the bits per weight.
std::string Measure(const Codec& codec, const Experts& experts, const std::vector<lutra::PackedMatrix>& packed,
                    double* bits) {
  const std::size_t count = packed.size();
  std::vector<Bytes> texts;
  for (std::size_t i = 0; i < count; ++i) {
    const bool as_packed = codec.form == Form::kPacked;
    texts.push_back(as_packed ? Bytes(packed[i].data(), packed[i].data() + packed[i].bytes())
                              : JoinCodes(experts.codes[i]));
  }
  Store store(codec, texts);
  const lutra::PackedLayout layout = lutra::LayoutOf(packed[0]);
  lutra::Buffer memory;
  if (!memory.Reserve(layout.bytes())) return "memory is short";
  Bytes joined(texts[0].size()), codes(experts.m * experts.k);
  // Decodes expert i into the packed form.
  const auto decode = [&](std::size_t i) -> bool {
    if (codec.form == Form::kPacked) return store.Decode(i, memory.data(), packed[i].bytes());
    return store.Decode(i, joined.data(), joined.size()) && SplitCodes(joined, codes) &&
           lutra::PackPanels(layout, experts.View(codes, i), 0, layout.panels(), memory.data(), layout.bytes()).ok();
  };
  for (std::size_t i = 0; i < count; ++i) {
    lutra::PackedMatrix view;
    if (!decode(i) || !lutra::View(layout, memory.data(), layout.bytes(), 0, &view).ok()) return "decoding failed";
    if (std::memcmp(view.data(), packed[i].data(), view.bytes()) != 0) return "an expert is not what it was";
  }
  std::size_t next = 0;
  bool ok = true;
  const double ms = lutra::examples::BestMs([] {}, [&] { ok = decode(next++ % count) && ok; });
  const auto weights = static_cast<double>(experts.m * experts.k);
  const std::size_t scales = codec.form == Form::kPacked ? 0 : count * experts.m * sizeof(std::uint16_t);
  *bits = 8 * static_cast<double>(store.bytes() + scales) / weights / static_cast<double>(count);
  fmt::print("{:<36} {:>8.3f} {:>8.2f} {:>9.2f} {:>8.2f}\n", codec.name, *bits, *bits / experts.entropy,
             1e-6 * weights / ms, 1e-6 * static_cast<double>(packed[0].bytes()) / ms);
  return ok ? "" : "decoding failed";
}

std::string Run(std::size_t count, std::size_t m, std::size_t k, unsigned percent) {
  const Experts experts(count, m, k, percent);
  std::vector<lutra::PackedMatrix> packed(count);
  for (std::size_t i = 0; i < count; ++i) {
    const lutra::Status status = lutra::Pack(experts.View(i), &packed[i]);
    if (!status.ok()) return status.message();
  }
  // What a copy of all experts in memory takes.
  Bytes copy(packed[0].bytes());
  std::size_t next = 0;
  const double ms =
      lutra::examples::BestMs([] {}, [&] { std::memcpy(copy.data(), packed[next++ % count].data(), copy.size()); });
  fmt::print("{} experts of {} x {}, {} % zeros: entropy {:.3f} bits per weight\n\n", count, m, k, percent,
             experts.entropy);
  fmt::print("{:<36} {:>8} {:>8} {:>9} {:>8}\n", "", "bits/w", "/entropy", "Gweight/s", "GB/s");
  fmt::print("{:<36} {:>8.3f} {:>8.2f} {:>9.2f} {:>8.2f}\n", "packed, copied", packed[0].bits_per_weight(),
             packed[0].bits_per_weight() / experts.entropy, 1e-6 * static_cast<double>(m * k) / ms,
             1e-6 * static_cast<double>(copy.size()) / ms);
  double least = 1e9;
  for (const Codec& codec : kCodecs) {
    double bits = 0;
    if (std::string error = Measure(codec, experts, packed, &bits); !error.empty()) {
      return fmt::format("{}: {}", codec.name, error);
    }
    least = std::min(least, bits);
  }
  fmt::print("\nGB/s are packed bytes that decoding makes. All experts are what they were, byte for byte.\n");
  return percent >= 90 && least > 1 ? "no codec gets below 1 bit per weight" : "";
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t sizes[4] = {4, 256, 1024, 90};
  for (int i = 1; i < argc && i <= 4; ++i) sizes[i - 1] = std::strtoul(argv[i], nullptr, 10);
  const bool valid = (argc == 1 || argc == 4 || argc == 5) && sizes[0] != 0 && sizes[1] != 0 && sizes[2] != 0;
  if (!valid || sizes[3] > 100) {
    fmt::print(stderr, "usage: compressed_experts [EXPERTS M K [PERCENT_ZERO]]\n");
    return 2;
  }
  const std::string error = Run(sizes[0], sizes[1], sizes[2], static_cast<unsigned>(sizes[3]));
  if (!error.empty()) fmt::print(stderr, "compressed_experts: {}\n", error);
  return error.empty() ? 0 : 1;
}
