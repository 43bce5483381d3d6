// Any bytes as keys.json: refused, or read and written again as the same.
#include <cstdint>

#include "documents.hpp"
#include "verge/wire/at_rest_keys.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const auto node = verge::wire::parse_json({reinterpret_cast<const char*>(data), size_bytes}, "fuzz");
  if (node) verge::fuzz::read_and_write(*node, verge::wire::read_at_rest_keys);
  return 0;
}
