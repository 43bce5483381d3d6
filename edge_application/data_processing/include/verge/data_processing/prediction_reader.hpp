// Prediction reader: what a custom step's JSON says, as a prediction.
#pragma once

#include <cstddef>
#include <deque>
#include <span>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/processing/prediction.hpp"

namespace verge::data_processing {

/// Most bytes of JSON that a step may give.
inline constexpr std::size_t kPredictionLimitBytes = std::size_t{1} << 20U;

/// The text is foreign: all of it is checked. Keeps the memory of labels and text from call to call.
class PredictionReader {
 public:
  /// {"kind": "classes" | "boxes" | "mask" | "anomaly" | "values", …} as append_json() writes them, or any other JSON
  /// object, which becomes the kind custom. `content`: a mask's class numbers lie there, at the "offset" it names.
  /// Views in `prediction` are valid until the next call.
  /// Errors: internal (VRG-STP-006), with what was expected and what came.
  Result<void> read(std::string_view json, std::span<const std::byte> content, processing::Prediction& prediction);

 private:
  friend class KindReader;
  std::string text_;
  std::string key_;
  std::deque<std::string> labels_;  ///< Never move once made.
  std::size_t labels_used_ = 0;
};

}  // namespace verge::data_processing
