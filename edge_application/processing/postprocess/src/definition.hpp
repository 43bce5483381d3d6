// Definition: the declared steps, checked against the model's outputs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/image.hpp"
#include "verge/processing/prediction.hpp"
#include "verge/processing/tensor.hpp"
#include "verge/wire/postprocessing.hpp"

namespace verge::processing {

enum class Activation : std::uint8_t { none, softmax, sigmoid };

struct TopK {
  std::size_t output = 0;
  std::size_t k = 5;
};
struct Segmentation {
  std::size_t output = 0;
  wire::SegmentationStep step;
};
struct SsdDetections {
  std::size_t boxes = 0, classes = 1, scores = 2, count = 3;
};
/// Centre and size of an anchor, as parts of the picture.
struct Anchor {
  float x = 0, y = 0, width = 0, height = 0;
};
struct SsdBoxes {
  std::size_t boxes = 0, scores = 1;
  std::vector<Anchor> anchors;
  std::array<float, 4> scale{10, 10, 5, 5};
  Activation activation = Activation::sigmoid;
  bool background = true;
};
/// A cell of a YOLO head.
struct GridCell {
  float x = 0, y = 0, stride = 1, anchor_width = 0, anchor_height = 0;
};
struct YoloGrid {
  std::size_t output = 0;
  wire::YoloGridStep step;
  Activation activation = Activation::none;
  std::vector<GridCell> cells;  ///< Of the model's size, row by row; empty when the boxes need no decoding.
};
/// score_threshold or nms, in the order of the definition.
struct BoxFilter {
  std::optional<float> least_score;
  wire::NmsStep nms;
};

struct ReconstructionError {
  std::size_t output = 0;
  wire::ReconstructionErrorStep step;
};
struct Values {
  std::size_t output = 0;
  std::vector<std::string> names;
};

/// A function of the package's own.
struct Custom {};

using FinalStep = std::variant<std::monostate, TopK, Segmentation, SsdDetections, SsdBoxes, YoloGrid,
                               ReconstructionError, Values, Custom>;

/// What the steps come to.
struct PostprocessingPlan {
  FinalStep final_step;
  std::vector<Activation> activations;  ///< For each output.
  bool converts = false;                ///< Kind tensors: real numbers are given instead of the raw tensors.
  std::vector<BoxFilter> filters;
  std::vector<TensorSpec> outputs;
  TensorSpec input;  ///< That the preprocessing fills.
  int label_offset = 0;
  std::vector<Colour> palette;
  ImageSize model{1, 1};  ///< Size of the model's picture.

  [[nodiscard]] PredictionKind kind() const noexcept;
};

/// Height, width and number of channels of a map, with its strides in elements.
struct MapShape {
  std::size_t height = 0, width = 0, channels = 0;
  std::size_t pixel_stride = 0, channel_stride = 0;
};
/// How the step reads a tensor of this shape; nothing when it does not fit. Variable dimensions do not fit.
std::optional<MapShape> map_shape(const wire::SegmentationStep& step, std::span<const std::int64_t> shape);

/// Rows and values a row of a detection head [1, rows, values] (or [rows, values]); nothing for another shape.
struct HeadShape {
  std::size_t rows = 0, values = 0;
};
std::optional<HeadShape> head_shape(std::span<const std::int64_t> shape, bool channels_first);

/// Most anchors or cells that a definition may ask for: far beyond any model, and still little memory.
inline constexpr std::uint64_t kMostAnchors = 1'000'000;
[[nodiscard]] std::uint64_t count_anchors(const wire::SsdAnchors& definition) noexcept;
[[nodiscard]] std::uint64_t count_cells(const wire::YoloGridStep& step, ImageSize model) noexcept;
/// The cells of a head on an input of this size; none when the boxes need no decoding.
void make_cells(const wire::YoloGridStep& step, ImageSize model, std::vector<GridCell>& cells);
/// The anchors of the TensorFlow object-detection SSD generator.
std::vector<Anchor> make_anchors(const wire::SsdAnchors& definition);

/// Errors: as Postprocessor::compile().
Result<PostprocessingPlan> check_definition(const wire::Postprocessing& definition, std::string_view origin,
                                            std::size_t label_count, const TensorSpec& model_input,
                                            std::span<const TensorSpec> outputs);

}  // namespace verge::processing
