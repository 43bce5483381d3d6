// Random: secrets from the operating system, and how to compare them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace verge::crypto {

/// `bytes` random bytes as lower-case hexadecimal digits.
[[nodiscard]] std::string random_hex(std::size_t bytes);
/// Whether both are the same, in a time that does not tell where they differ.
[[nodiscard]] bool same_secret(std::string_view a, std::string_view b) noexcept;

}  // namespace verge::crypto
