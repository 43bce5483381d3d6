// Base64: bytes as text (RFC 4648, section 4).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace verge {

/// With padding.
[[nodiscard]] std::string encode_base64(std::string_view bytes);
/// Padding may be absent. Nothing when `text` has other characters.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);

}  // namespace verge
