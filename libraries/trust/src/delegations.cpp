#include "delegations.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "verge/crypto/sha256.hpp"

namespace verge::trust {
namespace {

/// Characters of UTF-8; what is none stands for itself, byte by byte.
std::u32string characters(std::string_view text) {
  std::u32string found;
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t size = first < 0xC0U ? 1 : first < 0xE0U ? 2 : first < 0xF0U ? 3 : 4;
    if (size == 1 || i + size > text.size()) {
      found += first;
      ++i;
      continue;
    }
    char32_t value = first & (0xFFU >> (size + 1));
    for (std::size_t k = 1; k < size; ++k) value = value << 6U | (static_cast<unsigned char>(text[i + k]) & 0x3FU);
    found += value;
    i += size;
  }
  return found;
}

/// One step of a pattern, from `at` on: whether it takes `c`, and where the next step begins.
struct Step {
  bool takes;
  std::size_t next;
};
Step step(std::u32string_view pattern, std::size_t at, char32_t c) {
  if (pattern[at] == U'?') return {true, at + 1};
  if (pattern[at] != U'[') return {pattern[at] == c, at + 1};
  std::size_t begin = at + 1;
  const bool inverted = begin < pattern.size() && pattern[begin] == U'!';
  if (inverted) ++begin;
  // A ']' that comes first is a member.
  const auto end = pattern.find(U']', begin + 1);
  if (end == std::u32string_view::npos) return {c == U'[', at + 1};
  bool member = false;
  for (std::size_t i = begin; i < end;) {
    if (i + 2 < end && pattern[i + 1] == U'-') {
      member = member || (pattern[i] <= c && c <= pattern[i + 2]);
      i += 3;
    } else {
      member = member || pattern[i] == c;
      ++i;
    }
  }
  return {member != inverted, end + 1};
}

/// One part of a path. Goes back to the last '*' only: the time is at most the product of both sizes.
bool part_matches(std::u32string_view text, std::u32string_view pattern) {
  std::size_t at = 0;
  std::size_t in = 0;
  std::size_t star = std::u32string_view::npos;
  std::size_t star_at = 0;
  while (at < text.size()) {
    if (in < pattern.size() && pattern[in] == U'*') {
      star = in++;
      star_at = at;
      continue;
    }
    if (in < pattern.size()) {
      if (const auto [takes, next] = step(pattern, in, text[at]); takes) {
        in = next;
        ++at;
        continue;
      }
    }
    if (star == std::u32string_view::npos) return false;
    in = star + 1;
    at = ++star_at;
  }
  return pattern.find_first_not_of(U'*', in) == std::u32string_view::npos;
}

/// The bin whose number is the first bits of the path's digest.
std::string bin_name(const HashBins& bins, std::string_view digest_hex) {
  std::uint32_t head = 0;
  std::from_chars(digest_hex.data(), digest_hex.data() + 8, head, 16);
  const auto number = static_cast<std::uint64_t>(head) >> (32 - bins.bit_length);
  const int digits = (bins.bit_length + 3) / 4;
  return fmt::format("{}-{:0{}x}", bins.name_prefix, number, digits);
}

}  // namespace

bool path_matches(std::string_view path, std::string_view pattern) {
  for (;;) {
    const auto path_end = std::min(path.find('/'), path.size());
    const auto pattern_end = std::min(pattern.find('/'), pattern.size());
    if ((path_end == path.size()) != (pattern_end == pattern.size())) return false;
    if (!part_matches(characters(path.substr(0, path_end)), characters(pattern.substr(0, pattern_end)))) return false;
    if (path_end == path.size()) return true;
    path.remove_prefix(path_end + 1);
    pattern.remove_prefix(pattern_end + 1);
  }
}

std::vector<Delegate> delegates_for(const Delegations& delegations, std::string_view path) {
  const std::string digest = crypto::sha256(path).substr(std::string_view("sha256:").size());
  if (delegations.bins) return {{bin_name(*delegations.bins, digest), delegations.bins->role, true}};
  std::vector<Delegate> found;
  for (const auto& delegation : delegations.roles) {
    const bool trusted =
        delegation.paths
            ? std::ranges::any_of(*delegation.paths, [&](const auto& pattern) { return path_matches(path, pattern); })
            : std::ranges::any_of(delegation.path_hash_prefixes,
                                  [&](const auto& prefix) { return digest.starts_with(prefix); });
    if (trusted) found.push_back({delegation.name, delegation.role, delegation.terminating});
  }
  return found;
}

}  // namespace verge::trust
