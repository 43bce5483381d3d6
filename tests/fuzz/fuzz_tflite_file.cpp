// Any bytes as a TensorFlow Lite model: described, or refused.
#include <cstdint>
#include <span>

#include "verge/engines/tflite_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  try {
    (void)verge::engines::read_tflite(std::as_bytes(std::span(data, size_bytes)));
  } catch (const verge::engines::Failure&) {
    return 0;  // Refused, as it should be.
  }
  return 0;
}
