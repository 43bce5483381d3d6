// Segmentation: a map of scores or class numbers to a class for each pixel of the source.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "definition.hpp"
#include "verge/processing/placement.hpp"
#include "verge/processing/prediction.hpp"

namespace verge::processing {

/// Makes masks. Keeps its scratch memory.
class MaskMaker {
 public:
  void make(const Segmentation& step, std::span<const float> scores, const MapShape& shape, ImageSize model,
            const Placement& placement, Mask& mask);

 private:
  void decide(const Segmentation& step, std::span<const float> scores, const MapShape& shape);
  void place_columns(const MapShape& shape, ImageSize model, const Placement& placement, int width);
  void fill_nearest(const MapShape& shape, ImageSize model, const Placement& placement, Mask& mask);
  void fill_bilinear(const Segmentation& step, std::span<const float> scores, const MapShape& shape, ImageSize model,
                     const Placement& placement, Mask& mask);

  /// Where a pixel of the source falls on the map, along one axis.
  struct Spot {
    std::int32_t nearest = -1;  ///< -1: on no picture (padding, or cut away).
    std::int32_t low = 0, high = 0;
    float part = 0;
  };
  static Spot spot(int source, float scale, float offset, int content0, int content1, int model, std::size_t cells);

  std::vector<std::uint8_t> decided_;  ///< Class of each cell of the map.
  std::vector<Spot> columns_;
};

/// Shares of the classes, the largest first. Labels stay empty.
void measure_areas(const Mask& mask, std::vector<ClassArea>& areas);

}  // namespace verge::processing
