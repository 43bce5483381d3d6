// Reading a model with OpenVINO's front ends, so that it says the same of its tensors as its file does.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <openvino/runtime/core.hpp>

#include "verge/engines/plugin.hpp"

namespace verge::engines::openvino {

/// A model ready to be compiled, and what Verge says of its tensors.
struct ReadModel {
  std::shared_ptr<ov::Model> model;
  std::vector<TensorDescription> inputs;
  std::vector<TensorDescription> outputs;
  std::vector<std::vector<std::int64_t>> initial_shapes;  ///< One for each input; -1 where it must be set.
};

/// Throws Failure: INVALID_ARGUMENT (no such file, wrong extension), UNSUPPORTED (operators), CORRUPT.
ReadModel read_model(ov::Core& core, const std::string& path, std::string_view format);

/// Throws Failure(UNSUPPORTED) for types that the ABI lacks.
verge_engine_datatype datatype_of(const ov::element::Type& type);
ov::element::Type element_type_of(verge_engine_datatype datatype);
/// -1 for a variable dimension. Throws Failure(UNSUPPORTED) when even the rank is variable.
std::vector<std::int64_t> shape_of(const ov::PartialShape& shape);
ov::Shape shape_from(std::span<const std::int64_t> shape);

}  // namespace verge::engines::openvino
