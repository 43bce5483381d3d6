// Text: the nearest of several names, for messages that say what was probably meant.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace verge {

/// Number of single-character insertions, deletions, replacements and swaps of neighbours between two words.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate closest to `word`, or an empty view when none is close enough to be a misspelling of it.
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// "a, b or c".
[[nodiscard]] std::string one_of(std::span<const std::string_view> names);

/// "1.5 GiB", "12 KiB", "7 bytes".
[[nodiscard]] std::string human_bytes(double size_bytes);

/// `text` for a URL's path or query: what is not a letter, a digit or one of "-_.~" as %XX.
[[nodiscard]] std::string encode_percent(std::string_view text);

}  // namespace verge
