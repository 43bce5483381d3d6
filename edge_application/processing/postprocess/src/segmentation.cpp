#include "segmentation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace verge::processing {
namespace {

constexpr std::size_t kMostClasses = 256;

std::uint8_t class_number(float value) noexcept {
  if (!(value > 0)) return 0;  // NaN too.
  return static_cast<std::uint8_t>(std::min(value + 0.5F, 255.0F));
}

}  // namespace

/// One class for each cell of the map.
void MaskMaker::decide(const Segmentation& step, std::span<const float> scores, const MapShape& shape) {
  const std::size_t cells = shape.height * shape.width;
  decided_.resize(cells);
  if (step.step.method == wire::SegmentationMethod::labels) {
    for (std::size_t i = 0; i < cells; ++i) decided_[i] = class_number(scores[i * shape.pixel_stride]);
    return;
  }
  if (step.step.method == wire::SegmentationMethod::threshold) {
    const auto threshold = static_cast<float>(step.step.threshold);
    for (std::size_t i = 0; i < cells; ++i) decided_[i] = scores[i * shape.pixel_stride] > threshold ? 1 : 0;
    return;
  }
  for (std::size_t i = 0; i < cells; ++i) {
    const float* score = scores.data() + i * shape.pixel_stride;
    float best = score[0];
    std::size_t best_class = 0;
    for (std::size_t c = 1; c < shape.channels; ++c) {
      const float value = score[c * shape.channel_stride];
      if (value > best || std::isnan(best)) {
        best = value;
        best_class = c;
      }
    }
    decided_[i] = static_cast<std::uint8_t>(best_class);
  }
}

MaskMaker::Spot MaskMaker::spot(int source, float scale, float offset, int content0, int content1, int model,
                                std::size_t cells) {
  const float at = (static_cast<float>(source) + 0.5F) * scale + offset;
  if (!(at >= static_cast<float>(content0) && at < static_cast<float>(content1))) return {};
  const float on_map = at * static_cast<float>(cells) / static_cast<float>(model);
  const auto last = static_cast<std::int32_t>(cells) - 1;
  Spot result;
  result.nearest = std::clamp(static_cast<std::int32_t>(on_map), 0, last);
  const float centred = std::clamp(on_map - 0.5F, 0.0F, static_cast<float>(last));
  result.low = static_cast<std::int32_t>(centred);
  result.high = std::min(result.low + 1, last);
  result.part = centred - static_cast<float>(result.low);
  return result;
}

void MaskMaker::place_columns(const MapShape& shape, ImageSize model, const Placement& placement, int width) {
  columns_.resize(static_cast<std::size_t>(width));
  for (int x = 0; x < width; ++x) {
    columns_[static_cast<std::size_t>(x)] = spot(x, placement.scale_x, placement.offset_x, placement.content_x0,
                                                 placement.content_x1, model.width, shape.width);
  }
}

void MaskMaker::fill_nearest(const MapShape& shape, ImageSize model, const Placement& placement, Mask& mask) {
  const auto width = static_cast<std::size_t>(mask.width);
  std::int32_t last = -2;
  for (int y = 0; y < mask.height; ++y) {
    std::uint8_t* out = mask.classes.data() + static_cast<std::size_t>(y) * width;
    const std::int32_t line = spot(y, placement.scale_y, placement.offset_y, placement.content_y0, placement.content_y1,
                                   model.height, shape.height)
                                  .nearest;
    if (line == last) {
      std::memcpy(out, out - width, width);
      continue;
    }
    last = line;
    if (line < 0) {
      std::memset(out, 0, width);
      continue;
    }
    const std::uint8_t* row = decided_.data() + static_cast<std::size_t>(line) * shape.width;
    for (std::size_t x = 0; x < width; ++x)
      out[x] = columns_[x].nearest < 0 ? std::uint8_t{0} : row[columns_[x].nearest];
  }
}

/// Where the four cells around a pixel agree, that is the answer: a mean of scores cannot change their order.
void MaskMaker::fill_bilinear(const Segmentation& step, std::span<const float> scores, const MapShape& shape,
                              ImageSize model, const Placement& placement, Mask& mask) {
  const auto threshold = static_cast<float>(step.step.threshold);
  const bool is_threshold = step.step.method == wire::SegmentationMethod::threshold;
  for (int y = 0; y < mask.height; ++y) {
    std::uint8_t* out = mask.classes.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(mask.width);
    const Spot line = spot(y, placement.scale_y, placement.offset_y, placement.content_y0, placement.content_y1,
                           model.height, shape.height);
    const std::size_t upper = static_cast<std::size_t>(line.low) * shape.width;
    const std::size_t lower = static_cast<std::size_t>(line.high) * shape.width;
    for (std::size_t x = 0; x < static_cast<std::size_t>(mask.width); ++x) {
      const Spot& column = columns_[x];
      if (line.nearest < 0 || column.nearest < 0) {
        out[x] = 0;
        continue;
      }
      const auto left = static_cast<std::size_t>(column.low);
      const auto right = static_cast<std::size_t>(column.high);
      const std::array<std::size_t, 4> corner{upper + left, upper + right, lower + left, lower + right};
      const std::uint8_t first = decided_[corner[0]];
      if (decided_[corner[1]] == first && decided_[corner[2]] == first && decided_[corner[3]] == first) {
        out[x] = first;
        continue;
      }
      float best = 0;
      std::size_t best_class = 0;
      for (std::size_t c = 0; c < shape.channels; ++c) {
        const auto at = [&](std::size_t k) {
          return scores[corner.at(k) * shape.pixel_stride + c * shape.channel_stride];
        };
        const float top = at(0) + (at(1) - at(0)) * column.part;
        const float bottom = at(2) + (at(3) - at(2)) * column.part;
        const float value = top + (bottom - top) * line.part;
        if (c == 0 || value > best || std::isnan(best)) {
          best = value;
          best_class = c;
        }
      }
      out[x] = is_threshold ? static_cast<std::uint8_t>(best > threshold) : static_cast<std::uint8_t>(best_class);
    }
  }
}

void MaskMaker::make(const Segmentation& step, std::span<const float> scores, const MapShape& shape, ImageSize model,
                     const Placement& placement, Mask& mask) {
  decide(step, scores, shape);
  if (step.step.size == wire::MapSize::model) {
    mask.width = static_cast<int>(shape.width);
    mask.height = static_cast<int>(shape.height);
    mask.classes.assign(decided_.begin(), decided_.end());
    return;
  }
  mask.width = std::max(placement.source_width, 0);
  mask.height = std::max(placement.source_height, 0);
  if (mask.width == 0 || mask.height == 0) mask.width = mask.height = 0;
  mask.classes.resize(static_cast<std::size_t>(mask.width) * static_cast<std::size_t>(mask.height));
  if (mask.classes.empty()) return;
  place_columns(shape, model, placement, mask.width);
  const bool bilinear = step.step.interpolation == wire::MapInterpolation::bilinear &&
                        step.step.method != wire::SegmentationMethod::labels;
  if (bilinear) {
    fill_bilinear(step, scores, shape, model, placement, mask);
  } else {
    fill_nearest(shape, model, placement, mask);
  }
}

void measure_areas(const Mask& mask, std::vector<ClassArea>& areas) {
  std::array<std::array<std::uint32_t, kMostClasses>, 4> counts{};  // Four, so that runs of a class do not wait.
  for (std::size_t i = 0; i < mask.classes.size(); ++i) ++counts[i % 4][mask.classes[i]];
  areas.clear();
  for (std::size_t c = 0; c < kMostClasses; ++c) {
    const std::uint64_t count = std::uint64_t{counts[0][c]} + counts[1][c] + counts[2][c] + counts[3][c];
    if (count == 0) continue;
    const double share = static_cast<double>(count) / static_cast<double>(mask.classes.size());
    areas.push_back({static_cast<int>(c), static_cast<float>(share), {}});
  }
  std::sort(areas.begin(), areas.end(), [](const ClassArea& a, const ClassArea& b) {
    return a.fraction != b.fraction ? a.fraction > b.fraction : a.class_index < b.class_index;
  });
}

}  // namespace verge::processing
