// What a loaded model holds; shared by its workers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "verge/base/file.hpp"
#include "verge/data_processing/custom_steps.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::processing {

struct LoadedModel::State {
  package::ModelPackage package;
  std::shared_ptr<Session> session;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<std::size_t> engine_inputs;   ///< Engine's number of the package's input i.
  std::vector<std::size_t> engine_outputs;  ///< The same for outputs.
  EngineChoice choice;
  ImageLimits image_limits;
  bool takes_image = false;
  std::shared_ptr<data_processing::CustomSteps> steps;  ///< Null: the package has none.
  std::shared_ptr<const TemporaryFolder> scratch;       ///< That the package lies in; null: it stays by itself.
};

/// Measures `engine`, or every engine that reads the package when it is "auto", with every setting that the options
/// leave open; or takes what was measured before. Errors: failed_precondition (VRG-MDL-001).
Result<EngineChoice> choose_engine(const package::ModelPackage& package, EngineCatalogue& engines,
                                   const LoadOptions& options, std::string_view engine);

}  // namespace verge::processing
