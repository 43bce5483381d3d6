// File cipher: the header of an encrypted file, and the key that it leads to.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "aead.hpp"
#include "verge/at_rest/encrypted_file.hpp"

namespace verge::at_rest {

using Header = std::array<std::byte, kHeaderBytes>;

class FileCipher {
 public:
  /// A new file's.
  static std::unique_ptr<FileCipher> make(const DataKeys& keys);
  /// Errors: VRG-RST-002, VRG-RST-003.
  static Result<std::unique_ptr<FileCipher>> of(const Header& header, const DataKeys& keys);
  [[nodiscard]] std::unique_ptr<FileCipher> copy() const { return std::make_unique<FileCipher>(header_, key_); }
  FileCipher(const Header& header, std::shared_ptr<const Secret> file_key)
      : header_(header), key_(std::move(file_key)), aead_(*key_) {}

  [[nodiscard]] const Header& header() const noexcept { return header_; }
  void seal(std::uint64_t index, bool last, std::span<const std::byte> chunk, std::span<std::byte> frame);
  [[nodiscard]] bool open(std::uint64_t index, bool last, std::span<const std::byte> frame, std::span<std::byte> chunk);

 private:
  Header header_;
  std::shared_ptr<const Secret> key_;
  Aead aead_;
};

}  // namespace verge::at_rest
