// From a JPEG to a label: the agent's path against the shortest that can be written by hand, in turns, in one run.
//
//   bench_model PACKAGE JPEG [ENGINE] [THREADS] [RUNS]
//
// By hand: libjpeg-turbo decodes the whole picture, cv::resize makes it 224 × 224 (once bilinear, which skips pixels,
// and once by area, which is antialiased as Verge is), a plain loop writes the model's input, the same engine with the
// same threads infers, a loop finds the best class. Prints one JSON object: p50 in microseconds, and the ratios to
// both.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <jpeglib.h>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "verge/base/file.hpp"
#include "verge/package/model_package.hpp"
#include "verge/processing/loaded_model.hpp"

namespace {

using namespace verge;
using Clock = std::chrono::steady_clock;

/// Decodes with a decompressor that is made once, as a careful programmer would.
class PlainJpeg {
 public:
  PlainJpeg() {
    info_.err = jpeg_std_error(&errors_);
    jpeg_create_decompress(&info_);
  }
  ~PlainJpeg() { jpeg_destroy_decompress(&info_); }
  PlainJpeg(const PlainJpeg&) = delete;
  PlainJpeg& operator=(const PlainJpeg&) = delete;

  void decode(std::span<const std::byte> content, cv::Mat& out) {
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(content.data()), content.size());
    jpeg_read_header(&info_, TRUE);
    info_.out_color_space = JCS_EXT_RGB;
    jpeg_start_decompress(&info_);
    out.create(static_cast<int>(info_.output_height), static_cast<int>(info_.output_width), CV_8UC3);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = out.ptr(static_cast<int>(info_.output_scanline));
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
  }

 private:
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
};

/// Writes pixels as the model wants them: as they are (UINT8, NHWC) or (p - 127) / 128 (FP32, NCHW).
void fill(const cv::Mat& pixels, const processing::TensorView& input) {
  if (input.datatype == processing::DataType::uint8) {
    std::memcpy(input.data, pixels.data, input.size_bytes);
    return;
  }
  const auto out = input.as<float>();
  const auto plane = static_cast<std::size_t>(pixels.rows) * static_cast<std::size_t>(pixels.cols);
  const std::uint8_t* in = pixels.data;
  for (std::size_t i = 0; i < plane; ++i) {
    for (std::size_t c = 0; c < 3; ++c) out[c * plane + i] = (static_cast<float>(in[3 * i + c]) - 127.0F) / 128.0F;
  }
}

int best_class(const processing::TensorView& output) {
  if (output.datatype == processing::DataType::uint8) {
    const auto values = output.as<std::uint8_t>();
    return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
  }
  const auto values = output.as<float>();
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

double median_us(std::vector<double>& values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int run(int argc, char** argv) {
  const auto content = read_file(argv[2], 1 << 28);
  auto package = package::open_folder(argv[1]);
  if (!content || !package) return std::fprintf(stderr, "cannot read the package or the picture\n"), 1;
  processing::LoadOptions options;
  options.engine = argc > 3 ? argv[3] : "";
  options.threads = argc > 4 ? static_cast<unsigned>(std::atoi(argv[4])) : 1;
  const int runs = argc > 5 ? std::atoi(argv[5]) : 200;
  processing::EngineCatalogue engines(processing::default_engine_folder());
  const auto model = processing::LoadedModel::load(std::move(*package), engines, options);
  if (!model) return std::fprintf(stderr, "%s\n", model.error().text().c_str()), 1;
  auto worker = (*model)->create_worker();
  auto raw = (*model)->create_worker();
  cv::setNumThreads(1);
  PlainJpeg jpeg;
  cv::Mat decoded;
  cv::Mat resized;
  std::vector<double> ours;
  std::vector<double> by_hand;
  std::vector<double> by_hand_area;
  int agreed = 0;
  const auto plain = [&](int interpolation) {
    jpeg.decode(*content, decoded);
    cv::resize(decoded, resized, {224, 224}, 0, 0, interpolation);
    fill(resized, *raw->input(0, (*model)->inputs()[0].shape));
    const auto outputs = raw->infer();
    return best_class((*outputs)[0]);
  };
  for (int i = -10; i < runs; ++i) {
    const auto start = Clock::now();
    const auto prediction = worker->predict_encoded(*content);
    const auto middle = Clock::now();
    const int best = plain(cv::INTER_LINEAR);
    const auto end = Clock::now();
    plain(cv::INTER_AREA);
    const auto area_end = Clock::now();
    if (i < 0) continue;
    by_hand_area.push_back(std::chrono::duration<double, std::micro>(area_end - end).count());
    ours.push_back(std::chrono::duration<double, std::micro>(middle - start).count());
    by_hand.push_back(std::chrono::duration<double, std::micro>(end - middle).count());
    agreed += (*prediction)->classes[0].class_index == best ? 1 : 0;
  }
  const double a = median_us(ours);
  const double b = median_us(by_hand);
  std::printf(
      "{\"model\":\"%s\",\"engine\":\"%s\",\"threads\":%u,\"runs\":%d,\"verge_p50_us\":%.1f,\"by_hand_p50_us\":%.1f,"
      "\"ratio\":%.3f,\"ratio_antialiased\":%.3f,\"same_label\":%d}\n",
      (*model)->package().metadata.name.c_str(), (*model)->choice().engine.c_str(), options.threads, runs, a, b, a / b,
      a / median_us(by_hand_area), agreed);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "bench_model PACKAGE JPEG [ENGINE] [THREADS] [RUNS]\n"), 2;
  return run(argc, argv);
}
