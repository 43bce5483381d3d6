// Plan: the declared steps of a sample that is no picture, checked against the model's input.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/tensor.hpp"
#include "verge/wire/preprocessing.hpp"

namespace verge::processing {

/// What the steps come to: rows of `columns` values, `window_rows` of which are an input of the model.
struct FeaturePlan {
  wire::SampleKind sample = wire::SampleKind::tensor;
  std::optional<wire::AudioStep> audio;
  std::optional<wire::SpectrogramStep> spectrogram;
  std::optional<wire::MelStep> mel;
  std::optional<wire::LogStep> log;
  std::optional<wire::DctStep> dct;
  std::vector<wire::Column> table;
  std::optional<wire::NormaliseStep> normalise;
  std::optional<wire::WindowsStep> windows;
  std::optional<Quantisation> quantisation;
  std::size_t columns = 1;
  std::size_t window_rows = 1;
  std::size_t window_stride = 1;
  DataType datatype = DataType::fp32;
  std::vector<std::int64_t> shape;
};

/// Errors: as Features::compile().
Result<FeaturePlan> check_features(const wire::Preprocessing& definition, std::string_view origin,
                                   const TensorSpec& input);

}  // namespace verge::processing
