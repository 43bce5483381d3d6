// Font: 5 × 7 letters of ASCII, drawn from a table in the program, so that no font file and no library is needed.
#pragma once

#include <cstdint>
#include <string_view>

#include "verge/processing/image.hpp"
#include "verge/processing/prediction.hpp"

namespace verge::processing {

/// Advance and height of a letter at scale 1, in pixels.
inline constexpr int kLetterAdvance = 6;
inline constexpr int kLetterHeight = 8;

/// Width of a text in pixels. A character that is not ASCII counts once, whatever its bytes in UTF-8.
[[nodiscard]] int text_width(std::string_view text, int scale) noexcept;
/// Draws onto an RGB picture, clipped; (x, y) is the top left. What is not ASCII becomes a small box.
void draw_text(Image& image, int x, int y, int scale, std::string_view text, Colour colour) noexcept;

}  // namespace verge::processing
