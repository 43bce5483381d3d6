#include "references.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/crypto/digest.hpp"

namespace verge::hub {

Result<void> check_digest(std::string_view digest) {
  if (crypto::is_digest(digest)) return {};
  return Error(ErrorCode::invalid_argument, "VRG-OCI-004",
               fmt::format("expected a digest such as sha256:… with 64 or sha512:… with 128 lower-case hexadecimal "
                           "digits, got '{}'",
                           digest));
}

Result<void> check_tag(std::string_view tag) {
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  const bool good = !tag.empty() && tag.size() <= 128 && is_word(tag.front()) &&
                    std::ranges::all_of(tag, [&](char c) { return is_word(c) || c == '.' || c == '-'; });
  if (good) return {};
  return Error(ErrorCode::invalid_argument, "VRG-OCI-011",
               fmt::format("expected a tag such as 1.0.0 (at most 128 letters, digits, '_', '.' or '-') or a digest "
                           "such as sha256:…, got '{}'",
                           tag));
}

}  // namespace verge::hub
