// From the bytes of a picture to the prediction, nothing is allocated once a size has been seen.
#include <cstdint>

#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/processing/image_decoder.hpp"
#include "verge/processing/postprocessor.hpp"
#include "verge/processing/preprocessor.hpp"
#include "verge/processing/rendering.hpp"
#include "verge/test_support/allocation_counter.hpp"
#include "verge/test_support/test_data.hpp"

namespace verge::processing {
namespace {

struct Model {
  const char* name;
  const char* preprocessing;
  const char* postprocessing;
  TensorSpec input;
  std::vector<TensorSpec> outputs;
};

TensorSpec tensor(const char* name, DataType type, std::vector<std::int64_t> shape,
                  std::optional<Quantisation> quantisation = {}) {
  return {name, type, std::move(shape), quantisation};
}

std::vector<Model> models() {
  return {
      {"classes",
       "{version: 1, sample: image, steps: [{resize: {width: 224, height: 224, mode: centre_crop}}]}",
       "{version: 1, steps: [{softmax: {}}, {top_k: {}}]}",
       tensor("in", DataType::uint8, {1, 224, 224, 3}),
       {tensor("out", DataType::uint8, {1, 1001}, Quantisation{1.0F / 256, 0})}},
      {"sampled",
       "{version: 1, sample: image, steps: [{resize: {width: 96, height: 96, interpolation: bicubic, antialias: "
       "false}}, "
       "{normalise: {mean: [127.5], std: [127.5]}}, {layout: nchw}]}",
       "{version: 1, steps: [{dequantise: {}}]}",
       tensor("in", DataType::fp16, {1, 3, 96, 96}),
       {tensor("out", DataType::int8, {1, 10}, Quantisation{0.5F, 3})}},
      {"mask",
       "{version: 1, sample: image, steps: [{decode: {colour: bgr}}, {resize: {width: 64, height: 64, mode: letterbox, "
       "interpolation: area}}, "
       "{normalise: {scale: 0.00392156862745098}}]}",
       "{version: 1, steps: [{softmax: {}}, {segmentation: {method: argmax, interpolation: bilinear}}]}",
       tensor("in", DataType::fp32, {1, 64, 64, 3}),
       {tensor("out", DataType::fp32, {1, 64, 64, 5})}},
      {"boxes",
       "{version: 1, sample: image, steps: [{resize: {width: 416, height: 416, mode: fit, pad: [114]}}, {layout: "
       "nchw}]}",
       "{version: 1, steps: [{yolo_grid: {}}, {score_threshold: {score: 0.3}}, {nms: {}}]}",
       tensor("in", DataType::fp32, {1, 3, 416, 416}),
       {tensor("out", DataType::fp32, {1, 3549, 85})}},
      {"detections",
       "{version: 1, sample: image, steps: [{resize: {width: 300, height: 300}}]}",
       "{version: 1, steps: [{ssd_detections: {}}, {nms: {}}]}",
       tensor("in", DataType::uint8, {1, 300, 300, 3}),
       {tensor("b", DataType::fp32, {1, 10, 4}), tensor("c", DataType::fp32, {1, 10}),
        tensor("s", DataType::fp32, {1, 10}), tensor("n", DataType::fp32, {1})}},
  };
}

/// Outputs with something to do in them: spread over 0 … 1.
std::vector<std::vector<std::byte>> make_outputs(const Model& model) {
  std::vector<std::vector<std::byte>> memory;
  std::uint32_t state = 1;
  for (const TensorSpec& spec : model.outputs) {
    std::vector<float> values(*element_count(spec.shape));
    for (float& value : values) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<float>(state >> 8U) / 16777216.0F;
    }
    std::vector<std::byte> bytes(values.size() * size_bytes(spec.datatype));
    const TensorView view{spec.datatype, spec.shape, bytes.data(), bytes.size()};
    EXPECT_TRUE(store_values(values, spec.quantisation, view));
    memory.push_back(std::move(bytes));
  }
  return memory;
}

void expect_no_allocation(const Model& model, std::span<const std::byte> picture) {
  const auto pre_node = wire::parse_yaml(model.preprocessing, "preprocessing.yaml");
  const auto post_node = wire::parse_yaml(model.postprocessing, "postprocessing.yaml");
  ASSERT_TRUE(pre_node && post_node);
  auto preprocessor = Preprocessor::compile(*wire::read_preprocessing(*pre_node, wire::Place("p")), "p", model.input);
  ASSERT_TRUE(preprocessor) << preprocessor.error().text();
  auto postprocessor = Postprocessor::compile(*wire::read_postprocessing(*post_node, wire::Place("p")), "p", {},
                                              model.input, model.outputs);
  ASSERT_TRUE(postprocessor) << postprocessor.error().text();
  auto memory = make_outputs(model);
  std::vector<TensorView> outputs;
  for (std::size_t i = 0; i < memory.size(); ++i) {
    outputs.push_back({model.outputs[i].datatype, model.outputs[i].shape, memory[i].data(), memory[i].size()});
  }
  std::vector<std::byte> input_memory(*element_count(model.input.shape) * size_bytes(model.input.datatype));
  const TensorView input{model.input.datatype, model.input.shape, input_memory.data(), input_memory.size()};
  ImageDecoder decoder;
  Image image;
  Image overlay;
  Prediction prediction;
  const auto frame = [&] {
    const auto size = decoder.decode(picture, preprocessor->colour(), image, preprocessor->scale_hint());
    if (!size) return false;
    const auto placement = preprocessor->run(image.view(), *size, input);
    if (!placement || !postprocessor->run(outputs, *placement, prediction)) return false;
    draw_overlay(image.view(), prediction, postprocessor->palette(), overlay);
    return true;
  };
  ASSERT_TRUE(frame() && frame()) << model.name;
  const test::AllocationCounter counter;
  const bool fine = frame() && frame();
  const long allocations = counter.count();
  EXPECT_TRUE(fine);
  EXPECT_EQ(allocations, 0) << model.name;
}

TEST(Allocation, NoneForJpegsAndPngs) {
  VERGE_TEST_DATA_OR_SKIP(data);
  ImageDecoder decoder;
  Image image;
  for (const char* name : {"images/parrot.jpg", "images/det/kite_and_cold.jpg", "images/cat.bmp"}) {
    const auto content = read_file(data / name, 16U << 20U);
    ASSERT_TRUE(content) << name;
    for (const Model& model : models()) expect_no_allocation(model, *content);
  }
  const auto content = read_file(data / "images/parrot.jpg", 16U << 20U);
  ASSERT_TRUE(decoder.decode(*content, PixelFormat::rgb, image));
  const auto png = encode_png(image.view());
  ASSERT_TRUE(png);
  for (const Model& model : models()) expect_no_allocation(model, *png);
}

TEST(Allocation, TheCounterCounts) {
  const test::AllocationCounter counter;
  std::vector<int> grown(100);
  const long allocations = counter.count();
  EXPECT_GE(allocations, 1);
  EXPECT_EQ(grown.size(), 100U);
}

}  // namespace
}  // namespace verge::processing
