// Packages for the engine "fake", written as a test wants them: no vendor's library is needed to load them.
#pragma once

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/package/model_package.hpp"
#include "verge/processing/image_decoder.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::processing::test {

using Bytes = std::vector<std::byte>;

/// Values as the little-endian bytes of their type.
template <typename T>
Bytes bytes_of(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// A PNG of one colour, with its first pixels set to `first` (three values a pixel).
inline Bytes picture(int width, int height, std::uint8_t grey = 0, const std::vector<std::uint8_t>& first = {}) {
  Image image(width, height, PixelFormat::rgb);
  for (int y = 0; y < height; ++y) std::memset(image.row(y), grey, static_cast<std::size_t>(width) * 3);
  for (std::size_t i = 0; i < first.size(); ++i) {
    image.row(static_cast<int>(i) / (width * 3))[i % (static_cast<std::size_t>(width) * 3)] = first[i];
  }
  auto png = encode_png(image.view());
  EXPECT_TRUE(png);
  return png ? *png : Bytes();
}

/// What a package's files say.
struct FakePackage {
  std::string name = "sample";
  std::string version = "1.0.0";
  std::string task = "tensor";
  std::string engine = "fake";
  std::string inputs;   ///< Of metadata.json.
  std::string outputs;  ///< Of metadata.json.
  std::string model;    ///< In the engine's text format, without its first line.
  std::string preprocessing = "version: 1\nsample: tensor\nsteps: []\n";
  std::string postprocessing = "version: 1\nsteps: []\n";
  std::string labels;
  std::string golden;                         ///< The list of samples; empty: no golden file.
  std::map<std::string, Bytes> golden_files;  ///< By name.

  /// Writes the package into `folder`.
  void write(const std::filesystem::path& folder) const {
    const auto put = [&](const char* file, const std::string& text) {
      const auto written = write_file(folder / file, std::string_view(text));
      EXPECT_TRUE(written) << (written ? "" : written.error().text());
    };
    put("metadata.json", R"({"schema_version": 1, "name": ")" + name + R"(", "version": ")" + version +
                             R"(", "task": ")" + task + R"(", "engine": ")" + engine +
                             R"(", "model": {"file": "model_files/model.fake", "format": "fake"}, "inputs": )" +
                             inputs + R"(, "outputs": )" + outputs + "}");
    put("model_files/model.fake", "verge-fake 1\n" + model);
    put("preprocessing/preprocessing.yaml", preprocessing);
    put("postprocessing/postprocessing.yaml", postprocessing);
    if (!labels.empty()) put("postprocessing/labels.txt", labels);
    if (!golden.empty()) put("golden/golden.json", R"({"version": 1, "samples": )" + golden + "}");
    for (const auto& [file, content] : golden_files) EXPECT_TRUE(write_file(folder / "golden" / file, content));
  }
};

/// Four numbers in, the same out.
inline FakePackage numbers() {
  FakePackage package;
  package.inputs = R"([{"name": "x", "datatype": "FP32", "shape": [1, 4]}])";
  package.outputs = R"([{"name": "y", "datatype": "FP32", "shape": [1, 4]}])";
  package.model = "input x FP32 [1,4]\noutput y FP32 [1,4]\nfunction identity\n";
  return package;
}

/// A picture of 16 × 16; the scores of four classes are its first four values / 255.
inline FakePackage classifier() {
  FakePackage package;
  package.name = "classifier";
  package.task = "classification";
  package.inputs = R"([{"name": "picture", "datatype": "UINT8", "shape": [1, 16, 16, 3]}])";
  package.outputs = R"([{"name": "scores", "datatype": "UINT8", "shape": [1, 4],
                         "quantisation": {"scale": 0.00392156862745098, "zero_point": 0}}])";
  package.model =
      "input picture UINT8 [1,16,16,3]\noutput scores UINT8 [1,4] 0.00392156862745098 0\nfunction identity\n";
  package.preprocessing = "version: 1\nsample: image\nsteps:\n  - resize: { width: 16, height: 16 }\n";
  package.postprocessing = "version: 1\nlabels: labels.txt\nsteps:\n  - top_k: { k: 3 }\n";
  package.labels = "cat\ndog\nbird\nfish\n";
  return package;
}

/// A picture of 16 × 16; the mask is 1 where the picture's first 256 values are above the middle.
inline FakePackage segmenter() {
  FakePackage package = classifier();
  package.name = "segmenter";
  package.task = "segmentation";
  package.outputs = R"([{"name": "map", "datatype": "UINT8", "shape": [1, 16, 16, 1],
                         "quantisation": {"scale": 0.00392156862745098, "zero_point": 0}}])";
  package.model =
      "input picture UINT8 [1,16,16,3]\noutput map UINT8 [1,16,16,1] 0.00392156862745098 0\nfunction identity\n";
  package.postprocessing = "version: 1\nlabels: labels.txt\nsteps:\n  - segmentation: { method: threshold }\n";
  package.labels = "background\nthing\n";
  return package;
}

/// A picture of 16 × 16, and beside it the two detections that the model is to give.
inline FakePackage detector() {
  FakePackage package = classifier();
  package.name = "detector";
  package.task = "detection";
  const auto tensors = [](const char* suffix) {
    std::string text = R"([{"name": "picture)";
    text += suffix;
    text += R"(", "datatype": "UINT8", "shape": [1, 16, 16, 3]})";
    for (const auto& [name, shape] : std::map<std::string, std::string>{
             {"a_boxes", "[1, 2, 4]"}, {"b_classes", "[1, 2]"}, {"c_scores", "[1, 2]"}, {"d_count", "[1]"}}) {
      text += R"(, {"name": ")" + name + suffix + R"(", "datatype": "FP32", "shape": )" + shape + "}";
    }
    return text + "]";
  };
  package.inputs = tensors("");
  package.outputs = tensors("_out");
  package.model =
      "input picture UINT8 [1,16,16,3]\ninput a_boxes FP32 [1,2,4]\ninput b_classes FP32 [1,2]\n"
      "input c_scores FP32 [1,2]\ninput d_count FP32 [1]\n"
      "output picture_out UINT8 [1,16,16,3]\noutput a_boxes_out FP32 [1,2,4]\noutput b_classes_out FP32 [1,2]\n"
      "output c_scores_out FP32 [1,2]\noutput d_count_out FP32 [1]\nfunction identity\n";
  package.postprocessing =
      "version: 1\nlabels: labels.txt\nsteps:\n"
      "  - ssd_detections: { boxes: a_boxes_out, classes: b_classes_out, scores: c_scores_out, count: d_count_out }\n"
      "  - score_threshold: { score: 0.5 }\n";
  return package;
}

/// A temporary folder with packages, and the engines of the build tree.
class WithFakeEngine : public ::testing::Test {
 protected:
  WithFakeEngine() {
    auto made = TemporaryFolder::create("verge_test");
    EXPECT_TRUE(made);
    if (made) folder_ = std::make_unique<TemporaryFolder>(std::move(*made));
  }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_->path(); }

  /// Writes and opens a package; each call in a folder of its own.
  package::ModelPackage open(const FakePackage& files) {
    const auto path = folder() / ("package" + std::to_string(++count_));
    files.write(path);
    auto opened = package::open_folder(path);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().text());
    return opened ? std::move(*opened) : package::ModelPackage();
  }
  Result<std::shared_ptr<LoadedModel>> load(const FakePackage& files, const LoadOptions& options = {}) {
    return LoadedModel::load(open(files), engines_, options);
  }
  /// A worker of a model that has to load.
  Worker worker(const FakePackage& files) {
    auto model = load(files);
    if (!model) throw std::runtime_error(model.error().text());
    auto made = (*model)->create_worker();
    if (!made) throw std::runtime_error(made.error().text());
    return std::move(*made);
  }

  EngineCatalogue engines_{default_engine_folder()};

 private:
  std::unique_ptr<TemporaryFolder> folder_;
  int count_ = 0;
};

/// The error of a result that must have failed.
template <typename T>
std::string failure(const Result<T>& result) {
  return result ? std::string("(no error)") : result.error().text();
}

}  // namespace verge::processing::test
