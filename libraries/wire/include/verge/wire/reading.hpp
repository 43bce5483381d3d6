// Reading: the checks that generated readers are made of.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/wire/document.hpp"

namespace verge::wire {

inline constexpr std::int64_t kLowestInteger = std::numeric_limits<std::int64_t>::min();
inline constexpr std::int64_t kHighestInteger = std::numeric_limits<std::int64_t>::max();
inline constexpr double kLowestNumber = std::numeric_limits<double>::lowest();
inline constexpr double kHighestNumber = std::numeric_limits<double>::max();

struct StringLimits {
  std::size_t min_length;
  std::size_t max_length;
  std::string_view pattern;  ///< ECMAScript regular expression; empty: any.
};
struct NumberLimits {
  double low;
  double high;
  bool low_excluded;
};

// Each gives the value, or an error that names place and line, what was expected and what came:
// VRG-DOC-002 unknown key, 003 missing key, 004 wrong type, 005 value not allowed, 006 not exactly one key.
Result<std::string> read_string(const Node& node, const Place& place, const StringLimits& limits);
Result<std::int64_t> read_integer(const Node& node, const Place& place, std::int64_t low, std::int64_t high);
Result<double> read_number(const Node& node, const Place& place, const NumberLimits& limits);
Result<bool> read_boolean(const Node& node, const Place& place);
/// Index of the value among `values`.
Result<std::size_t> read_choice(const Node& node, const Place& place, std::span<const std::string_view> values);
Result<void> check_list(const Node& node, const Place& place, std::size_t min_items, std::size_t max_items);
Result<void> check_map(const Node& node, const Place& place);
/// A map with no other keys than these; with `exactly_one`, exactly one of them.
Result<void> check_keys(const Node& node, const Place& place, std::span<const std::string_view> keys, bool exactly_one);
Error missing_key(const Node& node, const Place& place, std::string_view key);

}  // namespace verge::wire
