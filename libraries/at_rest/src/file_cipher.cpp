#include "file_cipher.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "verge/base/hex.hpp"

namespace verge::at_rest {
namespace {

constexpr std::string_view kMagic = "VRGREST1";
constexpr std::size_t kSaltAt = kMagic.size() + std::tuple_size_v<KeyId>;
constexpr std::size_t kSaltBytes = 32;
constexpr std::size_t kZerosAt = kSaltAt + kSaltBytes;

std::shared_ptr<const Secret> file_key(const Header& header, const Secret& key) {
  return std::make_shared<const Secret>(derive(key, std::span(header).subspan(kSaltAt, kSaltBytes), header));
}

/// Which chunk it is, and whether the last one.
std::array<std::byte, 9> about(std::uint64_t index, bool last) {
  std::array<std::byte, 9> bytes{};
  for (std::size_t i = 0; i < sizeof(index); ++i) bytes.at(i) = static_cast<std::byte>(index >> (8 * i));
  bytes.back() = last ? std::byte{1} : std::byte{0};
  return bytes;
}

}  // namespace

bool looks_encrypted(std::span<const std::byte> begin) noexcept {
  return begin.size() >= kMagic.size() && std::memcmp(begin.data(), kMagic.data(), kMagic.size()) == 0;
}

std::optional<KeyId> key_of(std::span<const std::byte> begin) noexcept {
  if (begin.size() < kHeaderBytes || !looks_encrypted(begin)) return std::nullopt;
  KeyId id;
  std::ranges::copy(begin.subspan(kMagic.size(), id.size()), id.begin());
  return id;
}

std::unique_ptr<FileCipher> FileCipher::make(const DataKeys& keys) {
  const auto [id, key] = keys.current();
  Header header{};
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  std::ranges::copy(id, header.begin() + kMagic.size());
  fill_randomly(std::span(header).subspan(kSaltAt, kSaltBytes));
  return std::make_unique<FileCipher>(header, file_key(header, *key));
}

Result<std::unique_ptr<FileCipher>> FileCipher::of(const Header& header, const DataKeys& keys) {
  const auto id = key_of(header);
  const auto zeros = std::span(header).subspan(kZerosAt);
  if (!id || std::ranges::any_of(zeros, [](std::byte byte) { return byte != std::byte{0}; })) {
    return Error(ErrorCode::data_loss, "VRG-RST-002",
                 "expected an encrypted file, got something else; it is damaged, or of another version of Verge");
  }
  const auto key = keys.find(*id);
  if (key == nullptr) {
    return Error(ErrorCode::failed_precondition, "VRG-RST-003",
                 fmt::format("the file is encrypted with the data key {}, which this device does not have; remove the "
                             "file, or bring back the key store that belongs to it",
                             to_hex(*id)));
  }
  return std::make_unique<FileCipher>(header, file_key(header, *key));
}

void FileCipher::seal(std::uint64_t index, bool last, std::span<const std::byte> chunk, std::span<std::byte> frame) {
  aead_.seal(about(index, last), chunk, frame);
}

bool FileCipher::open(std::uint64_t index, bool last, std::span<const std::byte> frame, std::span<std::byte> chunk) {
  return aead_.open(about(index, last), frame, chunk);
}

}  // namespace verge::at_rest
