#include "graph.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace verge::pipeline {
namespace {

Result<const processing::Prediction*> predict_sample(processing::Worker& worker, const Sample& sample) {
  if (sample.encoded.empty() && !sample.frame.empty()) return worker.predict_image(sample.frame);
  return worker.model().takes_image() ? worker.predict_encoded(sample.encoded) : worker.predict_values(sample.encoded);
}

/// A box with its margin, in whole pixels within the picture.
processing::Box region_of(const processing::Box& box, float margin, const processing::ImageView& picture) {
  processing::Box region = box;
  const float dx = margin * (box.x1 - box.x0);
  const float dy = margin * (box.y1 - box.y0);
  region.x0 = std::clamp(std::floor(box.x0 - dx), 0.0F, static_cast<float>(picture.width));
  region.y0 = std::clamp(std::floor(box.y0 - dy), 0.0F, static_cast<float>(picture.height));
  region.x1 = std::clamp(std::ceil(box.x1 + dx), 0.0F, static_cast<float>(picture.width));
  region.y1 = std::clamp(std::ceil(box.y1 + dy), 0.0F, static_cast<float>(picture.height));
  return region;
}

/// The same pixels, not a copy.
processing::ImageView cut(const processing::ImageView& picture, const processing::Box& region) {
  processing::ImageView piece = picture;
  const auto x = static_cast<int>(region.x0);
  const auto y = static_cast<int>(region.y0);
  piece.data = picture.row(y) + static_cast<std::ptrdiff_t>(x) * processing::channels(picture.format);
  piece.width = static_cast<int>(region.x1) - x;
  piece.height = static_cast<int>(region.y1) - y;
  return piece;
}

bool wanted(const Crops& crops, const processing::Box& box) {
  return box.score >= crops.min_score &&
         (crops.labels.empty() || std::ranges::find(crops.labels, box.label) != crops.labels.end());
}

}  // namespace

Graph::Graph(const Plan& plan, const FindModel& models)
    : plan_(plan), models_(models), shares_picture_(plan.steps.size() > 1) {}

Finding& Graph::next_finding() {
  if (count_ == findings_.size()) findings_.emplace_back();
  return findings_[count_++];
}

std::size_t Graph::finding_of(const std::string& model) const {
  std::size_t i = 0;
  while (i < count_ && (findings_[i].name != model || findings_[i].crop)) ++i;
  return i;
}

Result<void> Graph::note(const Step& step, const std::shared_ptr<Model>& model, const std::stop_token& stop,
                         const std::function<Result<const processing::Prediction*>(processing::Worker&)>& predict,
                         const std::optional<Crop>& crop) {
  VERGE_ASSIGN(auto worker, model->workers().acquire(stop));
  const auto prediction = predict(*worker);
  worker.release_threads();
  model->count(worker->times(), !prediction);
  if (!prediction) return prediction.error();
  Finding& finding = next_finding();
  finding.name = step.model;
  finding.model = worker->model().shared_from_this();
  finding.keep = model;
  finding.prediction = **prediction;
  keep_texts(finding);
  finding.palette = worker->postprocessor().palette();
  finding.times = worker->times();
  finding.crop = crop;
  write_json(*worker, finding);
  return {};
}

Result<void> Graph::run_step(const Step& step, const Sample& sample, const std::stop_token& stop) {
  VERGE_ASSIGN(const auto model, models_(step.model));
  if (step.crops) return run_crops(step, *model, model, sample, stop);
  const bool share = shares_picture_ && sample.frame.empty() && model->workers().model().takes_image();
  if (!share) {
    return note(
        step, model, stop, [&](processing::Worker& worker) { return predict_sample(worker, sample); }, std::nullopt);
  }
  VERGE_ASSIGN(const auto picture, picture_.view());
  return note(
      step, model, stop, [&](processing::Worker& worker) { return worker.predict_image(picture); }, std::nullopt);
}

Result<void> Graph::run_crops(const Step& step, Model& model, const std::shared_ptr<Model>& keep, const Sample& sample,
                              const std::stop_token& stop) {
  const Crops& crops = *step.crops;
  const std::size_t of = finding_of(crops.of);
  if (of == count_ || findings_[of].prediction.kind != processing::PredictionKind::boxes ||
      !model.workers().model().takes_image()) {
    return Error(ErrorCode::failed_precondition, "VRG-PIP-001",
                 fmt::format("pipeline '{}': '{}' is to see what '{}' found in '{}': expected boxes for a model of "
                             "pictures, got {}; name a detector under 'crops: of', and a model of pictures",
                             plan_.name, step.model, crops.of, sample.name,
                             of == count_ ? "nothing" : processing::name(findings_[of].prediction.kind)));
  }
  VERGE_ASSIGN(const auto picture, picture_.view());
  crops_.clear();
  const auto& boxes = findings_[of].prediction.boxes;
  for (std::size_t i = 0; i < boxes.size() && crops_.size() < crops.most; ++i) {
    if (!wanted(crops, boxes[i])) continue;
    const auto region = region_of(boxes[i], crops.margin, picture);
    if (region.x1 - region.x0 >= 1 && region.y1 - region.y0 >= 1) crops_.push_back({i, region});
  }
  for (const auto& crop : crops_) {
    const auto piece = cut(picture, crop.region);
    VERGE_TRY(note(
        step, keep, stop, [&](processing::Worker& worker) { return worker.predict_image(piece); }, crop));
  }
  return {};
}

Result<Event> Graph::run(const Sample& sample, const std::stop_token& stop) {
  count_ = 0;
  picture_.set(sample);
  for (const auto& step : plan_.steps) VERGE_TRY(run_step(step, sample, stop));
  Event event{plan_.name, sample, picture_, std::span(findings_).first(count_), {}};
  json_.clear();
  append_json(event, json_);
  event.json = json_;
  return event;
}

}  // namespace verge::pipeline
