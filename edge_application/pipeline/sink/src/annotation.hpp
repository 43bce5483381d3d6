// Annotation: the picture of an event with everything that was found drawn in.
#pragma once

#include "verge/pipeline/event.hpp"

namespace verge::pipeline {

/// Keeps its memory from event to event.
class Annotation {
 public:
  /// RGB; valid until the next call. Errors: those of Picture::view().
  Result<processing::ImageView> draw(const Event& event);

 private:
  processing::Image image_;
  processing::Prediction crop_;
  std::string label_;
};

}  // namespace verge::pipeline
