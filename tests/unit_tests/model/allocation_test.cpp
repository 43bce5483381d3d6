// From a JPEG's bytes to its classes: in steady state nothing is allocated, with an engine that allocates nothing
// itself.
#include <cstdio>
#include <cstdlib>

#include <jpeglib.h>

#include "fake_package.hpp"
#include "verge/test_support/allocation_counter.hpp"

namespace verge::processing {
namespace {

test::Bytes jpeg(int width, int height, int shade) {
  jpeg_compress_struct writer{};
  jpeg_error_mgr errors{};
  writer.err = jpeg_std_error(&errors);
  jpeg_create_compress(&writer);
  unsigned char* memory = nullptr;
  unsigned long size_bytes = 0;  // NOLINT: libjpeg's own type.
  jpeg_mem_dest(&writer, &memory, &size_bytes);
  writer.image_width = static_cast<JDIMENSION>(width);
  writer.image_height = static_cast<JDIMENSION>(height);
  writer.input_components = 3;
  writer.in_color_space = JCS_RGB;
  jpeg_set_defaults(&writer);
  jpeg_start_compress(&writer, TRUE);
  std::vector<unsigned char> row(static_cast<std::size_t>(width) * 3);
  for (int y = 0; y < height; ++y) {
    for (std::size_t i = 0; i < row.size(); ++i)
      row[i] = static_cast<unsigned char>((y + shade) * 3 + static_cast<int>(i));
    JSAMPROW rows = row.data();
    jpeg_write_scanlines(&writer, &rows, 1);
  }
  jpeg_finish_compress(&writer);
  jpeg_destroy_compress(&writer);
  const auto* bytes = reinterpret_cast<const std::byte*>(memory);
  test::Bytes content(bytes, bytes + size_bytes);
  std::free(memory);
  return content;
}

class Allocations : public test::WithFakeEngine {};

TEST_F(Allocations, NoneForAFrame) {
  Worker one = worker(test::classifier());
  const auto first = jpeg(320, 240, 0);
  const auto second = jpeg(320, 240, 50);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(one.predict_encoded(first));
    ASSERT_TRUE(one.predict_encoded(second));
  }
  bool good = true;
  const verge::test::AllocationCounter counter;
  for (int i = 0; i < 50; ++i) {
    const auto predicted = one.predict_encoded(i % 2 == 0 ? first : second);
    good = good && predicted.has_value() && (*predicted)->classes.size() == 3;
  }
  const long allocations = counter.count();
  EXPECT_TRUE(good);
  EXPECT_EQ(allocations, 0);
}

}  // namespace
}  // namespace verge::processing
