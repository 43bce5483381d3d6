// Stored bytes: encrypted files in memory.
#pragma once

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "verge/at_rest/encrypted_file.hpp"

namespace verge::at_rest::test {

using Bytes = std::vector<std::byte>;

/// `bytes` must outlive it.
inline Stored stored(const Bytes& bytes) {
  return {bytes.size(), [&bytes](std::uint64_t offset, std::span<std::byte> into) -> Result<void> {
            EXPECT_LE(offset + into.size(), bytes.size()) << "it reads past the end";
            if (offset + into.size() > bytes.size()) return Error(ErrorCode::internal, "VRG-TST-001", "past the end");
            std::memcpy(into.data(), bytes.data() + offset, into.size());
            return {};
          }};
}

inline Sink to(Bytes& bytes) {
  return [&bytes](std::span<const std::byte> added) -> Result<void> {
    bytes.insert(bytes.end(), added.begin(), added.end());
    return {};
  };
}

inline Bytes content(std::size_t size_bytes, unsigned seed = 1) {
  std::mt19937 random(seed);
  Bytes made(size_bytes);
  for (auto& byte : made) byte = static_cast<std::byte>(random());
  return made;
}

inline void add_key(DataKeys& keys, unsigned char name) {
  KeyId id{};
  id.fill(static_cast<std::byte>(name));
  keys.add(id, std::make_shared<const Secret>(Secret::random()));
}

/// The whole content; the error of opening or reading.
inline Result<Bytes> decrypted(const Bytes& file, const DataKeys& keys) {
  VERGE_ASSIGN(auto reader, Reader::open(stored(file), keys));
  Bytes all;
  VERGE_TRY(reader.read_all([&](std::span<const std::byte> piece) -> Result<void> {
    all.insert(all.end(), piece.begin(), piece.end());
    return {};
  }));
  return all;
}

inline std::string id_of(const Result<Bytes>& result) {
  return result ? "" : result.error().id();
}

}  // namespace verge::at_rest::test
