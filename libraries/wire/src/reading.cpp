#include "verge/wire/reading.hpp"

#include <charconv>
#include <cmath>
#include <map>
#include <regex>

#include <fmt/format.h>

#include "verge/base/text.hpp"

namespace verge::wire {
namespace {

std::string got(const Node& node) {
  constexpr std::size_t kShown = 80;
  switch (node.kind) {
    case Node::Kind::null: return "nothing";
    case Node::Kind::list: return fmt::format("a list of {}", node.items.size());
    case Node::Kind::map: return "a map";
    case Node::Kind::plain:
    case Node::Kind::quoted: break;
  }
  return fmt::format("'{}'{}", node.text.substr(0, kShown), node.text.size() > kShown ? "…" : "");
}

Error wrong_type(const Node& node, const Place& place, std::string_view expected) {
  return Error(ErrorCode::invalid_argument, "VRG-DOC-004",
               fmt::format("{}: expected {}, got {}", place.text(node.line), expected, got(node)));
}

Error wrong_value(const Node& node, const Place& place, std::string_view expected) {
  return Error(ErrorCode::invalid_argument, "VRG-DOC-005",
               fmt::format("{}: expected {}, got {}", place.text(node.line), expected, got(node)));
}

std::string meant(std::string_view word, std::span<const std::string_view> candidates) {
  const auto close = nearest(word, candidates);
  return close.empty() ? std::string() : fmt::format("; did you mean '{}'?", close);
}

bool is_scalar(const Node& node) {
  return node.kind == Node::Kind::plain || node.kind == Node::Kind::quoted;
}

/// Compiling a pattern takes a hundred times longer than matching it. Patterns are literals of the generated readers:
/// few, and alive for as long as the program.
const std::regex& compiled(std::string_view pattern) {
  thread_local std::map<const char*, std::regex> patterns;
  const auto found = patterns.find(pattern.data());
  if (found != patterns.end()) return found->second;
  return patterns.emplace(pattern.data(), std::regex(pattern.begin(), pattern.end())).first->second;
}

}  // namespace

Result<std::string> read_string(const Node& node, const Place& place, const StringLimits& limits) {
  if (!is_scalar(node)) return wrong_type(node, place, "a text");
  if (node.text.size() < limits.min_length || node.text.size() > limits.max_length) {
    return wrong_value(node, place, fmt::format("a text of {} to {} bytes", limits.min_length, limits.max_length));
  }
  if (!limits.pattern.empty()) {
    // std::regex recurses by the length of its input; max_length in the schemas keeps that short.
    if (!std::regex_match(node.text, compiled(limits.pattern))) {
      return wrong_value(node, place, fmt::format("a text that matches {}", limits.pattern));
    }
  }
  return node.text;
}

Result<std::int64_t> read_integer(const Node& node, const Place& place, std::int64_t low, std::int64_t high) {
  std::int64_t value = 0;
  const char* end = node.text.data() + node.text.size();
  const auto parsed = std::from_chars(node.text.data(), end, value);
  if (node.kind != Node::Kind::plain || parsed.ec == std::errc::invalid_argument || parsed.ptr != end) {
    return wrong_type(node, place, "a whole number");
  }
  if (parsed.ec == std::errc::result_out_of_range || value < low || value > high) {
    return wrong_value(node, place, fmt::format("a whole number from {} to {}", low, high));
  }
  return value;
}

Result<double> read_number(const Node& node, const Place& place, const NumberLimits& limits) {
  double value = 0;
  const char* end = node.text.data() + node.text.size();
  const auto parsed = std::from_chars(node.text.data(), end, value);
  if (node.kind != Node::Kind::plain || parsed.ec != std::errc{} || parsed.ptr != end || !std::isfinite(value)) {
    return wrong_type(node, place, "a number");
  }
  if (value < limits.low || (limits.low_excluded && value <= limits.low) || value > limits.high) {
    std::string range;
    if (limits.low != kLowestNumber) range = fmt::format(" {} {}", limits.low_excluded ? "above" : "from", limits.low);
    if (limits.high != kHighestNumber) range += fmt::format(" up to {}", limits.high);
    return wrong_value(node, place, "a number" + range);
  }
  return value;
}

Result<bool> read_boolean(const Node& node, const Place& place) {
  if (node.kind == Node::Kind::plain && node.text == "true") return true;
  if (node.kind == Node::Kind::plain && node.text == "false") return false;
  return wrong_type(node, place, "true or false");
}

Result<std::size_t> read_choice(const Node& node, const Place& place, std::span<const std::string_view> values) {
  if (is_scalar(node)) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] == node.text) return i;
    }
    return Error(wrong_value(node, place, one_of(values)).code(), "VRG-DOC-005",
                 wrong_value(node, place, one_of(values)).message() + meant(node.text, values));
  }
  return wrong_type(node, place, one_of(values));
}

Result<void> check_list(const Node& node, const Place& place, std::size_t min_items, std::size_t max_items) {
  if (node.kind != Node::Kind::list) return wrong_type(node, place, "a list");
  if (node.items.size() < min_items || node.items.size() > max_items) {
    return wrong_value(node, place,
                       min_items == max_items ? fmt::format("a list of {}", min_items)
                                              : fmt::format("a list of {} to {}", min_items, max_items));
  }
  return {};
}

Result<void> check_map(const Node& node, const Place& place) {
  if (node.kind != Node::Kind::map) return wrong_type(node, place, "a map of keys and values");
  return {};
}

Result<void> check_keys(const Node& node, const Place& place, std::span<const std::string_view> keys,
                        bool exactly_one) {
  // "- quantise:" with nothing behind it is as good as "- quantise: {}".
  if (node.kind != Node::Kind::null) VERGE_TRY(check_map(node, place));
  for (const auto& [key, value] : node.members) {
    bool known = false;
    for (const auto candidate : keys) known = known || candidate == key;
    if (!known) {
      return Error(ErrorCode::invalid_argument, "VRG-DOC-002",
                   fmt::format("{}: unknown key '{}'{}{}", place.text(value.line), key, meant(key, keys),
                               keys.empty() ? "; it takes no keys" : fmt::format("; expected {}", one_of(keys))));
    }
  }
  if (exactly_one && node.members.size() != 1) {
    return Error(ErrorCode::invalid_argument, "VRG-DOC-006",
                 fmt::format("{}: expected exactly one of {}, got {} keys", place.text(node.line), one_of(keys),
                             node.members.size()));
  }
  return {};
}

Error missing_key(const Node& node, const Place& place, std::string_view key) {
  return Error(ErrorCode::invalid_argument, "VRG-DOC-003",
               fmt::format("{}: the key '{}' is missing; add it", place.text(node.line), key));
}

}  // namespace verge::wire
