// Resampler: one part of a picture, scaled, row by row.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "filter.hpp"
#include "verge/processing/image.hpp"
#include "verge/wire/preprocessing.hpp"

namespace verge::processing {

struct ResampleRequest {
  ImageSize in;      ///< The picture.
  ImageSize scaled;  ///< What the whole of it would become.
  int x = 0, y = 0;  ///< Top left of the wanted part of that.
  ImageSize wanted;  ///< Size of the wanted part.
  wire::Interpolation interpolation = wire::Interpolation::bilinear;
  bool antialias = true;
  int channels = 3;
  bool operator==(const ResampleRequest&) const = default;
};

/// Scales in two passes; the weights are kept while the request stays the same. Antialiased: x first, with
/// 8 bits between the passes, as in Pillow. Bicubic sampling: more bits between them, as in OpenCV.
class Resampler {
 public:
  /// Scales along x the rows that will be needed. `image` must live until the last row().
  void start(const ImageView& image, const ResampleRequest& request);
  /// Row `y` (0 … wanted.height - 1); valid until the next call.
  [[nodiscard]] const std::uint8_t* row(int y);

 private:
  void plan(const ResampleRequest& request);
  void pass_x(const ImageView& image);
  const std::uint8_t* nearest_row(std::int32_t y);
  const std::uint8_t* sampled_row(int y);
  const std::int32_t* wide_row(std::int32_t y);

  ResampleRequest request_;
  bool planned_ = false;
  bool copies_x_ = false;  ///< The width stays: rows are used where they are.
  bool copies_y_ = false;
  bool sampled_ = false;
  Taps x_;
  Taps y_;
  std::vector<std::int32_t> needed_rows_;  ///< Rows of the picture that have a weight, in order.
  std::vector<std::int32_t> slots_;        ///< Position of the first row of each target row among them.
  std::vector<std::uint8_t> scaled_rows_;
  std::size_t scaled_stride_bytes_ = 0;
  std::vector<std::uint8_t> edge_rows_;  ///< Copies of the rows behind which nothing may be read.
  std::vector<std::uint8_t> row_;
  struct WideRow {
    std::int32_t y = -1;
    std::vector<std::int32_t> values;
  };
  std::array<WideRow, 4> wide_rows_;  ///< Source rows after the pass along x, with 7 bits behind the point.
  ImageView image_;
};

}  // namespace verge::processing
