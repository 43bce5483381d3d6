// Sink: where predictions go.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "verge/base/error.hpp"
#include "verge/pipeline/source.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::pipeline {

/// One sample with its prediction; refers to what the source and the worker keep until their next call.
struct Outcome {
  const Sample& sample;
  const processing::Prediction& prediction;
  const processing::Worker& worker;
};

/// Takes predictions. Used by one thread.
class Sink {
 public:
  Sink() = default;
  virtual ~Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  /// An error means that this prediction was not written; the next one may be.
  virtual Result<void> put(const Outcome& outcome) = 0;
};

/// The JSON object of a prediction: source, frame, model, version, prediction, latency_ms for each stage. Appends to
/// `out`.
void append_outcome_json(const Outcome& outcome, std::string& out);

/// Appends one JSON object a line to a file ("-": standard output). A line is written whole or not at all.
/// Errors: as write_file(); resource_exhausted (VRG-SNK-001) when the disk is full.
Result<std::unique_ptr<Sink>> json_lines_sink(const std::filesystem::path& file);

}  // namespace verge::pipeline
