// Passphrase: a key for what people open again somewhere else, with nothing but what they know.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "verge/at_rest/secret.hpp"

namespace verge::at_rest {

/// The key that a passphrase stands for, with this salt (32 random bytes, no secret): scrypt (RFC 7914) with N 2^17,
/// r 8, p 1, which takes 128 MiB of memory for a moment. Who guesses has to take as much for each guess.
[[nodiscard]] Secret key_of_passphrase(std::string_view passphrase, std::span<const std::byte> salt);

}  // namespace verge::at_rest
