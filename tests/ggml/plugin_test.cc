// The ggml plug-in in an unmodified llama.cpp: logits of small random models beside those of ggml's own CPU backend.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "llama.h"
#include "random_llama.h"

namespace {

using random_llama::FileType;
using random_llama::kFileTypes;
using random_llama::kShapes;
using random_llama::Shape;
using random_llama::Stored;

constexpr std::size_t kPrompt = 58, kSteps = 6;  // tokens that are decoded at a time, then one by one

// The plug-in, loaded as long as this object lives.
class Plugin {
 public:
  Plugin() : registry_(ggml_backend_load(LUTRA_GGML_PLUGIN)) {}
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  ~Plugin() {
    if (registry_ != nullptr) ggml_backend_unload(registry_);
  }
  bool loaded() const { return registry_ != nullptr; }

 private:
  ggml_backend_reg_t registry_;
};

// A model in a temporary file.
class File {
 public:
  File(const Shape& shape, const FileType& type, Stored stored = Stored::kQuantized)
      : path_(testing::TempDir() + "lutra_plugin_" + std::to_string(getpid()) + "_" + shape.name + "_" + type.name +
              (stored == Stored::kDequantized ? "_f32" : "") + ".gguf"),
        written_(random_llama::Write(path_.c_str(), shape, type, stored)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { std::remove(path_.c_str()); }
  const char* path() const { return path_.c_str(); }
  bool written() const { return written_; }

 private:
  const std::string path_;
  const bool written_;
};

// A model and its state, as any program that uses llama.cpp has them.
class Llama {
 public:
  explicit Llama(const File& file, int threads = 2)
      : model_(llama_model_load_from_file(file.path(), llama_model_default_params())) {
    if (model_ == nullptr) return;
    llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = 64;
    params.n_threads = params.n_threads_batch = threads;
    context_.reset(llama_init_from_model(model_.get(), params));
  }

  // The logits of all tokens: of a prompt, then of single tokens. Empty on errors.
  std::vector<float> Logits() {
    std::vector<float> logits;
    if (context_ == nullptr) return logits;
    std::vector<llama_token> prompt;
    for (std::size_t i = 0; i < kPrompt; ++i) prompt.push_back(static_cast<llama_token>(i * 37 % 250));
    Decode(prompt, &logits);
    for (std::size_t i = 0; i < kSteps; ++i) Decode({static_cast<llama_token>(i * 11 + 3)}, &logits);
    return logits;
  }
  std::size_t vocabulary() const {
    return static_cast<std::size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_.get())));
  }

 private:
  void Decode(const std::vector<llama_token>& tokens, std::vector<float>* logits) {
    llama_batch batch = llama_batch_init(static_cast<int>(tokens.size()), 0, 1);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      batch.token[i] = tokens[i];
      batch.pos[i] = position_++;
      batch.n_seq_id[i] = 1;
      batch.seq_id[i][0] = 0;
      batch.logits[i] = 1;
    }
    batch.n_tokens = static_cast<int>(tokens.size());
    const bool decoded = llama_decode(context_.get(), batch) == 0;
    for (int i = 0; decoded && i < batch.n_tokens; ++i) {
      const float* const row = llama_get_logits_ith(context_.get(), i);
      logits->insert(logits->end(), row, row + vocabulary());
    }
    llama_batch_free(batch);
  }

  struct Deleter {
    void operator()(llama_model* model) const { llama_model_free(model); }
    void operator()(llama_context* context) const { llama_free(context); }
  };
  std::unique_ptr<llama_model, Deleter> model_;
  std::unique_ptr<llama_context, Deleter> context_;
  llama_pos position_ = 0;
};

double Nmse(const std::vector<float>& values, const std::vector<float>& exact) {
  double error = 0, power = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - static_cast<double>(exact[i]), 2);
    power += std::pow(static_cast<double>(exact[i]), 2);
  }
  return error / power;
}

// Whether the largest logit of each token is that of the exact logits, where these differ by more than errors explain.
void ExpectSameTokens(const std::vector<float>& values, const std::vector<float>& exact, std::size_t vocabulary) {
  for (std::size_t at = 0; at < exact.size(); at += vocabulary) {
    const std::vector<float> row(exact.begin() + static_cast<std::ptrdiff_t>(at),
                                 exact.begin() + static_cast<std::ptrdiff_t>(at + vocabulary));
    std::vector<float> sorted = row;
    std::partial_sort(sorted.begin(), sorted.begin() + 2, sorted.end(), std::greater<>());
    double worst = 0;
    for (std::size_t i = 0; i < vocabulary; ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(values[at + i]) - static_cast<double>(row[i])));
    }
    if (static_cast<double>(sorted[0]) - static_cast<double>(sorted[1]) <= 2 * worst) continue;
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(at);
    EXPECT_EQ(std::max_element(first, first + static_cast<std::ptrdiff_t>(vocabulary)) - first,
              std::max_element(row.begin(), row.end()) - row.begin());
  }
}

const Shape& ShapeNamed(const std::string& name) {
  return *std::find_if(std::begin(kShapes), std::end(kShapes), [&](const Shape& shape) { return shape.name == name; });
}
const FileType& TypeNamed(const std::string& name) {
  return *std::find_if(std::begin(kFileTypes), std::end(kFileTypes),
                       [&](const FileType& type) { return type.name == name; });
}

struct Model {
  Shape shape;
  FileType type;
};
void PrintTo(const Model& model, std::ostream* os) { *os << model.shape.name << " " << model.type.name; }

std::vector<Model> Models() {
  std::vector<Model> models;
  for (const FileType& type : kFileTypes) models.push_back({ShapeNamed("tiny"), type});
  for (const char* type : {"q4_0", "q4_k_m", "q6_k", "mxfp4", "tq2_0", "iq2_xxs"}) {
    models.push_back({ShapeNamed("moe"), TypeNamed(type)});
    models.push_back({ShapeNamed("tied"), TypeNamed(type)});
  }
  return models;
}

class PluginLogits : public testing::TestWithParam<Model> {};

// The logits err no more than those of ggml's CPU backend, beside a model of the same weights in f32.
TEST_P(PluginLogits, AsExactAsGgml) {
  const File file(GetParam().shape, GetParam().type), f32(GetParam().shape, GetParam().type, Stored::kDequantized);
  ASSERT_TRUE(file.written() && f32.written());
  const std::vector<float> exact = Llama(f32, 1).Logits();  // one thread, as ggml's threads wait busily for each other
  const std::size_t vocabulary = static_cast<std::size_t>(GetParam().shape.vocab_size);
  ASSERT_EQ(exact.size(), (kPrompt + kSteps) * vocabulary);
  const std::vector<float> stock = Llama(file, 1).Logits();
  const Plugin plugin;
  ASSERT_TRUE(plugin.loaded());
  const std::vector<float> ours = Llama(file).Logits();
  ASSERT_EQ(ours.size(), exact.size());
  const double stock_error = Nmse(stock, exact), error = Nmse(ours, exact);
  std::printf("%s %s: NMSE %.2e, ggml's CPU backend %.2e (%.2f)\n", GetParam().shape.name, GetParam().type.name, error,
              stock_error, error / stock_error);
  EXPECT_LE(error, 1.1 * stock_error);
  ExpectSameTokens(ours, exact, vocabulary);
}

INSTANTIATE_TEST_SUITE_P(Models, PluginLogits, testing::ValuesIn(Models()),
                         [](const testing::TestParamInfo<Model>& case_) {
                           return std::string(case_.param.shape.name) + "_" + case_.param.type.name;
                         });

// Two models at once, then one of them again after both are gone; one thread gives the same bits as three.
TEST(Plugin, ModelsComeAndGo) {
  const File first(ShapeNamed("tiny"), TypeNamed("q4_k_m")), second(ShapeNamed("tied"), TypeNamed("q8_0"));
  const Plugin plugin;
  ASSERT_TRUE(plugin.loaded());
  std::vector<float> logits;
  {
    Llama one(first), two(second);
    logits = one.Logits();
    ASSERT_FALSE(logits.empty());
    ASSERT_FALSE(two.Logits().empty());
  }
  EXPECT_EQ(Llama(first, 1).Logits(), logits);
  EXPECT_EQ(Llama(first, 3).Logits(), logits);
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level >= GGML_LOG_LEVEL_WARN && level != GGML_LOG_LEVEL_CONT) std::fputs(text, stderr);
      },
      nullptr);
  ggml_backend_load_all_from_path(LUTRA_GGML_LIBRARIES);
  return RUN_ALL_TESTS();
}
