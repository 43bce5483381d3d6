#include "verge/processing/image_decoder.hpp"

#include <array>
#include <cstring>

#include <fmt/format.h>

#include "codecs.hpp"

namespace verge::processing {
namespace {

bool starts_with(std::span<const std::byte> content, std::string_view signature) {
  return content.size() >= signature.size() && std::memcmp(content.data(), signature.data(), signature.size()) == 0;
}

std::string hex(std::span<const std::byte> content) {
  constexpr std::size_t kShown = 8;
  std::string text;
  for (std::size_t i = 0; i < content.size() && i < kShown; ++i) {
    text += fmt::format("{}{:02x}", i == 0 ? "" : " ", static_cast<unsigned>(content[i]));
  }
  return text;
}

}  // namespace

Error too_many_pixels(std::uint64_t width, std::uint64_t height, const ImageLimits& limits) {
  return Error(ErrorCode::resource_exhausted, "VRG-IMG-002",
               fmt::format("the picture is too large: expected at most {} pixels, got {} × {} = {}; scale it down, or "
                           "raise max_image_pixels",
                           limits.max_pixels, width, height, width * height));
}

Error corrupt_image(std::string_view format, std::string_view why) {
  return Error(
      ErrorCode::data_loss, "VRG-IMG-003",
      fmt::format("expected a whole {} picture, got a corrupt or truncated one ({}); send it again", format, why));
}

struct ImageDecoder::State {
  ImageLimits limits;
  JpegDecoder jpeg;
  PngDecoder png;
  Arena bmp;
  Image unturned;
};

ImageDecoder::ImageDecoder(ImageLimits limits) : state_(std::make_unique<State>()) {
  state_->limits = limits;
}
ImageDecoder::~ImageDecoder() = default;
ImageDecoder::ImageDecoder(ImageDecoder&&) noexcept = default;
ImageDecoder& ImageDecoder::operator=(ImageDecoder&&) noexcept = default;

Result<ImageSize> ImageDecoder::decode(std::span<const std::byte> content, PixelFormat format, Image& image,
                                       ScaleHint hint) {
  using namespace std::string_view_literals;
  if (starts_with(content, "\xff\xd8\xff"sv)) {
    VERGE_ASSIGN(const JpegPicture picture, state_->jpeg.decode(content, format, state_->limits, hint, image));
    if (picture.orientation > 1) {
      std::swap(image, state_->unturned);
      orient(state_->unturned, picture.orientation, image);
    }
    return picture.orientation < 5 ? picture.size : ImageSize{picture.size.height, picture.size.width};
  }
  if (starts_with(content, "\x89PNG\r\n\x1a\n"sv)) {
    VERGE_TRY(state_->png.decode(content, format, state_->limits, image));
    return ImageSize{image.width(), image.height()};
  }
  if (starts_with(content, "BM"sv)) {
    VERGE_TRY(decode_bmp(content, format, state_->limits, state_->bmp, image));
    return ImageSize{image.width(), image.height()};
  }
  return Error(ErrorCode::unimplemented, "VRG-IMG-001",
               content.empty() ? std::string("expected a JPEG, PNG or BMP picture, got no bytes at all")
                               : fmt::format("expected a JPEG, PNG or BMP picture, got {} bytes that begin with {}; "
                                             "convert it to one of these",
                                             content.size(), hex(content)));
}

}  // namespace verge::processing
