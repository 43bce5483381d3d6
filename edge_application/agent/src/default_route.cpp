#include "default_route.hpp"

#include <charconv>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

namespace verge::agent {
namespace {

constexpr unsigned kUp = 1;           ///< RTF_UP
constexpr unsigned kReject = 0x0200;  ///< RTF_REJECT
constexpr int kMostRoutes = 10'000;

/// Where a table has what; all numbers in it but IPv4's metric are hexadecimal.
struct Columns {
  std::size_t count, interface, destination, length, flags, metric;
  int metric_base;
};
constexpr Columns kIpv4{11, 0, 1, 7, 3, 6, 10};
constexpr Columns kIpv6{10, 9, 0, 1, 8, 5, 16};

std::optional<std::uint64_t> number(const std::string& text, int base) {
  std::uint64_t value = 0;
  const auto* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value, base);
  return read.ec == std::errc{} && read.ptr == end ? std::optional(value) : std::nullopt;
}

bool is_zero(std::string_view text) {
  return !text.empty() && text.find_first_not_of('0') == std::string_view::npos;
}

std::string best(const std::filesystem::path& table, const Columns& columns) {
  std::ifstream file(table);
  std::string best;
  std::uint64_t least = UINT64_MAX;
  std::string line;
  for (int routes = 0; routes < kMostRoutes && std::getline(file, line); ++routes) {
    std::istringstream words(line);
    std::vector<std::string> found;
    for (std::string word; words >> word;) found.push_back(word);
    if (found.size() < columns.count) continue;
    if (!is_zero(found[columns.destination]) || !is_zero(found[columns.length])) continue;
    const auto flags = number(found[columns.flags], 16);
    const auto metric = number(found[columns.metric], columns.metric_base);
    if (!flags || !metric || (*flags & kUp) == 0 || (*flags & kReject) != 0 || *metric >= least) continue;
    least = *metric;
    best = found[columns.interface];
  }
  return best;
}

}  // namespace

std::string default_route_interface(const std::filesystem::path& folder) {
  auto found = best(folder / "route", kIpv4);
  return found.empty() ? best(folder / "ipv6_route", kIpv6) : found;
}

}  // namespace verge::agent
