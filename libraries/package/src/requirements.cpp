#include "verge/package/requirements.hpp"

#include <algorithm>
#include <charconv>
#include <compare>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "verge/base/text.hpp"

namespace verge::package {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view next_part(std::string_view& rest) {
  const auto end = std::min(rest.find('.'), rest.size());
  const auto part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

int sign(std::strong_ordering order) {
  return std::is_lt(order) ? -1 : std::is_gt(order) ? 1 : 0;
}

/// Numbers come before words; numbers by value, words by their bytes.
int compare_part(std::string_view a, std::string_view b) {
  const auto x = number(a);
  const auto y = number(b);
  if (x && y) return sign(*x <=> *y);
  if (x || y) return x ? -1 : 1;
  return sign(a <=> b);
}

int compare_dotted(std::string_view a, std::string_view b, bool missing_is_zero) {
  while (!a.empty() || !b.empty()) {
    if (!missing_is_zero && (a.empty() || b.empty())) return a.empty() ? -1 : 1;
    const auto x = a.empty() ? std::string_view("0") : next_part(a);
    const auto y = b.empty() ? std::string_view("0") : next_part(b);
    if (const int order = compare_part(x, y); order != 0) return order;
  }
  return 0;
}

struct Needs {
  std::vector<std::string> wanted;
  std::vector<std::string> there;
  void add(std::string want, std::string have) {
    wanted.push_back(std::move(want));
    there.push_back(std::move(have));
  }
};

void check_engines(const wire::Requirements& requirements, const wire::DeviceReport& device, Needs& needs) {
  if (requirements.engines.empty()) return;
  std::vector<std::string> wanted;
  for (const auto& engine : requirements.engines) {
    const auto has = std::ranges::find(device.engines, engine.name, &wire::EngineReport::name);
    const auto version = engine.min_version.value_or("");
    if (has != device.engines.end() &&
        (version.empty() || compare_versions(has->version.value_or("0"), version) >= 0)) {
      return;
    }
    wanted.push_back(version.empty() ? engine.name : engine.name + ">=" + version);
  }
  std::vector<std::string> there;
  for (const auto& engine : device.engines) there.push_back(engine.name + " " + engine.version.value_or("?"));
  needs.add(fmt::format("{}", fmt::join(wanted, " or ")),
            there.empty() ? "no engine" : fmt::format("{}", fmt::join(there, ", ")));
}

void check_bytes(std::int64_t wanted, std::optional<std::int64_t> there, std::string_view of, Needs& needs) {
  if (wanted <= there.value_or(wanted)) return;
  needs.add(human_bytes(static_cast<double>(wanted)) + " of " + std::string(of),
            human_bytes(static_cast<double>(*there)) + " of " + std::string(of));
}

void check_name(const std::vector<std::string>& allowed, const std::string& got, std::string_view of, Needs& needs) {
  if (allowed.empty() || std::ranges::find(allowed, got) != allowed.end()) return;
  needs.add(fmt::format("{} {}", of, fmt::join(allowed, " or ")),
            fmt::format("{} {}", of, got.empty() ? "not stated" : got));
}

}  // namespace

int compare_versions(std::string_view a, std::string_view b) {
  a = a.substr(0, a.find('+'));
  b = b.substr(0, b.find('+'));
  const auto dash_a = std::min(a.find('-'), a.size());
  const auto dash_b = std::min(b.find('-'), b.size());
  if (const int order = compare_dotted(a.substr(0, dash_a), b.substr(0, dash_b), true); order != 0) return order;
  const auto pre_a = a.substr(std::min(dash_a + 1, a.size()));
  const auto pre_b = b.substr(std::min(dash_b + 1, b.size()));
  if (pre_a.empty() || pre_b.empty()) return pre_a.empty() && pre_b.empty() ? 0 : pre_a.empty() ? 1 : -1;
  return compare_dotted(pre_a, pre_b, false);
}

Result<void> check_fit(const wire::TargetCustom& target, const wire::DeviceReport& device) {
  if (target.version_floor && compare_versions(target.version, *target.version_floor) < 0) {
    return Error(ErrorCode::failed_precondition, "VRG-FIT-002",
                 fmt::format("{} {} is below the smallest version allowed, {}; deploy that one or a later one",
                             target.name, target.version, *target.version_floor));
  }
  const auto requirements = target.requirements.value_or(wire::Requirements{});
  Needs needs;
  check_name(requirements.device_types, device.device_type.value_or(""), "device type", needs);
  check_name(requirements.architectures, device.architecture.value_or(""), "architecture", needs);
  check_engines(requirements, device, needs);
  check_bytes(requirements.memory_bytes, device.memory_available_bytes, "memory", needs);
  check_bytes(target.disk_bytes, device.disk_free_bytes, "disk", needs);
  if (needs.wanted.empty()) return {};
  return Error(ErrorCode::failed_precondition, "VRG-FIT-001",
               fmt::format("needs {}; has {}", fmt::join(needs.wanted, " and "), fmt::join(needs.there, " and ")));
}

wire::TargetCustom target_custom(const wire::Metadata& metadata, std::uint64_t disk_bytes) {
  wire::TargetCustom custom;
  custom.kind = wire::TargetKind::model;
  custom.name = metadata.name;
  custom.version = metadata.version;
  custom.requirements = metadata.requirements;
  // A package that names its engine needs it, whether or not it says so under "requirements"; the same for memory.
  auto requirements = custom.requirements.value_or(wire::Requirements{});
  if (metadata.engine != wire::EngineChoice::automatic && requirements.engines.empty()) {
    wire::EngineRequirement engine;
    engine.name = wire::name(metadata.engine);
    requirements.engines.push_back(std::move(engine));
  }
  if (requirements.memory_bytes == 0 && metadata.budget && metadata.budget->memory_bytes) {
    requirements.memory_bytes = *metadata.budget->memory_bytes;
  }
  if (!requirements.engines.empty() || requirements.memory_bytes > 0) custom.requirements = std::move(requirements);
  custom.disk_bytes = static_cast<std::int64_t>(disk_bytes);
  return custom;
}

wire::TargetCustom target_custom(const wire::AgentRelease& release, std::uint64_t disk_bytes) {
  wire::TargetCustom custom;
  custom.kind = wire::TargetKind::agent;
  custom.name = release.name;
  custom.version = release.version;
  custom.requirements = release.requirements;
  custom.disk_bytes = static_cast<std::int64_t>(disk_bytes);
  return custom;
}

}  // namespace verge::package
