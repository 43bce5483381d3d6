#include <climits>

#include "codecs.hpp"

namespace {
// stb allocates by macros without a context: the decoder in use says here where.
thread_local verge::processing::Arena* stb_arena = nullptr;
void* stb_allocate(std::size_t size_bytes) {
  return stb_arena->allocate(size_bytes);
}
}  // namespace

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MALLOC(size_bytes) stb_allocate(size_bytes)
#define STBI_REALLOC(memory, size_bytes) nullptr  // Only its other formats would grow a block.
#define STBI_FREE(memory) static_cast<void>(memory)
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace verge::processing {

Result<void> decode_bmp(std::span<const std::byte> content, PixelFormat format, const ImageLimits& limits, Arena& arena,
                        Image& image) {
  arena.reset();
  stb_arena = &arena;
  if (content.size() > INT_MAX) return corrupt_image("BMP", "larger than 2 GiB");
  const auto* bytes = reinterpret_cast<const stbi_uc*>(content.data());
  const int size_bytes = static_cast<int>(content.size());
  int width = 0;
  int height = 0;
  int stored = 0;
  if (stbi_info_from_memory(bytes, size_bytes, &width, &height, &stored) == 0 || width <= 0 || height <= 0) {
    return corrupt_image("BMP", stbi_failure_reason());
  }
  const auto pixels = static_cast<std::uint64_t>(width) * static_cast<std::uint64_t>(height);
  if (pixels > limits.max_pixels) {
    return too_many_pixels(static_cast<std::uint64_t>(width), static_cast<std::uint64_t>(height), limits);
  }
  // stb fills what is missing with zeroes; a palette picture has at least one bit a pixel, the others two bytes or
  // more.
  const std::uint64_t least_bits = content.size() > 29 && content[28] < std::byte{16} ? 1 : 16;
  if (pixels * least_bits / 8 > content.size()) return corrupt_image("BMP", "fewer bytes than its size needs");
  const stbi_uc* decoded = stbi_load_from_memory(bytes, size_bytes, &width, &height, &stored, 3);
  if (decoded == nullptr) return corrupt_image("BMP", stbi_failure_reason());
  copy_pixels({decoded, width, height, static_cast<std::size_t>(width) * 3, PixelFormat::rgb}, format, image);
  return {};
}

}  // namespace verge::processing
