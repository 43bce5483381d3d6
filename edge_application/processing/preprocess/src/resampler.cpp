#include "resampler.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels.hpp"

namespace verge::processing {
namespace {

/// One row along x by four weights, with 7 bits behind the point.
template <std::size_t kChannels>
void widen(const std::uint8_t* in, const Taps& taps, std::int32_t* out) {
  for (std::size_t x = 0; x < taps.begin.size(); ++x) {
    const std::uint8_t* pixel = in + static_cast<std::size_t>(taps.begin[x]) * kChannels;
    const std::int32_t* weights = taps.at(static_cast<int>(x));
    const std::size_t last = static_cast<std::size_t>(taps.length[x] - 1) * kChannels;
    for (std::size_t c = 0; c < kChannels; ++c) {
      std::int32_t sum = 1 << 14;
      // Weights past the length are 0: any pixel of the row will do.
      for (std::size_t i = 0; i < 4; ++i) sum += pixel[std::min(i * kChannels, last) + c] * weights[i];
      *out++ = sum >> 15;
    }
  }
}

}  // namespace

void Resampler::plan(const ResampleRequest& request) {
  request_ = request;
  planned_ = true;
  const auto take = [&](int in, int scaled, int first, int count, Taps& taps) {
    make_taps(request.interpolation, request.antialias, in, scaled, first, count, taps);
  };
  take(request.in.width, request.scaled.width, request.x, request.wanted.width, x_);
  take(request.in.height, request.scaled.height, request.y, request.wanted.height, y_);
  // Where a side keeps its length every filter has the weight 1 at one pixel.
  copies_x_ = request.in.width == request.scaled.width;
  copies_y_ = request.in.height == request.scaled.height || request.interpolation == wire::Interpolation::nearest;
  const bool nearest = request.interpolation == wire::Interpolation::nearest;
  // Only this filter overshoots, so that 8 bits between the passes would cut off what the second one takes back.
  sampled_ = !request.antialias && request.interpolation == wire::Interpolation::bicubic;
  needed_rows_.clear();
  slots_.clear();
  for (std::size_t i = 0; i < y_.begin.size(); ++i) {
    const std::int32_t first = copies_y_ && !nearest ? request.y + static_cast<std::int32_t>(i) : y_.begin[i];
    const std::int32_t end = copies_y_ ? first + 1 : first + y_.length[i];
    for (std::int32_t y = first; y < end; ++y) {
      if (needed_rows_.empty() || y > needed_rows_.back()) needed_rows_.push_back(y);
    }
    // Rows come in order, so that those of one target row stand together and end with the last one.
    const auto behind = std::lower_bound(needed_rows_.begin(), needed_rows_.end(), first);
    slots_.push_back(static_cast<std::int32_t>(behind - needed_rows_.begin()));
  }
  const std::size_t row_bytes =
      static_cast<std::size_t>(request.wanted.width) * static_cast<std::size_t>(request.channels);
  scaled_stride_bytes_ = (row_bytes + kOverreadBytes) / kOverreadBytes * kOverreadBytes + kOverreadBytes;
  const std::size_t kept_rows = copies_x_ || sampled_ || nearest ? 0 : needed_rows_.size();
  scaled_rows_.resize(std::max(scaled_rows_.size(), kept_rows * scaled_stride_bytes_));
  row_.resize(std::max(row_.size(), scaled_stride_bytes_));
}

void Resampler::pass_x(const ImageView& image) {
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(request_.channels);
  const std::size_t edge_stride = row_bytes + kOverreadBytes;
  edge_rows_.resize(std::max(edge_rows_.size(), edge_stride * kRowsTogether));
  for (std::size_t i = 0; i < needed_rows_.size(); i += kRowsTogether) {
    const std::size_t count = std::min<std::size_t>(kRowsTogether, needed_rows_.size() - i);
    std::array<const std::uint8_t*, kRowsTogether> in{};
    std::array<std::uint8_t*, kRowsTogether> out{};
    for (std::size_t r = 0; r < count; ++r) {
      const int y = needed_rows_[i + r];
      in[r] = image.row(y);
      const std::size_t behind = static_cast<std::size_t>(image.height - 1 - y) * row_bytes;
      if (behind < kOverreadBytes) {
        std::uint8_t* copy = edge_rows_.data() + r * edge_stride;
        std::memcpy(copy, in[r], row_bytes);
        in[r] = copy;
      }
      out[r] = scaled_rows_.data() + (i + r) * scaled_stride_bytes_;
    }
    filter_rows(in.data(), out.data(), static_cast<int>(count), request_.channels, x_);
  }
}

void Resampler::start(const ImageView& image, const ResampleRequest& request) {
  if (!planned_ || !(request == request_)) plan(request);
  image_ = image;
  for (WideRow& wide : wide_rows_) wide.y = -1;
  const bool nearest = request.interpolation == wire::Interpolation::nearest;
  if (!copies_x_ && !sampled_ && !nearest) pass_x(image);
}

const std::uint8_t* Resampler::nearest_row(std::int32_t y) {
  const std::uint8_t* in = image_.row(y);
  const std::size_t count = x_.begin.size();
  if (request_.channels == 1) {
    for (std::size_t x = 0; x < count; ++x) row_[x] = in[x_.begin[x]];
    return row_.data();
  }
  const auto pixel = [&](std::size_t x) { return in + static_cast<std::ptrdiff_t>(x_.begin[x]) * 3; };
  std::size_t x = 0;
  // Four bytes move faster than three, while there is a pixel behind; the next write mends the fourth.
  for (; x < count && x_.begin[x] < request_.in.width - 1; ++x) std::memcpy(row_.data() + 3 * x, pixel(x), 4);
  for (; x < count; ++x) std::memcpy(row_.data() + 3 * x, pixel(x), 3);
  return row_.data();
}

/// Source row `y` after the pass along x; the last four stay.
const std::int32_t* Resampler::wide_row(std::int32_t y) {
  WideRow& wide = wide_rows_.at(static_cast<std::size_t>(y) % wide_rows_.size());
  if (wide.y == y) return wide.values.data();
  wide.y = y;
  const auto channels = static_cast<std::size_t>(request_.channels);
  wide.values.resize(std::max(wide.values.size(), x_.begin.size() * channels));
  const std::uint8_t* in = image_.row(y);
  if (channels == 3) {
    widen<3>(in, x_, wide.values.data());
  } else {
    widen<1>(in, x_, wide.values.data());
  }
  return wide.values.data();
}

const std::uint8_t* Resampler::sampled_row(int y) {
  const auto target = static_cast<std::size_t>(y);
  const std::size_t count = x_.begin.size() * static_cast<std::size_t>(request_.channels);
  std::array<const std::int32_t*, 4> rows{};
  std::array<std::int32_t, 4> weights{};
  const auto length = static_cast<std::size_t>(y_.length[target]);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    // What is short of four rows is filled up with the first one, without weight.
    rows.at(i) = wide_row(y_.begin[target] + static_cast<std::int32_t>(i < length ? i : 0));
    weights.at(i) = i < length ? (y_.at(y)[i] + 128) >> 8 : 0;
  }
  for (std::size_t x = 0; x < count; ++x) {
    const std::int32_t sum = rows[0][x] * weights[0] + rows[1][x] * weights[1] + rows[2][x] * weights[2] +
                             rows[3][x] * weights[3] + (1 << 20);
    row_[x] = static_cast<std::uint8_t>(std::clamp(sum >> 21, 0, 255));
  }
  return row_.data();
}

const std::uint8_t* Resampler::row(int y) {
  const auto target = static_cast<std::size_t>(y);
  if (sampled_) return sampled_row(y);
  const std::int32_t first = needed_rows_[static_cast<std::size_t>(slots_[target])];
  if (request_.interpolation == wire::Interpolation::nearest) return nearest_row(first);
  const auto channels = static_cast<std::size_t>(request_.channels);
  const std::size_t stride_bytes = copies_x_ ? image_.stride_bytes : scaled_stride_bytes_;
  const std::uint8_t* in = copies_x_ ? image_.row(first) + static_cast<std::size_t>(request_.x) * channels
                                     : scaled_rows_.data() + static_cast<std::size_t>(slots_[target]) * stride_bytes;
  if (copies_y_) return in;
  const std::size_t row_bytes = static_cast<std::size_t>(request_.wanted.width) * channels;
  filter_columns(in, stride_bytes, y_.at(y), y_.length[target], row_bytes, row_.data());
  return row_.data();
}

}  // namespace verge::processing
