#include "verge/processing/image_decoder.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include <jpeglib.h>  // After <cstdio>, which it needs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/test_support/test_data.hpp"

namespace verge::processing {
namespace {

using Bytes = std::vector<std::byte>;

/// A picture whose left half is red and right half is blue, the top left quarter green: every turn shows.
Image corners(int width, int height) {
  Image image(width, height, PixelFormat::rgb);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      std::uint8_t* pixel = image.row(y) + std::ptrdiff_t{x} * 3;
      const bool left = x < width / 2;
      const bool top = y < height / 2;
      pixel[0] = left && !top ? 255 : 0;
      pixel[1] = left && top ? 255 : 0;
      pixel[2] = left ? 0 : 255;
    }
  }
  return image;
}

struct JpegOptions {
  bool progressive = false;
  int orientation = 0;  ///< 0: no EXIF.
};

Bytes encode_jpeg(const Image& image, JpegOptions options = {}) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size_bytes = 0;
  jpeg_mem_dest(&info, &memory, &size_bytes);
  info.image_width = static_cast<JDIMENSION>(image.width());
  info.image_height = static_cast<JDIMENSION>(image.height());
  info.input_components = channels(image.format());
  info.in_color_space = image.format() == PixelFormat::grey ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 95, TRUE);
  if (options.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  if (options.orientation > 0) {
    std::array<std::uint8_t, 32> exif{'E', 'x', 'i', 'f', 0, 0,    'M', 'M', 0, 42, 0, 0,
                                      0,   8,   0,   1,   1, 0x12, 0,   3,   0, 0,  0, 1};
    exif[25] = static_cast<std::uint8_t>(options.orientation);
    jpeg_write_marker(&info, JPEG_APP0 + 1, exif.data(), static_cast<unsigned>(exif.size()));
  }
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.row(static_cast<int>(info.next_scanline)));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const auto* first = reinterpret_cast<const std::byte*>(memory);
  Bytes content(first, first + size_bytes);
  std::free(memory);
  return content;
}

/// 'g', 'r' or 'b': the strongest channel.
char colour_at(const Image& image, int x, int y) {
  const std::uint8_t* pixel = image.row(y) + std::ptrdiff_t{x} * 3;
  return pixel[1] > 128 ? 'g' : pixel[0] > 128 ? 'r' : 'b';
}

std::string four_corners(const Image& image) {
  const int right = image.width() - 5;
  const int bottom = image.height() - 5;
  return {colour_at(image, 4, 4), colour_at(image, right, 4), colour_at(image, 4, bottom),
          colour_at(image, right, bottom)};
}

TEST(ImageDecoder, TurnsAsExifSays) {
  // Corners top left, top right, bottom left, bottom right, for the orientations 1 … 8.
  const std::array<std::string, 8> expected{"gbrb", "bgbr", "brbg", "rbgb", "grbb", "rgbb", "bbrg", "bbgr"};
  ImageDecoder decoder;
  Image image;
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Bytes content = encode_jpeg(corners(64, 32), {false, orientation});
    const auto size = decoder.decode(content, PixelFormat::rgb, image);
    ASSERT_TRUE(size) << size.error().text();
    const ImageSize turned = orientation < 5 ? ImageSize{64, 32} : ImageSize{32, 64};
    EXPECT_EQ(*size, turned) << orientation;
    EXPECT_EQ(image.width(), turned.width);
    EXPECT_EQ(four_corners(image), expected.at(static_cast<std::size_t>(orientation - 1))) << orientation;
  }
}

TEST(ImageDecoder, ScalesOnlyWhileTwiceTheWantedSizeIsLeft) {
  const Bytes content = encode_jpeg(corners(640, 320));
  ImageDecoder decoder;
  Image image;
  const auto width_for = [&](ScaleHint hint) {
    const auto size = decoder.decode(content, PixelFormat::rgb, image, hint);
    EXPECT_TRUE(size && *size == (ImageSize{640, 320}));
    EXPECT_EQ(four_corners(image), "gbrb");
    return image.width();
  };
  EXPECT_EQ(width_for({}), 640);
  EXPECT_EQ(width_for({40, 20}), 80);
  EXPECT_EQ(width_for({41, 20}), 160);
  EXPECT_EQ(width_for({40, 41}), 320);
  EXPECT_EQ(width_for({161, 1}), 640);
}

TEST(ImageDecoder, TurnsTheHintToo) {
  ImageDecoder decoder;
  Image image;
  const auto size = decoder.decode(encode_jpeg(corners(640, 320), {false, 6}), PixelFormat::rgb, image, {40, 80});
  ASSERT_TRUE(size);
  EXPECT_EQ(*size, (ImageSize{320, 640}));
  EXPECT_EQ(image.width(), 80);
  EXPECT_EQ(image.height(), 160);
}

TEST(ImageDecoder, ReadsProgressiveGreyAndBgr) {
  ImageDecoder decoder;
  Image image;
  ASSERT_TRUE(decoder.decode(encode_jpeg(corners(64, 32), {true, 0}), PixelFormat::bgr, image));
  EXPECT_GT(image.row(2)[3 * 60], 200);
  ASSERT_TRUE(decoder.decode(encode_jpeg(corners(64, 32)), PixelFormat::grey, image));
  EXPECT_NEAR(image.row(4)[4], 150, 3);
  Image grey(16, 16, PixelFormat::grey);
  std::fill_n(grey.row(0), 256, std::uint8_t{77});
  ASSERT_TRUE(decoder.decode(encode_jpeg(grey), PixelFormat::rgb, image));
  EXPECT_NEAR(image.row(4)[4], 77, 1);
}

TEST(ImageDecoder, PngGivesBackWhatWasEncoded) {
  ImageDecoder decoder;
  Image image;
  for (const PixelFormat format : {PixelFormat::rgb, PixelFormat::bgr, PixelFormat::grey}) {
    Image original;
    copy_pixels(corners(17, 9).view(), format, original);
    const auto content = encode_png(original.view());
    ASSERT_TRUE(content);
    ASSERT_TRUE(decoder.decode(*content, format, image));
    ASSERT_EQ(image.width(), 17);
    for (int y = 0; y < 9; ++y) {
      EXPECT_TRUE(std::equal(original.row(y), original.row(y) + original.stride_bytes(), image.row(y)));
    }
  }
}

TEST(ImageDecoder, ConvertsPngsToTheWantedChannels) {
  ImageDecoder decoder;
  Image image;
  const auto content = encode_png(corners(16, 16).view());
  ASSERT_TRUE(decoder.decode(*content, PixelFormat::grey, image));
  EXPECT_EQ(image.row(0)[0], 150);
  ASSERT_TRUE(decoder.decode(*content, PixelFormat::bgr, image));
  EXPECT_EQ(image.row(0)[3 * 15], 255);
}

// 2 × 2 pixels, 24 bits, rows from the bottom: red, green / blue, white at the top.
constexpr std::array<std::uint8_t, 70> kBmp{'B', 'M', 70,  0,  0,   0, 0,  0,  0,   0, 54, 0,   0,   0,   40, 0, 0,  0,
                                            2,   0,   0,   0,  2,   0, 0,  0,  1,   0, 24, 0,   0,   0,   0,  0, 16, 0,
                                            0,   0,   19,  11, 0,   0, 19, 11, 0,   0, 0,  0,   0,   0,   0,  0, 0,  0,
                                            0,   0,   255, 0,  255, 0, 0,  0,  255, 0, 0,  255, 255, 255, 0,  0};

TEST(ImageDecoder, ReadsBmp) {
  ImageDecoder decoder;
  Image image;
  const auto size = decoder.decode(std::as_bytes(std::span(kBmp)), PixelFormat::rgb, image);
  ASSERT_TRUE(size) << size.error().text();
  EXPECT_EQ(*size, (ImageSize{2, 2}));
  EXPECT_EQ(image.row(0)[2], 255);
  EXPECT_EQ(image.row(0)[0], 0);
  EXPECT_EQ(image.row(1)[0], 255);
  EXPECT_EQ(image.row(1)[1], 0);
}

TEST(ImageDecoder, RefusesBombsBeforeItAllocates) {
  ImageDecoder decoder;
  Image image;
  Bytes jpeg = encode_jpeg(corners(16, 16));
  const std::array<std::byte, 2> frame{std::byte{0xff}, std::byte{0xc0}};
  const auto header = std::search(jpeg.begin(), jpeg.end(), frame.begin(), frame.end());
  std::fill_n(header + 5, 4, std::byte{0xf0});  // 61680 × 61680
  auto result = decoder.decode(jpeg, PixelFormat::rgb, image);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().id(), "VRG-IMG-002");

  Bytes png = *encode_png(corners(16, 16).view());
  ImageDecoder strict(ImageLimits{.max_pixels = 255});
  result = strict.decode(png, PixelFormat::rgb, image);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::resource_exhausted);
  EXPECT_THAT(result.error().message(), testing::HasSubstr("at most 255 pixels, got 16 × 16 = 256"));

  auto bmp = kBmp;
  bmp[19] = bmp[23] = 0x40;  // 16386 × 16386
  result = decoder.decode(std::as_bytes(std::span(bmp)), PixelFormat::rgb, image);
  EXPECT_EQ(result.error().id(), "VRG-IMG-002");
  bmp = kBmp;
  bmp[19] = bmp[23] = 0x10;  // 4098 × 4098 in 70 bytes
  result = decoder.decode(std::as_bytes(std::span(bmp)), PixelFormat::rgb, image);
  EXPECT_EQ(result.error().id(), "VRG-IMG-003");
  EXPECT_TRUE(image.empty());
}

TEST(ImageDecoder, RefusesEveryTruncation) {
  ImageDecoder decoder;
  Image image;
  const std::vector<Bytes> pictures{encode_jpeg(corners(64, 48)), encode_jpeg(corners(64, 48), {true, 0}),
                                    *encode_png(corners(64, 48).view())};
  for (const Bytes& whole : pictures) {
    for (std::size_t length = 0; length + 4 < whole.size(); length += 7) {
      EXPECT_FALSE(decoder.decode(std::span(whole).first(length), PixelFormat::rgb, image)) << length;
    }
    EXPECT_TRUE(decoder.decode(whole, PixelFormat::rgb, image));  // A failure leaves nothing behind.
  }
}

TEST(ImageDecoder, NamesWhatIsNoPicture) {
  ImageDecoder decoder;
  Image image;
  const std::array<std::byte, 4> gif{std::byte{'G'}, std::byte{'I'}, std::byte{'F'}, std::byte{'8'}};
  const auto result = decoder.decode(gif, PixelFormat::rgb, image);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().id(), "VRG-IMG-001");
  EXPECT_THAT(result.error().message(), testing::HasSubstr("47 49 46 38"));
  EXPECT_THAT(decoder.decode({}, PixelFormat::rgb, image).error().message(), testing::HasSubstr("no bytes at all"));
}

TEST(ImageDecoder, ReadsTheRealPictures) {
  VERGE_TEST_DATA_OR_SKIP(data);
  ImageDecoder decoder;
  Image image;
  int pictures = 0;
  for (const auto& entry : std::filesystem::directory_iterator(data / "images")) {
    if (!entry.is_regular_file()) continue;
    const auto content = read_file(entry.path(), 64U << 20U);
    ASSERT_TRUE(content);
    const auto size = decoder.decode(*content, PixelFormat::rgb, image);
    EXPECT_TRUE(size) << entry.path() << (size ? "" : size.error().text());
    ++pictures;
  }
  EXPECT_GE(pictures, 10);
}

}  // namespace
}  // namespace verge::processing
