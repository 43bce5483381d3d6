// Placement: where the source picture landed in the model's input.
#pragma once

namespace verge::processing {

/// For each axis, in continuous coordinates (pixel i covers i … i + 1): model = source * scale + offset.
struct Placement {
  float scale_x = 1, scale_y = 1;
  float offset_x = 0, offset_y = 0;
  int source_width = 0, source_height = 0;  ///< The whole picture, turned as EXIF says, before any scaled decoding.
  int model_width = 0, model_height = 0;    ///< The model's input.
  /// Part of the model's input that holds picture: the rest is padding. Corners in model pixels.
  int content_x0 = 0, content_y0 = 0, content_x1 = 0, content_y1 = 0;
};

}  // namespace verge::processing
