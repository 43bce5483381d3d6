// Preview: a picture in the terminal.
#pragma once

#include <string>

#include "verge/processing/image.hpp"

namespace verge::cli {

/// The RGB picture in half-block characters of 24-bit colour, at most `columns` wide.
[[nodiscard]] std::string preview(const processing::ImageView& image, int columns);

}  // namespace verge::cli
