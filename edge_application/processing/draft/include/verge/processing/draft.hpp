// Draft: a first package definition for a bare model file, with every guess spelled out.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/package/model_package.hpp"
#include "verge/processing/engine.hpp"

namespace verge::processing {

/// Something that a model file does not say, or says only to those who look.
struct Guess {
  std::string what;   ///< "layout"
  std::string value;  ///< "nhwc"
  std::string why;    ///< "the last dimension of [1,224,224,3] is 3"
  bool certain = false;
};

struct Draft {
  wire::Metadata metadata;
  wire::Preprocessing preprocessing;
  wire::Postprocessing postprocessing;
  std::vector<Guess> guesses;
  std::vector<std::pair<std::string, std::filesystem::path>> scripts;  ///< Place in the package, and where it lies now.
};

/// Format of a model file by its content and name, or folder (SavedModel). Errors: invalid_argument (VRG-DRF-001).
Result<wire::ModelFormat> model_format(const std::filesystem::path& model);

/// Loads the model in the first engine that reads it, looks at its tensors and at what one run gives, and drafts the
/// definition. `engine` empty: any. `inputs`: what a TorchScript file takes, which it does not say itself:
/// "x FP32 [1,3,224,224]"; else empty. Errors: those of model_format() and of the engines.
Result<Draft> draft_package(const std::filesystem::path& model, EngineCatalogue& engines, std::string_view engine,
                            const std::string& inputs = {});

/// Puts custom steps in place of the guessed ones: "FILE" or "FILE:FUNCTION" (preprocess, postprocess when absent);
/// when empty, the preprocessing_script.py and postprocessing_script.py that lie beside the model, where there are
/// such. Errors: not_found (VRG-DRF-008).
Result<void> take_scripts(Draft& draft, const std::filesystem::path& model, const std::string& preprocessing,
                          const std::string& postprocessing);

/// Writes a package folder: the draft's documents, a copy (or a link) of the model and of `labels` (may be empty), and
/// a model card to fill in. Errors: already_exists (VRG-DRF-002) when the folder holds something.
Result<void> write_draft(const Draft& draft, const std::filesystem::path& model, const std::filesystem::path& labels,
                         const std::filesystem::path& folder, bool link);

/// One plausible way to prepare a picture, tried.
struct Combination {
  wire::Preprocessing preprocessing;
  std::string colour, values, geometry;  ///< In words.
  std::string label;                     ///< Of the best class, or of the best box.
  float score = 0;
  float expected_score = 0;  ///< Of the best class or box whose label holds the expected text.
  bool agrees = false;
};

/// Tries every plausible combination of colour order, value range and geometry on a picture whose content is known.
/// Those that agree come first, the most certain in front. Errors: failed_precondition (VRG-DRF-003) when the model
/// takes no pictures, its prediction has no labels, or no label holds `expect`.
Result<std::vector<Combination>> try_combinations(const package::ModelPackage& package, EngineCatalogue& engines,
                                                  const std::filesystem::path& picture, std::string_view expect);

}  // namespace verge::processing
