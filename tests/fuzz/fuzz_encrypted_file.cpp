// Any bytes as an encrypted file: refused, never read past their end. And a real one that is changed anywhere: every
// byte that is given of it is the byte that was encrypted.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "verge/at_rest/encrypted_file.hpp"

namespace {

using namespace verge;
using Bytes = std::vector<std::byte>;

const at_rest::DataKeys& keys() {
  static const auto* const made = [] {
    auto* const fresh = new at_rest::DataKeys;
    fresh->add({}, std::make_shared<const at_rest::Secret>(at_rest::Secret::random()));
    return fresh;
  }();
  return *made;
}

at_rest::Stored stored(const Bytes& file) {
  return {file.size(), [&file](std::uint64_t offset, std::span<std::byte> into) -> Result<void> {
            if (offset > file.size() || into.size() > file.size() - offset) std::abort();
            if (!into.empty()) std::memcpy(into.data(), file.data() + offset, into.size());
            return {};
          }};
}

/// What is read of a file is the beginning of `plain`; the whole of it where the file is said to be finished.
void check(const Bytes& file, const Bytes& plain) {
  if (auto reader = at_rest::Reader::open(stored(file), keys())) {
    Bytes all;
    const auto read = reader->read_all([&](std::span<const std::byte> piece) -> Result<void> {
      all.insert(all.end(), piece.begin(), piece.end());
      return {};
    });
    if (read && all != plain) std::abort();
  }
  auto growing = at_rest::GrowingFile::resume(stored(file), keys());
  if (!growing) return;
  if (growing->stored_bytes() > file.size() || growing->size_bytes() > plain.size()) std::abort();
  Bytes good(static_cast<std::size_t>(growing->size_bytes()));
  if (!growing->reader(stored(file)).read(0, good)) std::abort();
  if (!std::equal(good.begin(), good.end(), plain.begin())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const auto* const begin = reinterpret_cast<const std::byte*>(data);
  const Bytes input(begin, begin + size_bytes);
  check(input, {});
  // The rest changes a real file: three bytes say where, one how.
  static const Bytes plain(at_rest::kChunkBytes + 1000, std::byte{7});
  static const Bytes whole = at_rest::encrypt(plain, keys());
  Bytes changed = whole;
  for (std::size_t i = 0; i + 3 < input.size() && i < 64; i += 4) {
    std::uint32_t at = 0;
    std::memcpy(&at, &input[i], 3);
    if (at < changed.size()) {
      changed[at] ^= input[i + 3];
    } else {
      changed.resize(at % (changed.size() + 1));
    }
  }
  check(changed, plain);
  return 0;
}
