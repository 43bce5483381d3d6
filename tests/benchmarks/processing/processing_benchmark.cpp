// Decoding and preprocessing of a real JPEG, against what a program does with libjpeg-turbo and OpenCV by hand.
// VERGE_BENCH_JPEG names the picture.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <jpeglib.h>

#include <benchmark/benchmark.h>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "verge/base/file.hpp"
#include "verge/processing/image_decoder.hpp"
#include "verge/processing/postprocessor.hpp"
#include "verge/processing/preprocessor.hpp"

namespace verge::processing {
namespace {

constexpr int kSide = 224;

const std::vector<std::byte>& picture() {
  static const std::vector<std::byte> content = [] {
    const char* path = std::getenv("VERGE_BENCH_JPEG");
    auto read = read_file(path == nullptr ? "../shared/data/images/det/cats_and_dogs.jpg" : path, 64U << 20U);
    if (!read) {
      std::fprintf(stderr, "%s; set VERGE_BENCH_JPEG to a JPEG\n", read.error().text().c_str());
      std::exit(2);
    }
    return std::move(*read);
  }();
  return content;
}

void decode_plainly(cv::Mat& out) {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(picture().data()), picture().size());
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_EXT_RGB;
  jpeg_start_decompress(&info);
  out.create(static_cast<int>(info.output_height), static_cast<int>(info.output_width), CV_8UC3);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = out.ptr(static_cast<int>(info.output_scanline));
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
}

Preprocessor make_preprocessor(const char* resize, DataType type) {
  const std::string yaml = "{version: 1, sample: image, steps: [{resize: {width: 224, height: 224, " +
                           std::string(resize) + "}}" +
                           (type == DataType::fp32 ? ", {normalise: {scale: 0.00392156862745098}}" : "") + "]}";
  const auto node = wire::parse_yaml(yaml, "bench.yaml");
  const auto definition = wire::read_preprocessing(*node, wire::Place("bench.yaml"));
  auto made = Preprocessor::compile(*definition, "bench.yaml", {"in", type, {1, kSide, kSide, 3}, {}});
  if (!made) std::abort();
  return std::move(*made);
}

void by_hand(benchmark::State& state, int interpolation) {
  cv::setNumThreads(1);
  cv::Mat decoded;
  cv::Mat small;
  cv::Mat input;
  for (auto _ : state) {
    decode_plainly(decoded);
    cv::resize(decoded, small, {kSide, kSide}, 0, 0, interpolation);
    small.convertTo(input, CV_32F, 1.0 / 255);
    benchmark::DoNotOptimize(input.data);
  }
}

void ours(benchmark::State& state, const char* resize, bool decodes, bool scaled) {
  Preprocessor preprocessor = make_preprocessor(resize, DataType::fp32);
  std::vector<float> memory(kSide * kSide * 3);
  const TensorView input{DataType::fp32, preprocessor.input_shape(), reinterpret_cast<std::byte*>(memory.data()),
                         memory.size() * sizeof(float)};
  ImageDecoder decoder;
  Image image;
  const ScaleHint hint = scaled ? preprocessor.scale_hint() : ScaleHint{};
  auto size = decoder.decode(picture(), PixelFormat::rgb, image, hint);
  if (!size) std::abort();
  for (auto _ : state) {
    if (decodes) size = decoder.decode(picture(), PixelFormat::rgb, image, hint);
    if (!size || !preprocessor.run(image.view(), *size, input)) std::abort();
    benchmark::DoNotOptimize(memory.data());
  }
}

void resize_by_hand(benchmark::State& state, int interpolation) {
  cv::setNumThreads(1);
  cv::Mat decoded;
  decode_plainly(decoded);
  cv::Mat small;
  cv::Mat input;
  for (auto _ : state) {
    cv::resize(decoded, small, {kSide, kSide}, 0, 0, interpolation);
    small.convertTo(input, CV_32F, 1.0 / 255);
    benchmark::DoNotOptimize(input.data);
  }
}

void yolo(benchmark::State& state) {
  const auto node =
      wire::parse_yaml("{version: 1, steps: [{yolo_grid: {}}, {score_threshold: {score: 0.3}}, {nms: {}}]}", "b");
  const std::vector<TensorSpec> outputs{{"out", DataType::fp32, {1, 3549, 85}, {}}};
  auto made = Postprocessor::compile(*wire::read_postprocessing(*node, wire::Place("b")), "b", {},
                                     {"in", DataType::fp32, {1, 3, 416, 416}, {}}, outputs);
  if (!made) std::abort();
  std::vector<float> values(std::size_t{3549} * 85, 0.1F);
  for (std::size_t i = 0; i < 3549; i += 40) values[i * 85 + 4] = values[i * 85 + 20] = 0.9F;
  const TensorView view{DataType::fp32, outputs[0].shape, reinterpret_cast<std::byte*>(values.data()),
                        values.size() * 4};
  const Placement placement{1, 1, 0, 0, 416, 416, 416, 416, 0, 0, 416, 416};
  Prediction prediction;
  for (auto _ : state) {
    if (!made->run(std::span(&view, 1), placement, prediction)) std::abort();
  }
}

void mask(benchmark::State& state, const char* options) {
  const auto node =
      wire::parse_yaml("{version: 1, steps: [{segmentation: {method: argmax, " + std::string(options) + "}}]}", "b");
  const std::vector<TensorSpec> outputs{{"out", DataType::fp32, {1, 257, 257, 21}, {}}};
  auto made = Postprocessor::compile(*wire::read_postprocessing(*node, wire::Place("b")), "b", {},
                                     {"in", DataType::fp32, {1, 257, 257, 3}, {}}, outputs);
  if (!made) std::abort();
  std::vector<float> values(std::size_t{257} * 257 * 21);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t x = i / 21 % 257;
    values[i] = i % 21 == x / 60 ? 5.0F : static_cast<float>(i % 7) / 7;
  }
  const TensorView view{DataType::fp32, outputs[0].shape, reinterpret_cast<std::byte*>(values.data()),
                        values.size() * 4};
  const Placement placement{257.0F / 1200, 257.0F / 600, 0, 0, 1200, 600, 257, 257, 0, 0, 257, 257};
  Prediction prediction;
  for (auto _ : state) {
    if (!made->run(std::span(&view, 1), placement, prediction)) std::abort();
  }
}

BENCHMARK_CAPTURE(by_hand, decode_and_cv_linear, cv::INTER_LINEAR)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(by_hand, decode_and_cv_area, cv::INTER_AREA)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ours, decode_and_linear, "antialias: false", true, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ours, decode_and_antialiased, "antialias: true", true, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ours, scaled_decode_and_antialiased, "antialias: true", true, true)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(resize_by_hand, cv_linear, cv::INTER_LINEAR)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(resize_by_hand, cv_area, cv::INTER_AREA)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ours, linear, "antialias: false", false, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ours, area, "interpolation: area", false, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ours, antialiased_bilinear, "antialias: true", false, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ours, antialiased_bicubic, "interpolation: bicubic", false, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ours, nearest, "interpolation: nearest", false, false)->Unit(benchmark::kMicrosecond);
BENCHMARK(yolo)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(mask, nearest, "interpolation: nearest")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(mask, bilinear, "interpolation: bilinear")->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace verge::processing

BENCHMARK_MAIN();
