// Prediction: what comes out of the processing of one sample.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/processing/tensor.hpp"

namespace verge::processing {

/// A class with its score. `label` points into the postprocessor that made it and lives as long.
struct ClassScore {
  int class_index = 0;
  float score = 0;
  std::string_view label;  ///< Empty when the package has no labels.
};

/// An object in the picture. Corners in source pixels, clipped to the picture.
struct Box {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  int class_index = 0;
  float score = 0;
  std::string_view label;
};

/// Part of the picture that one class covers.
struct ClassArea {
  int class_index = 0;
  float fraction = 0;  ///< 0 … 1.
  std::string_view label;
};

/// A class number for each pixel, row by row.
struct Mask {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> classes;  ///< width × height; kept when the mask shrinks.
};

/// How far a sample is from what is normal.
struct Anomaly {
  float error = 0;  ///< Mean squared error of the reconstruction.
  float threshold = 0;
  bool found = false;       ///< The error is above the threshold.
  std::size_t windows = 0;  ///< Of the sample.
};

/// A number with its name, which points into the postprocessor that made it.
struct NamedValue {
  std::string_view name;
  float value = 0;
};

enum class PredictionKind : std::uint8_t { tensors, classes, boxes, mask, anomaly, values, custom };
[[nodiscard]] std::string_view name(PredictionKind kind) noexcept;

/// Result of one sample. Reused from sample to sample, it allocates nothing once it has grown.
struct Prediction {
  PredictionKind kind = PredictionKind::tensors;
  std::vector<ClassScore> classes;      ///< kind classes: the best first.
  std::vector<Box> boxes;               ///< kind boxes: the best first.
  Mask mask;                            ///< kind mask.
  std::vector<ClassArea> areas;         ///< kind mask: classes that occur, the largest first.
  Anomaly anomaly;                      ///< kind anomaly.
  std::vector<NamedValue> values;       ///< kind values: in the order of the output.
  std::string_view custom;              ///< kind custom: a JSON object; lives as long as the labels.
  std::span<const TensorView> tensors;  ///< The model's outputs, valid until its next run.
  std::span<const TensorSpec> tensor_specs;

  /// Nothing found, of this kind. Keeps the memory; a mask and an anomaly stay to be written over.
  void begin(PredictionKind next) {
    kind = next;
    classes.clear();
    boxes.clear();
    areas.clear();
    values.clear();
    custom = {};
    tensors = {};
    tensor_specs = {};
  }
};

/// Red, green, blue of a class.
struct Colour {
  std::uint8_t red = 0, green = 0, blue = 0;
};
/// Colour of a class in the PASCAL VOC palette; class 0 is black.
[[nodiscard]] Colour palette_colour(int class_index) noexcept;

/// Appends the prediction as a JSON object without braces: `"kind":"classes","classes":[…]`. Allocates only when `out`
/// has to grow. Masks are written as size and areas, not as pixels; tensors with their values.
void append_json(const Prediction& prediction, std::string& out);
/// Appends a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string_view text, std::string& out);

}  // namespace verge::processing
