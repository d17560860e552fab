// Quantizes the linear layers of a network that reads text, and compares what it reads:
// ocr_accuracy FOLDER FONTS [FORMAT...]
// FOLDER is what cmake/fetch.sh ocr writes; FONTS is Debian's folder of DejaVu fonts.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "linear_layers.h"
#include "lutra/eigen/gptq.h"
#include "lutra/lutra.h"
#include "onnxruntime_cxx_api.h"
#include "text_lines.h"

namespace {

constexpr std::size_t kLines = 24, kCalibrationLines = 16, kGroup = 32;

void ThrowIfFailed(const lutra::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.message());
}

// --- Running a model.

class Network {
 public:
  explicit Network(const onnx::ModelProto& model) : session_(nullptr), input_(model.graph().input(0).name()) {
    static const Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "lutra");
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    options.RegisterCustomOpsLibrary(LUTRA_ONNXRUNTIME_OP);
    const std::string bytes = model.SerializeAsString();
    session_ = Ort::Session(env, bytes.data(), bytes.size(), options);
    for (const onnx::ValueInfoProto& output : model.graph().output()) outputs_.push_back(output.name());
  }
  const std::vector<std::string>& outputs() const { return outputs_; }
  std::vector<Ort::Value> Run(const ocr::Image& image) {
    const std::int64_t shape[] = {1, ocr::Image::kChannels, ocr::Image::kRows,
                                  static_cast<std::int64_t>(image.columns)};
    const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    Ort::Value x =
        Ort::Value::CreateTensor<float>(memory, const_cast<float*>(image.pixels.data()), image.pixels.size(), shape, 4);
    const char* const input = input_.c_str();
    std::vector<const char*> outputs;
    for (const std::string& name : outputs_) outputs.push_back(name.c_str());
    return session_.Run(Ort::RunOptions(), &input, &x, 1, outputs.data(), outputs.size());
  }

 private:
  Ort::Session session_;
  std::string input_;
  std::vector<std::string> outputs_;
};

// What the network says of a line: probabilities [steps x characters], and the best character of each step.
struct Reading {
  std::vector<float> probabilities;
  std::vector<std::size_t> best;
};
Reading Read(Network& network, const ocr::Image& image) {
  const std::vector<Ort::Value> y = network.Run(image);
  const std::vector<std::int64_t> shape = y[0].GetTensorTypeAndShapeInfo().GetShape();
  const auto steps = static_cast<std::size_t>(shape[1]), characters = static_cast<std::size_t>(shape[2]);
  const float* const data = y[0].GetTensorData<float>();
  Reading reading;
  reading.probabilities.assign(data, data + steps * characters);
  for (std::size_t step = 0; step < steps; ++step) {
    const float* const row = data + step * characters;
    reading.best.push_back(static_cast<std::size_t>(std::max_element(row, row + characters) - row));
  }
  return reading;
}
// The text of a reading: repeated characters once, character 0 (none) and spaces at the ends left out.
std::string TextOf(const Reading& reading, const std::vector<std::string>& characters) {
  std::string text;
  std::size_t last = 0;
  for (const std::size_t best : reading.best) {
    if (best != last && best != 0) text += best <= characters.size() ? characters[best - 1] : " ";
    last = best;
  }
  const std::size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

// --- Quantizing its layers.

// x^T * x of each layer, over the calibration lines.
std::vector<std::vector<float>> HessiansOf(const onnx::ModelProto& model, const std::vector<ocr::LinearLayer>& layers,
                                           const std::vector<ocr::Image>& images) {
  Network network(ocr::WithInputsAsOutputs(model, layers));
  std::vector<std::vector<float>> hessians;
  for (const ocr::LinearLayer& layer : layers) hessians.emplace_back(layer.k * layer.k);
  for (const ocr::Image& image : images) {
    const std::vector<Ort::Value> outputs = network.Run(image);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const auto name = std::find(network.outputs().begin(), network.outputs().end(), layers[i].input);
      const Ort::Value& x = outputs[static_cast<std::size_t>(name - network.outputs().begin())];
      const std::size_t size = x.GetTensorTypeAndShapeInfo().GetElementCount();
      const std::vector<float> rows = ocr::RowsOf(layers[i], x.GetTensorData<float>(), size);
      lutra::AddToHessian(rows.data(), size / layers[i].k, layers[i].k, layers[i].k, hessians[i].data());
    }
  }
  return hessians;
}

struct Way {
  const char* name;
  lutra::Fit fit;
  bool gptq;
};
constexpr Way kWays[] = {{"nearest", lutra::Fit::kRange, false},
                         {"search", lutra::Fit::kLeastError, false},
                         {"GPTQ", lutra::Fit::kLeastError, true}};

onnx::ModelProto Quantized(const onnx::ModelProto& model, const std::vector<ocr::LinearLayer>& layers,
                           const std::vector<std::vector<float>>& hessians, lutra::Format format, const Way& way) {
  lutra::QuantizeOptions options;
  options.format = format;
  options.group = kGroup;
  options.scale_type = lutra::DataType::kF32;
  options.zero_kind = lutra::ZeroKind::kPoint;
  options.zero_type = lutra::DataType::kUInt4;
  options.fit = way.fit;
  std::vector<lutra::QuantizedMatrix> weights(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const ocr::LinearLayer& l = layers[i];
    ThrowIfFailed(
        way.gptq ? lutra::QuantizeGptq(l.weights.data(), l.m, l.k, l.k, options, hessians[i].data(), {}, &weights[i])
                 : lutra::Quantize(l.weights.data(), l.m, l.k, l.k, options, &weights[i]));
  }
  return ocr::WithQuantizedLayers(model, layers, weights);
}

// --- Comparing.

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    ab += double{a[i]} * b[i], aa += double{a[i]} * a[i], bb += double{b[i]} * b[i];
  return ab / std::sqrt(aa * bb);
}

struct Test {
  std::vector<std::string> lines, characters;
  std::vector<ocr::Image> images;
  std::vector<Reading> expected;  // by the network in f32
};
void Compare(const char* name, const Test& test, const onnx::ModelProto& model) {
  Network network(model);
  std::size_t right = 0, same = 0, steps = 0;
  double cosine = 0;
  for (std::size_t i = 0; i < test.images.size(); ++i) {
    const Reading reading = Read(network, test.images[i]);
    right += TextOf(reading, test.characters) == test.lines[i] ? 1 : 0;
    for (std::size_t step = 0; step < reading.best.size(); ++step) {
      same += reading.best[step] == test.expected[i].best[step] ? 1 : 0;
    }
    steps += reading.best.size();
    cosine += Cosine(reading.probabilities, test.expected[i].probabilities) / static_cast<double>(test.images.size());
  }
  std::printf("%-16s %10zu/%zu %10.2f %% %10.5f\n", name, right, test.lines.size(),
              100.0 * static_cast<double>(same) / static_cast<double>(steps), cosine);
}

std::vector<ocr::Image> Draw(const std::vector<std::string>& lines, const std::string& fonts) {
  const char* const kFonts[] = {"DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "DejaVuSans-Bold.ttf"};
  std::vector<ocr::Image> images;
  for (const std::string& line : lines) {
    images.push_back(ocr::Draw(line, fonts + "/" + kFonts[images.size() % 4]));
    if (images.back().columns == 0) throw std::runtime_error("cannot read fonts in " + fonts);
  }
  return images;
}

// The formats of these names; without names, all of two to four bits.
std::vector<lutra::Format> FormatsOf(char** begin, char** end) {
  const std::vector<lutra::Format> all = {lutra::Format::kInt4, lutra::Format::kInt3, lutra::Format::kInt2};
  std::vector<lutra::Format> formats;
  for (char** name = begin; name != end; ++name) {
    const auto format =
        std::find_if(all.begin(), all.end(), [&](lutra::Format f) { return lutra::Name(f) == std::string(*name); });
    if (format == all.end()) throw std::runtime_error(std::string(*name) + " is not int4, int3 or int2");
    formats.push_back(*format);
  }
  return formats.empty() ? all : formats;
}

void Run(const std::string& folder, const std::string& fonts, const std::vector<lutra::Format>& formats) {
  onnx::ModelProto model;
  std::ifstream file(folder + "/recognizer.onnx", std::ios::binary);
  if (!model.ParseFromIstream(&file)) throw std::runtime_error("cannot read " + folder + "/recognizer.onnx");
  Test test;
  std::ifstream characters(folder + "/characters.txt");
  for (std::string line; std::getline(characters, line);) test.characters.push_back(line);

  const std::vector<ocr::LinearLayer> layers = ocr::FindLinearLayers(model, 32);
  std::size_t weights = 0;
  for (const ocr::LinearLayer& layer : layers) weights += layer.weights.size();
  std::printf("%zu linear layers with %zu weights, in groups of %zu, x in 8 bits\n", layers.size(), weights, kGroup);
  const std::vector<std::vector<float>> hessians =
      HessiansOf(model, layers, Draw(ocr::RandomLines(kCalibrationLines, 1), fonts));

  test.lines = ocr::RandomLines(kLines, 2);
  test.images = Draw(test.lines, fonts);
  Network network(model);
  for (const ocr::Image& image : test.images) test.expected.push_back(Read(network, image));
  std::printf("%-16s %13s %12s %10s\n", "", "lines right", "as in f32", "cosine");
  Compare("f32", test, model);
  for (const lutra::Format format : formats) {
    for (const Way& way : kWays) {
      const std::string name = std::string(lutra::Name(format)) + " " + way.name;
      Compare(name.c_str(), test, Quantized(model, layers, hessians, format, way));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: ocr_accuracy FOLDER FONTS [int4|int3|int2...]\n");
    return 2;
  }
  try {
    Run(argv[1], argv[2], FormatsOf(argv + 3, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ocr_accuracy: %s\n", error.what());
    return 1;
  }
  return 0;
}
