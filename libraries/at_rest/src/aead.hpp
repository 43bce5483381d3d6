// AEAD: AES-256-GCM under one key, and what keys and nonces are made of.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include <openssl/evp.h>

#include "verge/at_rest/secret.hpp"

namespace verge::at_rest {

inline constexpr std::size_t kNonceBytes = 12;
inline constexpr std::size_t kTagBytes = 16;

/// From the operating system; a program that cannot have any ends.
void fill_randomly(std::span<std::byte> bytes) noexcept;

/// HKDF with SHA-256.
Secret derive(const Secret& key, std::span<const std::byte> salt, std::span<const std::byte> info);

/// Used by one thread at a time. A frame is nonce, then as many bytes as the content has, then the tag.
class Aead {
 public:
  explicit Aead(const Secret& key);

  /// Under a new random nonce. `frame` has room for the content and kNonceBytes + kTagBytes more.
  void seal(std::span<const std::byte> about, std::span<const std::byte> plain, std::span<std::byte> frame);
  /// False: the frame, or what it is said to be about, is not as it was sealed. `plain` has the room of the frame less
  /// the nonce and the tag; what it holds then is of no meaning.
  [[nodiscard]] bool open(std::span<const std::byte> about, std::span<const std::byte> frame,
                          std::span<std::byte> plain);

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };
  std::unique_ptr<EVP_CIPHER_CTX, Free> sealing_;
  std::unique_ptr<EVP_CIPHER_CTX, Free> opening_;
};

}  // namespace verge::at_rest
