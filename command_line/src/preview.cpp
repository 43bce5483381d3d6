#include "preview.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace verge::cli {

std::string preview(const processing::ImageView& image, int columns) {
  const int width = std::clamp(columns, 1, image.width);
  // Two pixels stand in one character, which is about twice as high as wide.
  const int height = std::max(2, image.height * width / image.width) / 2 * 2;
  std::string out;
  const auto pixel = [&](int x, int y) {
    const int sx = std::min(image.width - 1, x * image.width / width);
    const int sy = std::min(image.height - 1, y * image.height / height);
    return image.row(sy) + static_cast<std::ptrdiff_t>(sx) * 3;
  };
  for (int y = 0; y < height; y += 2) {
    for (int x = 0; x < width; ++x) {
      const std::uint8_t* top = pixel(x, y);
      const std::uint8_t* bottom = pixel(x, y + 1);
      out += fmt::format("\033[38;2;{};{};{};48;2;{};{};{}m▀", top[0], top[1], top[2], bottom[0], bottom[1], bottom[2]);
    }
    out += "\033[0m\n";
  }
  return out;
}

}  // namespace verge::cli
