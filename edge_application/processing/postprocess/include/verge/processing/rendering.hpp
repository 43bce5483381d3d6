// Rendering: a prediction as a picture.
#pragma once

#include <span>

#include "verge/processing/image.hpp"
#include "verge/processing/prediction.hpp"

namespace verge::processing {

/// Colour of a class: the palette's, or palette_colour() past its end.
[[nodiscard]] Colour class_colour(std::span<const Colour> palette, int class_index) noexcept;

/// The class numbers of a mask as a grey picture for machines (encode_png() keeps them exactly); points into `mask`.
[[nodiscard]] ImageView class_numbers(const Mask& mask) noexcept;

/// The mask in the colours of its classes (RGB). Leaves `out` untouched when the mask is empty.
void render_mask(const Mask& mask, std::span<const Colour> palette, Image& out);

/// The source picture (converted to RGB) with the prediction drawn on it: masks blended (class 0 left clear), boxes
/// with label and score, classes as a list at the top left. Tensors draw nothing. `source` must not be empty.
void draw_overlay(const ImageView& source, const Prediction& prediction, std::span<const Colour> palette, Image& out);
/// Draws onto a picture (RGB) of the source's size.
void draw(const Prediction& prediction, std::span<const Colour> palette, Image& out);

}  // namespace verge::processing
