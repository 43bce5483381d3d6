#include "verge/processing/rendering.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "font.hpp"

namespace verge::processing {
namespace {

constexpr std::size_t kClasses = 256;

std::array<Colour, kClasses> table_of(std::span<const Colour> palette) noexcept {
  std::array<Colour, kClasses> table;
  for (std::size_t c = 0; c < kClasses; ++c) table[c] = class_colour(palette, static_cast<int>(c));
  return table;
}

/// Class 0 is black in the palette; as a box or a letter it must be seen.
Colour visible(Colour colour) noexcept {
  return colour.red + colour.green + colour.blue < 96 ? Colour{255, 200, 0} : colour;
}

Colour contrast(Colour behind) noexcept {
  const int light = 299 * behind.red + 587 * behind.green + 114 * behind.blue;
  return light > 128'000 ? Colour{0, 0, 0} : Colour{255, 255, 255};
}

void fill(Image& image, int x0, int y0, int x1, int y1, Colour colour) noexcept {
  for (int y = std::max(y0, 0); y < std::min(y1, image.height()); ++y) {
    std::uint8_t* row = image.row(y);
    for (int x = std::max(x0, 0); x < std::min(x1, image.width()); ++x) {
      std::uint8_t* pixel = row + std::ptrdiff_t{3} * x;
      pixel[0] = colour.red;
      pixel[1] = colour.green;
      pixel[2] = colour.blue;
    }
  }
}

int scale_for(const Image& image) noexcept {
  return std::clamp(std::min(image.width(), image.height()) / 320, 1, 8);
}

/// "label 0.87" in `buffer`, cut where it is full.
std::string_view caption(std::array<char, 96>& buffer, int class_index, std::string_view label, float value,
                         bool percent) {
  const auto shown = label.substr(0, 64);
  const auto written = shown.empty() ? fmt::format_to_n(buffer.data(), buffer.size(), "class {}", class_index)
                                     : fmt::format_to_n(buffer.data(), buffer.size(), "{}", shown);
  std::size_t length = std::min(written.size, buffer.size());
  const auto rest =
      fmt::format_to_n(buffer.data() + length, buffer.size() - length,
                       percent ? fmt::runtime(" {:.0f}%") : fmt::runtime(" {:.2f}"), percent ? value * 100 : value);
  length = std::min(length + rest.size, buffer.size());
  return {buffer.data(), length};
}

void draw_label(Image& image, int x, int y, std::string_view text, Colour background) {
  const int scale = scale_for(image);
  fill(image, x, y, x + text_width(text, scale) + 2 * scale, y + (kLetterHeight + 2) * scale, background);
  draw_text(image, x + 2 * scale, y + scale, scale, text, contrast(background));
}

/// A list at the top left. Ends where the picture does.
template <typename Entries, typename Value>
void draw_list(Image& image, const Entries& entries, std::span<const Colour> palette, Value value, bool percent) {
  constexpr std::size_t kMostLines = 10;
  const int scale = scale_for(image);
  int y = 0;
  for (std::size_t i = 0; i < entries.size() && i < kMostLines && y < image.height(); ++i) {
    std::array<char, 96> buffer;
    const auto text = caption(buffer, entries[i].class_index, entries[i].label, value(entries[i]), percent);
    draw_label(image, 0, y, text, percent ? class_colour(palette, entries[i].class_index) : Colour{0, 0, 0});
    y += (kLetterHeight + 2) * scale;
  }
}

void draw_box(Image& image, const Box& box, std::span<const Colour> palette) {
  const Colour colour = visible(class_colour(palette, box.class_index + 1));
  const int line = std::max(1, scale_for(image) * 2);
  const auto pixel = [](float value, int most) { return std::clamp(static_cast<int>(std::lround(value)), 0, most); };
  const int x0 = pixel(box.x0, image.width());
  const int x1 = pixel(box.x1, image.width());
  const int y0 = pixel(box.y0, image.height());
  const int y1 = pixel(box.y1, image.height());
  fill(image, x0, y0, x1, std::min(y0 + line, y1), colour);
  fill(image, x0, std::max(y1 - line, y0), x1, y1, colour);
  fill(image, x0, y0, std::min(x0 + line, x1), y1, colour);
  fill(image, std::max(x1 - line, x0), y0, x1, y1, colour);
  std::array<char, 96> buffer;
  const auto text = caption(buffer, box.class_index, box.label, box.score, false);
  const int height = (kLetterHeight + 2) * scale_for(image);
  draw_label(image, x0, y0 >= height ? y0 - height : y0, text, colour);
}

/// Half the picture, half the class's colour; a mask of another size is stretched over the picture.
void blend_mask(Image& image, const Mask& mask, std::span<const Colour> palette) {
  if (mask.width <= 0 || mask.height <= 0) return;
  const auto colours = table_of(palette);
  for (int y = 0; y < image.height(); ++y) {
    const auto line = static_cast<std::size_t>(std::int64_t{y} * mask.height / image.height());
    const std::uint8_t* classes = mask.classes.data() + line * static_cast<std::size_t>(mask.width);
    std::uint8_t* row = image.row(y);
    for (int x = 0; x < image.width(); ++x, row += 3) {
      const std::uint8_t found = classes[std::int64_t{x} * mask.width / image.width()];
      if (found == 0) continue;
      row[0] = static_cast<std::uint8_t>((row[0] + colours[found].red) / 2);
      row[1] = static_cast<std::uint8_t>((row[1] + colours[found].green) / 2);
      row[2] = static_cast<std::uint8_t>((row[2] + colours[found].blue) / 2);
    }
  }
}

}  // namespace

Colour class_colour(std::span<const Colour> palette, int class_index) noexcept {
  const auto index = static_cast<std::size_t>(class_index);
  return class_index >= 0 && index < palette.size() ? palette[index] : palette_colour(class_index);
}

ImageView class_numbers(const Mask& mask) noexcept {
  return {mask.classes.data(), mask.width, mask.height, static_cast<std::size_t>(mask.width), PixelFormat::grey};
}

void render_mask(const Mask& mask, std::span<const Colour> palette, Image& out) {
  if (mask.width <= 0 || mask.height <= 0) return;
  const auto colours = table_of(palette);
  out.reshape(mask.width, mask.height, PixelFormat::rgb);
  const std::uint8_t* classes = mask.classes.data();
  for (int y = 0; y < mask.height; ++y) {
    std::uint8_t* row = out.row(y);
    for (int x = 0; x < mask.width; ++x, row += 3) {
      const Colour colour = colours[*classes++];
      row[0] = colour.red;
      row[1] = colour.green;
      row[2] = colour.blue;
    }
  }
}

void draw_overlay(const ImageView& source, const Prediction& prediction, std::span<const Colour> palette, Image& out) {
  copy_pixels(source, PixelFormat::rgb, out);
  draw(prediction, palette, out);
}

void draw(const Prediction& prediction, std::span<const Colour> palette, Image& out) {
  switch (prediction.kind) {
    case PredictionKind::tensors:
    case PredictionKind::anomaly:
    case PredictionKind::values:
    case PredictionKind::custom: break;
    case PredictionKind::classes:
      draw_list(
          out, prediction.classes, palette, [](const ClassScore& entry) { return entry.score; }, false);
      break;
    case PredictionKind::mask:
      blend_mask(out, prediction.mask, palette);
      draw_list(
          out, prediction.areas, palette, [](const ClassArea& entry) { return entry.fraction; }, true);
      break;
    case PredictionKind::boxes:
      // The best last, so that it is on top.
      for (auto box = prediction.boxes.rbegin(); box != prediction.boxes.rend(); ++box) draw_box(out, *box, palette);
      break;
  }
}

}  // namespace verge::processing
