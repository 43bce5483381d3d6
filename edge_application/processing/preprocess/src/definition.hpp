// Definition: the declared steps, checked against the model's input.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "values.hpp"
#include "verge/base/error.hpp"
#include "verge/processing/image.hpp"
#include "verge/processing/tensor.hpp"
#include "verge/wire/preprocessing.hpp"

namespace verge::processing {

/// Part of a picture, in pixels.
struct Region {
  int x = 0, y = 0;
  int width = 0, height = 0;
  bool operator==(const Region&) const = default;
};

/// The centre of `of` as the step says; nothing when it is too small.
std::optional<Region> cut(const wire::CropStep& step, const Region& of);

/// What the steps come to.
struct PreprocessingPlan {
  bool takes_image = true;
  PixelFormat colour = PixelFormat::rgb;
  std::vector<wire::CropStep> crops;  ///< Before the resize, in turn.
  std::optional<wire::ResizeStep> resize;
  Region window;  ///< Part of the resized canvas that goes into the model; also its size.
  wire::TensorLayout layout = wire::TensorLayout::nhwc;
  std::optional<Normalisation> normalisation;
  wire::NormaliseStep value_normalisation;  ///< For samples that are tensors.
  std::optional<Quantisation> quantisation;
  bool has_steps = false;
  bool custom = false;  ///< A function of the package's own does it all.
  DataType datatype = DataType::fp32;
  std::vector<std::int64_t> shape;
};

/// Errors: as Preprocessor::compile().
Result<PreprocessingPlan> check_definition(const wire::Preprocessing& definition, std::string_view origin,
                                           const TensorSpec& input);

}  // namespace verge::processing
