// Keras import: models that no engine reads, by a Python program with TensorFlow in an environment of its own.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/wire/golden.hpp"

namespace verge::cli {

/// What is imported. Empty paths were not given.
struct KerasSource {
  std::filesystem::path model;  ///< .pb, .h5, .keras, .json, .yaml, or a SavedModel folder.
  std::filesystem::path weights;
  std::filesystem::path config;
  std::vector<std::filesystem::path> samples;
};

/// What the converter made.
struct KerasImport {
  std::filesystem::path model;            ///< What an engine reads; the source itself where that needs no conversion.
  std::vector<std::string> output_names;  ///< Order of the samples' outputs.
  wire::Golden golden;                    ///< Its files lie in the folder that was given.
  double largest_difference = 0;          ///< Between the source and the graph, in TensorFlow.
  std::string compared_with;              ///< "Keras", "TensorFlow"
};

/// Whether only the converter reads it.
[[nodiscard]] bool needs_converter(const KerasSource& source);

/// Makes the converter's environment: TensorFlow, 2.2 GB, by pip. Where it is, VERGE_IMPORT_KERAS (a folder) says, else
/// it lies in the user's data folder. Errors: unavailable (VRG-DRF-005).
Result<void> install_converter();

/// Converts into the folder `scratch`, and samples the source. Errors: failed_precondition (VRG-DRF-005) naming the
/// command that installs the converter, invalid_argument (VRG-DRF-006) with the converter's reason.
Result<KerasImport> import_keras(const KerasSource& source, const std::filesystem::path& scratch);

}  // namespace verge::cli
