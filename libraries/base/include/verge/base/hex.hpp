// Hex: bytes in documents.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace verge {

[[nodiscard]] std::string to_hex(std::span<const std::byte> bytes);
/// Nothing: `text` is not pairs of lower-case hexadecimal digits.
[[nodiscard]] std::optional<std::vector<std::byte>> from_hex(std::string_view text);

}  // namespace verge
