// Any bytes as a bundle: refused, or everything that it lists can be read as far as it says.
#include <cstdlib>

#include "files.hpp"
#include "verge/bundle/bundle.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const auto file = verge::fuzz::folder() / "bundle";
  verge::fuzz::put(file, {reinterpret_cast<const char*>(data), size_bytes});
  const auto reader = verge::bundle::Reader::open(file);
  if (!reader) return 0;
  if (reader->size_bytes() != size_bytes) std::abort();
  (void)reader->metadata("timestamp.json", 1000).has_value();
  const std::string digest = "sha256:" + std::string(64, 'a');
  const auto told = reader->blob_bytes(digest);
  if (!told) return 0;
  std::uint64_t got = 0;
  const auto read = reader->blob(digest, 1, [&](std::span<const std::byte> bytes) -> verge::Result<void> {
    got += bytes.size();
    return {};
  });
  if (!read || (*told > 0 && got != *told - 1)) std::abort();
  return 0;
}
