#include "download_policy.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/base/text.hpp"

namespace verge::agent {
namespace {

constexpr int kMinutesOfDay = 24 * 60;
constexpr int kDays = 7;
constexpr std::uint64_t kFileLimit_bytes = 256;

/// Minutes since midnight of "22:30", which the schema has checked.
int minutes_of(const std::string& text) {
  return ((text[0] - '0') * 10 + (text[1] - '0')) * 60 + (text[3] - '0') * 10 + (text[4] - '0');
}

/// `day`: 0 is Sunday, as in std::tm.
bool begins_on(const wire::DownloadWindow& window, int day) {
  const auto weekday = static_cast<wire::Weekday>((day + kDays - 1) % kDays);
  return window.days.empty() || std::ranges::find(window.days, weekday) != window.days.end();
}

bool is_open(const wire::DownloadWindow& window, int day, int minute) {
  const int from = minutes_of(window.from);
  const int to = minutes_of(window.to);
  if (from < to) return begins_on(window, day) && minute >= from && minute < to;
  return (begins_on(window, day) && minute >= from) || (begins_on(window, (day + kDays - 1) % kDays) && minute < to);
}

bool any_open(const std::vector<wire::DownloadWindow>& windows, int day, int minute) {
  return std::ranges::any_of(windows, [&](const auto& window) { return is_open(window, day, minute); });
}

std::tm local(std::time_t now) {
  std::tm parts{};
  ::localtime_r(&now, &parts);
  return parts;
}

/// The next minute at which `windows` are open (or closed), as "Friday 22:00".
std::string next_change(const std::vector<wire::DownloadWindow>& windows, const std::tm& now, bool open) {
  constexpr const char* kNames[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
  for (int ahead = 1; ahead <= kDays * kMinutesOfDay; ++ahead) {
    const int minute = now.tm_hour * 60 + now.tm_min + ahead;
    const int day = (now.tm_wday + minute / kMinutesOfDay) % kDays;
    if (any_open(windows, day, minute % kMinutesOfDay) == open) {
      return fmt::format("{} {:02}:{:02}", kNames[day], minute % kMinutesOfDay / 60, minute % 60);
    }
  }
  return "never";
}

/// "1 MiB of the 2 MiB a day".
std::string share_text(std::uint64_t bytes, std::int64_t allowed) {
  return fmt::format("{} of the {} a day", human_bytes(static_cast<double>(bytes)),
                     human_bytes(static_cast<double>(allowed)));
}

}  // namespace

DownloadPolicy::DownloadPolicy(wire::HubDownloads wanted, std::filesystem::path file,
                               std::function<std::string()> route)
    : wanted_(std::move(wanted)), file_(std::move(file)), route_(std::move(route)) {
  const auto text = read_text(file_, kFileLimit_bytes);
  if (!text) return;
  // "2026-11-27 12345 678", the last on a metered link; what cannot be read counts as nothing.
  const auto space = text->find(' ');
  if (space == std::string::npos) return;
  const auto* end = text->data() + text->size();
  const auto all = std::from_chars(text->data() + space + 1, end, bytes_);
  if (all.ec != std::errc{}) return;
  day_ = text->substr(0, space);
  if (all.ptr != end) std::from_chars(all.ptr + 1, end, metered_bytes_);
  saved_bytes_ = bytes_;
}

void DownloadPolicy::begin_day(std::time_t now) {
  auto today = fmt::format("{:%Y-%m-%d}", local(now));
  if (today == day_) return;
  day_ = std::move(today);
  bytes_ = metered_bytes_ = saved_bytes_ = 0;
}

const std::string& DownloadPolicy::metered(std::time_t now) {
  if (!wanted_.metered || now == looked_) return metered_;
  looked_ = now;
  metered_.clear();
  const auto parts = local(now);
  if (any_open(wanted_.metered->hours, parts.tm_wday, parts.tm_hour * 60 + parts.tm_min)) {
    metered_ = fmt::format("until {}", next_change(wanted_.metered->hours, parts, false));
    return metered_;
  }
  const auto& interfaces = wanted_.metered->interfaces;
  if (interfaces.empty()) return metered_;
  const auto route = route_();
  if (std::ranges::find(interfaces, route) != interfaces.end()) {
    metered_ = fmt::format("while the default route goes through {}", route);
  }
  return metered_;
}

Result<void> DownloadPolicy::admit_metered(const std::string& why, const DownloadContent& content) const {
  if (wanted_.metered->allow == wire::MeteredAllowance::nothing) {
    return Error(ErrorCode::unavailable, "VRG-AGT-051",
                 fmt::format("downloads wait: the link is metered {}, and 'hub: downloads: metered' allows nothing "
                             "to be fetched then",
                             why));
  }
  const bool small = content.is_delta || content.bytes_there < kDocument_bytes;
  if (wanted_.metered->allow == wire::MeteredAllowance::deltas_only && !small) {
    return Error(ErrorCode::unavailable, "VRG-AGT-052",
                 fmt::format("downloads wait: the link is metered {}, 'hub: downloads: metered' allows only deltas "
                             "then, and there is none for a file that is needed",
                             why));
  }
  const auto& allowed = wanted_.metered->max_bytes_per_day;
  if (!allowed || metered_bytes_ < static_cast<std::uint64_t>(*allowed)) return {};
  return Error(ErrorCode::unavailable, "VRG-AGT-053",
               fmt::format("downloads wait for tomorrow: {} in 'hub: downloads: metered' have come today",
                           share_text(metered_bytes_, *allowed)));
}

Result<void> DownloadPolicy::admit(std::time_t now, const DownloadContent& content) {
  const auto parts = local(now);
  if (!wanted_.windows.empty() && !any_open(wanted_.windows, parts.tm_wday, parts.tm_hour * 60 + parts.tm_min)) {
    return Error(ErrorCode::unavailable, "VRG-AGT-036",
                 fmt::format("downloads wait: no window of 'hub: downloads' is open now, the next one opens on {}",
                             next_change(wanted_.windows, parts, true)));
  }
  begin_day(now);
  if (wanted_.max_bytes_per_day && bytes_ >= static_cast<std::uint64_t>(*wanted_.max_bytes_per_day)) {
    return Error(ErrorCode::unavailable, "VRG-AGT-037",
                 fmt::format("downloads wait for tomorrow: {} in 'hub: downloads' have come today",
                             share_text(bytes_, *wanted_.max_bytes_per_day)));
  }
  const auto& why = metered(now);
  return why.empty() ? Result<void>{} : admit_metered(why, content);
}

void DownloadPolicy::count(std::uint64_t bytes, std::time_t now) {
  const bool counts = wanted_.max_bytes_per_day || (wanted_.metered && wanted_.metered->max_bytes_per_day);
  if (!counts) return;
  begin_day(now);
  bytes_ += bytes;
  if (!metered(now).empty()) metered_bytes_ += bytes;
  if (bytes_ - saved_bytes_ >= kSaveEvery_bytes) save();
}

void DownloadPolicy::save() {
  if (bytes_ == saved_bytes_) return;
  // A count that cannot be written is only too small after a restart.
  const auto text = fmt::format("{} {} {}\n", day_, bytes_, metered_bytes_);
  if (write_file(file_, std::string_view(text))) saved_bytes_ = bytes_;
}

}  // namespace verge::agent
