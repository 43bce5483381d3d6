#include "annotation.hpp"

#include "verge/processing/rendering.hpp"

namespace verge::pipeline {

Result<processing::ImageView> Annotation::draw(const Event& event) {
  VERGE_ASSIGN(const auto picture, event.picture.view());
  processing::copy_pixels(picture, processing::PixelFormat::rgb, image_);
  for (const auto& finding : event.findings) {
    if (!finding.crop) {
      processing::draw(finding.prediction, finding.palette, image_);
      continue;
    }
    if (finding.prediction.kind != processing::PredictionKind::classes || finding.prediction.classes.empty()) continue;
    // What a piece is called stands where it was cut out.
    const auto& best = finding.prediction.classes.front();
    crop_.kind = processing::PredictionKind::boxes;
    crop_.boxes.assign(1, finding.crop->region);
    crop_.boxes.front().label = best.label;
    crop_.boxes.front().score = best.score;
    crop_.boxes.front().class_index = best.class_index;
    processing::draw(crop_, finding.palette, image_);
  }
  return image_.view();
}

}  // namespace verge::pipeline
