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

std::string next_opening(const std::vector<wire::DownloadWindow>& windows, const std::tm& now) {
  constexpr const char* kNames[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
  for (int ahead = 1; ahead <= kDays * kMinutesOfDay; ++ahead) {
    const int minute = now.tm_hour * 60 + now.tm_min + ahead;
    const int day = (now.tm_wday + minute / kMinutesOfDay) % kDays;
    if (any_open(windows, day, minute % kMinutesOfDay)) {
      return fmt::format("{} {:02}:{:02}", kNames[day], minute % kMinutesOfDay / 60, minute % 60);
    }
  }
  return "never";
}

}  // namespace

DownloadPolicy::DownloadPolicy(wire::HubDownloads wanted, std::filesystem::path file)
    : wanted_(std::move(wanted)), file_(std::move(file)) {
  const auto text = read_text(file_, kFileLimit_bytes);
  if (!text) return;
  // "2026-11-27 12345"; what cannot be read counts as nothing.
  const auto space = text->find(' ');
  if (space == std::string::npos) return;
  const auto* begin = text->data() + space + 1;
  if (std::from_chars(begin, text->data() + text->size(), bytes_).ec == std::errc{}) day_ = text->substr(0, space);
  saved_bytes_ = bytes_;
}

void DownloadPolicy::begin_day(std::time_t now) {
  auto today = fmt::format("{:%Y-%m-%d}", local(now));
  if (today == day_) return;
  day_ = std::move(today);
  bytes_ = saved_bytes_ = 0;
}

Result<void> DownloadPolicy::admit(std::time_t now) {
  const auto parts = local(now);
  if (!wanted_.windows.empty() && !any_open(wanted_.windows, parts.tm_wday, parts.tm_hour * 60 + parts.tm_min)) {
    return Error(ErrorCode::unavailable, "VRG-AGT-036",
                 fmt::format("downloads wait: no window of 'hub: downloads' is open now, the next one opens on {}",
                             next_opening(wanted_.windows, parts)));
  }
  if (!wanted_.max_bytes_per_day) return {};
  begin_day(now);
  if (bytes_ < static_cast<std::uint64_t>(*wanted_.max_bytes_per_day)) return {};
  return Error(ErrorCode::unavailable, "VRG-AGT-037",
               fmt::format("downloads wait for tomorrow: {} of the {} a day in 'hub: downloads' have come today",
                           human_bytes(static_cast<double>(bytes_)),
                           human_bytes(static_cast<double>(*wanted_.max_bytes_per_day))));
}

void DownloadPolicy::count(std::uint64_t bytes, std::time_t now) {
  if (!wanted_.max_bytes_per_day) return;
  begin_day(now);
  bytes_ += bytes;
  if (bytes_ - saved_bytes_ >= kSaveEvery_bytes) save();
}

void DownloadPolicy::save() {
  if (bytes_ == saved_bytes_) return;
  // A count that cannot be written is only too small after a restart.
  if (write_file(file_, std::string_view(fmt::format("{} {}\n", day_, bytes_)))) saved_bytes_ = bytes_;
}

}  // namespace verge::agent
