// TfliteFile: what a .tflite file says of itself, read with every bound checked.
//
// Both engines that read TensorFlow Lite use it: LiteRT's runtime trusts its model once it is loaded, and OpenVINO's
// front end drops the quantisation of inputs and outputs and the shapes that the file begins with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "verge/engines/mapped_file.hpp"
#include "verge/engines/plugin.hpp"

namespace verge::engines {

/// An input or output of a .tflite model.
struct TfliteTensor {
  TensorDescription description;            ///< shape: -1 is variable.
  std::vector<std::int64_t> initial_shape;  ///< What the file begins with; a shape without dimensions may mean unknown.
};

/// Description of the main subgraph.
struct TfliteModel {
  std::vector<TfliteTensor> inputs;
  std::vector<TfliteTensor> outputs;
  std::vector<std::string> custom_operators;  ///< Names, each once, in the file's order.
  /// Weights of before 2019: signed values in a tensor marked UINT8, next to a float input.
  bool has_legacy_hybrid_weights = false;
};

/// Reads and checks a whole model: every table, vector and string lies inside the file, every index (tensor, buffer,
/// operator code, subgraph) exists, and constants are as large as their shapes say.
/// Throws Failure: CORRUPT, or UNSUPPORTED for element types that Verge does not know in an input or output.
TfliteModel read_tflite(std::span<const std::byte> file);

}  // namespace verge::engines
