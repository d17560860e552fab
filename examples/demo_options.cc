// The demo's options: one table from which both parsing and the help text follow.
#include "demo_options.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

namespace lutra::examples {
namespace {

// Generous for a layer of any model, and small enough for no product of sizes to overflow.
constexpr std::size_t kMaxWeights = std::size_t{1} << 30, kMaxTokens = 4096, kMaxThreads = 1024;

struct Draft : Options {
  std::size_t rows = 0, cols = 0;
};

bool ParseNumber(std::string_view text, std::size_t max, std::size_t* number) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && rest == end && *number >= 1 && *number <= max;
}

// Calls parse(item) for each item of "a,b,c" until one is refused.
template <class Parse>
bool ParseList(std::string_view text, Parse parse) {
  for (;;) {
    const std::size_t comma = text.find(',');
    if (!parse(text.substr(0, comma))) return false;
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

bool ParseFormat(std::string_view name, Draft* draft) {
  for (const FormatInfo& f : kFormats) {
    if (name != f.name) continue;
    draft->formats.push_back(f.format);
    return true;
  }
  return false;
}

bool ParseShape(std::string_view text, Draft* draft) {
  const std::size_t x = text.find('x');
  Shape shape{};
  if (x == std::string_view::npos || !ParseNumber(text.substr(0, x), kMaxWeights, &shape.m) ||
      !ParseNumber(text.substr(x + 1), kMaxWeights / shape.m, &shape.k)) {
    return false;
  }
  draft->shapes.push_back(shape);
  return true;
}

bool ParseGroup(std::string_view text, Draft* draft) {
  draft->group = text == "row" ? kPerRow : kPerMatrix;
  if (text == "row" || text == "matrix") return true;
  return ParseNumber(text, 256, &draft->group) && IsGroupSize(draft->group);
}

bool ParsePrecision(std::string_view name, Draft* draft) {
  for (const Precision precision : kPrecisions) {
    if (name != Name(precision)) continue;
    draft->precision = precision;
    return true;
  }
  return false;
}

std::string JoinFormats() {
  std::string names;
  for (const FormatInfo& f : kFormats) names += fmt::format("{}{}", names.empty() ? "" : ", ", f.name);
  return names;
}
std::string JoinTargets() {
  std::string names;
  for (const Target target : RunnableTargets()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", TargetName(target));
  }
  return names;
}

// `value` names what follows the option, if anything does; `help` also tells what is accepted.
struct Option {
  const char *name, *value;
  std::string help;
  bool (*parse)(std::string_view value, Draft* draft);
};

const std::vector<Option>& OptionTable() {
  static const std::vector<Option> table = {
      {"--shape", "MxK", fmt::format("rows and columns of W, at most {} weights; may be repeated", kMaxWeights),
       ParseShape},
      {"--formats", "LIST", "from " + JoinFormats(),
       [](std::string_view value, Draft* draft) {
         return ParseList(value, [&](std::string_view name) { return ParseFormat(name, draft); });
       }},
      {"--n", "LIST", fmt::format("numbers of tokens, 1 to {}", kMaxTokens),
       [](std::string_view value, Draft* draft) {
         return ParseList(value, [&](std::string_view number) {
           return ParseNumber(number, kMaxTokens, &draft->tokens.emplace_back());
         });
       }},
      {"--threads", "T", fmt::format("threads to use, 1 to {}", kMaxThreads),
       [](std::string_view value, Draft* draft) { return ParseNumber(value, kMaxThreads, &draft->threads); }},
      {"--target", "NAME", "instruction set, on this CPU one of " + JoinTargets(),
       [](std::string_view value, Draft* draft) {
         draft->target = FindTarget(std::string(value).c_str());
         return draft->target != nullptr;
       }},
      {"--group", "G", "weights that share a scale: 16, 32, 64, 128, 256, row or matrix", ParseGroup},
      {"--precision", "P",
       fmt::format("{} (fast tables) or {} (exact sums)", Name(Precision::kInt8), Name(Precision::kInt16)),
       ParsePrecision},
      {"--weights", "FILE", "a matrix of your own, row-major little-endian float32; needs --rows and --cols",
       [](std::string_view value, Draft* draft) { return !(draft->weights = value).empty(); }},
      {"--rows", "M", "rows of that matrix",
       [](std::string_view value, Draft* draft) { return ParseNumber(value, kMaxWeights, &draft->rows); }},
      {"--cols", "K", "columns of that matrix",
       [](std::string_view value, Draft* draft) { return ParseNumber(value, kMaxWeights, &draft->cols); }},
      {"--explain", nullptr, "print which kernel serves each format and N, and why; multiplies nothing",
       [](std::string_view, Draft* draft) { return draft->explain = true; }},
      {"--json", nullptr, "print JSON instead of a table",
       [](std::string_view, Draft* draft) { return draft->json = true; }},
      {"--help", nullptr, "print this", [](std::string_view, Draft* draft) { return draft->help = true; }},
  };
  return table;
}

std::string ParseArguments(int argc, const char* const* argv, Draft* draft) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const Option* option = nullptr;
    for (const Option& o : OptionTable()) {
      if (argument == o.name) option = &o;
    }
    if (option == nullptr) return fmt::format("unknown option '{}'", argument);
    if (option->value != nullptr && i + 1 == argc) return fmt::format("{} needs a value: {}", argument, option->help);
    const std::string_view value = option->value != nullptr ? argv[++i] : "";
    if (!option->parse(value, draft)) return fmt::format("{} '{}' is not valid: {}", argument, value, option->help);
  }
  return "";
}

std::string CheckWeights(const Draft& draft) {
  const bool has_shape = draft.rows != 0 && draft.cols != 0;
  if (draft.weights.empty()) return draft.rows + draft.cols != 0 ? "--rows and --cols belong to --weights" : "";
  if (!has_shape) return "--weights needs --rows and --cols";
  if (!draft.shapes.empty()) return "--weights and --shape exclude each other";
  if (draft.rows > kMaxWeights / draft.cols) return fmt::format("--rows times --cols is above {}", kMaxWeights);
  return "";
}

void AddDefaults(Draft* draft) {
  if (!draft->weights.empty()) {
    const std::size_t slash = draft->weights.find_last_of('/');
    draft->shapes = {{draft->rows, draft->cols, draft->weights.substr(slash + 1)}};  // npos + 1 is 0
  } else if (draft->shapes.empty()) {
    draft->shapes = {{4096, 4096, "Llama-2-7B, attention"},
                     {11008, 4096, "Llama-2-7B, gate and up"},
                     {8640, 3200, "BitNet-3B, gate and up"}};
  }
  if (draft->tokens.empty()) draft->tokens = {1, 128};
  if (draft->target == nullptr) draft->target = *RunnableTargets().begin();
  if (draft->formats.empty()) {
    for (const FormatInfo& f : kFormats) draft->formats.push_back(f.format);
  }
}

}  // namespace

std::string ParseOptions(int argc, const char* const* argv, Options* options) {
  Draft draft;
  std::string error = ParseArguments(argc, argv, &draft);
  if (error.empty() && !draft.help) error = CheckWeights(draft);
  AddDefaults(&draft);
  *options = static_cast<const Options&>(draft);
  return error;
}

std::string Usage() {
  std::string text =
      "Multiplies low-bit weights with float activations by table lookup, checks the results and times them against\n"
      "plain float weights: y[N x M] = x[N x K] * W[M x K]^T. Without options: layers of two language models.\n\n";
  for (const Option& o : OptionTable()) {
    text += fmt::format("  {:<20} {}\n", fmt::format("{} {}", o.name, o.value == nullptr ? "" : o.value), o.help);
  }
  return text;
}

}  // namespace lutra::examples
