#include <algorithm>
#include <cmath>

#include "definition.hpp"

namespace verge::processing {

std::optional<MapShape> map_shape(const wire::SegmentationStep& step, std::span<const std::int64_t> shape) {
  const auto total = element_count(shape);
  if (!total || *total == 0) return std::nullopt;
  const bool single = step.method != wire::SegmentationMethod::argmax;
  const bool planar = step.layout == wire::MapLayout::nchw;
  MapShape map;
  if (step.width && step.height) {
    map.width = static_cast<std::size_t>(*step.width);
    map.height = static_cast<std::size_t>(*step.height);
    if (*total % (map.width * map.height) != 0) return std::nullopt;
    map.channels = *total / (map.width * map.height);
  } else {
    std::span<const std::int64_t> dimensions = shape;
    if ((dimensions.size() == 4 || (dimensions.size() == 3 && single)) && dimensions.front() == 1) {
      dimensions = dimensions.subspan(1);
    }
    // [1,N] is a flat map that lacks its size, not one row.
    const bool flat = shape.size() < 2 || (shape.size() == 2 && shape.front() == 1);
    const auto at = [&](std::size_t i) { return static_cast<std::size_t>(dimensions[i]); };
    if (dimensions.size() == 2 && single && !flat) {
      map = {at(0), at(1), 1, 0, 0};
    } else if (dimensions.size() == 3) {
      map = planar ? MapShape{at(1), at(2), at(0), 0, 0} : MapShape{at(0), at(1), at(2), 0, 0};
    } else {
      return std::nullopt;
    }
  }
  constexpr std::size_t kMostClasses = 256;
  constexpr std::size_t kMostCells = std::size_t{1} << 28U;
  if (single ? map.channels != 1 : (map.channels < 2 || map.channels > kMostClasses)) return std::nullopt;
  if (map.width * map.height > kMostCells) return std::nullopt;
  map.pixel_stride = planar ? 1 : map.channels;
  map.channel_stride = planar ? map.width * map.height : 1;
  return map;
}

std::optional<HeadShape> head_shape(std::span<const std::int64_t> shape, bool channels_first) {
  if (shape.size() == 3 && shape.front() == 1) shape = shape.subspan(1);
  if (shape.size() != 2 || shape[0] <= 0 || shape[1] <= 0) return std::nullopt;
  const auto first = static_cast<std::size_t>(shape[0]);
  const auto second = static_cast<std::size_t>(shape[1]);
  return channels_first ? HeadShape{second, first} : HeadShape{first, second};
}

namespace {

std::span<const std::int64_t> strides_of(const wire::YoloGridStep& step) noexcept {
  static constexpr std::int64_t kUsual[] = {8, 16, 32};
  return step.strides.empty() ? std::span<const std::int64_t>(kUsual) : std::span<const std::int64_t>(step.strides);
}

}  // namespace

std::uint64_t count_cells(const wire::YoloGridStep& step, ImageSize model) noexcept {
  if (step.decode == wire::GridDecode::none) return 0;
  const auto strides = strides_of(step);
  std::uint64_t count = 0;
  for (std::size_t s = 0; s < strides.size(); ++s) {
    const std::uint64_t anchors = step.decode == wire::GridDecode::sigmoid ? step.anchors[s].size() / 2 : 1;
    count += anchors * static_cast<std::uint64_t>((model.width / strides[s]) * (model.height / strides[s]));
  }
  return count;
}

std::uint64_t count_anchors(const wire::SsdAnchors& definition) noexcept {
  const std::uint64_t ratios = definition.aspect_ratios.empty() ? 5 : definition.aspect_ratios.size();
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < definition.layers.size(); ++i) {
    const auto cells = static_cast<std::uint64_t>(definition.layers[i] * definition.layers[i]);
    count += cells * (i == 0 && definition.reduce_boxes_in_lowest_layer ? 3 : ratios + 1);
  }
  return count;
}

void make_cells(const wire::YoloGridStep& step, ImageSize model, std::vector<GridCell>& cells) {
  cells.clear();
  if (step.decode == wire::GridDecode::none) return;
  const auto strides = strides_of(step);
  for (std::size_t s = 0; s < strides.size(); ++s) {
    const auto stride = static_cast<int>(strides[s]);
    const bool anchored = step.decode == wire::GridDecode::sigmoid;
    const std::size_t anchors = anchored ? step.anchors[s].size() / 2 : 1;
    for (std::size_t a = 0; a < anchors; ++a) {
      GridCell cell{0, 0, static_cast<float>(stride), 0, 0};
      if (anchored) {
        cell.anchor_width = static_cast<float>(step.anchors[s][2 * a]);
        cell.anchor_height = static_cast<float>(step.anchors[s][2 * a + 1]);
      }
      for (int y = 0; y < model.height / stride; ++y) {
        for (int x = 0; x < model.width / stride; ++x) {
          cell.x = static_cast<float>(x);
          cell.y = static_cast<float>(y);
          cells.push_back(cell);
        }
      }
    }
  }
}

std::vector<Anchor> make_anchors(const wire::SsdAnchors& definition) {
  struct Form {
    double scale, ratio;
  };
  const std::vector<double> ratios =
      definition.aspect_ratios.empty() ? std::vector<double>{1.0, 2.0, 0.5, 3.0, 1.0 / 3.0} : definition.aspect_ratios;
  const auto layers = definition.layers.size();
  const auto scale_of = [&](std::size_t layer) {
    if (layer >= layers) return 1.0;
    if (layers == 1) return definition.min_scale;
    return definition.min_scale +
           (definition.max_scale - definition.min_scale) * static_cast<double>(layer) / static_cast<double>(layers - 1);
  };
  std::vector<Anchor> anchors;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    std::vector<Form> forms;
    if (layer == 0 && definition.reduce_boxes_in_lowest_layer) {
      forms = {{0.1, 1.0}, {scale_of(0), 2.0}, {scale_of(0), 0.5}};
    } else {
      for (const double ratio : ratios) forms.push_back({scale_of(layer), ratio});
      forms.push_back({std::sqrt(scale_of(layer) * scale_of(layer + 1)), 1.0});
    }
    const auto cells = static_cast<int>(definition.layers[layer]);
    for (int y = 0; y < cells; ++y) {
      for (int x = 0; x < cells; ++x) {
        for (const Form& form : forms) {
          anchors.push_back({static_cast<float>((x + 0.5) / cells), static_cast<float>((y + 0.5) / cells),
                             static_cast<float>(form.scale * std::sqrt(form.ratio)),
                             static_cast<float>(form.scale / std::sqrt(form.ratio))});
        }
      }
    }
  }
  return anchors;
}

}  // namespace verge::processing
