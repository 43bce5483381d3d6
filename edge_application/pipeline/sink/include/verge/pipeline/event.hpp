// Event: one sample of a pipeline with everything that its models found.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/pipeline/source.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::pipeline {

/// The piece of the picture that a model was given.
struct Crop {
  std::size_t box = 0;     ///< Its number in the prediction that found it.
  processing::Box region;  ///< In pixels of the whole picture, with the label and score of the box.
};

/// What one model found in a sample, or in one piece of it.
struct Finding {
  std::string_view name;  ///< The model's, in the pipeline.
  std::shared_ptr<const processing::LoadedModel> model;
  std::shared_ptr<const void> keep;  ///< The palette points into it.
  /// Its labels lie in `texts`. Tensors in it may be overwritten by others' runs by now; `json` has them.
  processing::Prediction prediction;
  std::vector<char> texts;
  std::span<const processing::Colour> palette;
  processing::StageTimes times;
  std::optional<Crop> crop;
  std::string json;  ///< The fields of an object: model, version, engine, the prediction, latency_ms of each stage.
};

/// The sample's picture, decoded when it is first asked for.
class Picture {
 public:
  void set(const Sample& sample) {
    sample_ = &sample;
    decoded_ = false;
  }
  /// Valid until the next sample. Errors: those of ImageDecoder.
  Result<processing::ImageView> view();

 private:
  const Sample* sample_ = nullptr;
  bool decoded_ = false;
  processing::ImageDecoder decoder_;
  processing::Image image_;
};

/// Refers to what the pipeline keeps until its next sample.
struct Event {
  std::string_view pipeline;
  const Sample& sample;
  Picture& picture;
  std::span<const Finding> findings;
  std::string_view json;  ///< One object, in one line.
};

/// Copies what the prediction's labels and texts point to: a worker's next run, for somebody else, writes over those of
/// custom steps.
void keep_texts(Finding& finding);
/// Writes Finding::json from the rest. The worker has just run it.
void write_json(const processing::Worker& worker, Finding& finding);
/// Appends the object of an event; `json` of the event is not looked at.
void append_json(const Event& event, std::string& out);

}  // namespace verge::pipeline
