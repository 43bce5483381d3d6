// SHA-512: the other digest that registries and TUF repositories may use.
#pragma once

#include <string>
#include <string_view>

namespace verge::crypto {

/// "sha512:" and 128 hexadecimal digits.
[[nodiscard]] std::string sha512(std::string_view text);

}  // namespace verge::crypto
