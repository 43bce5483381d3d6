#include "bundle_folder.hpp"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/base/rest.hpp"
#include "verge/base/text.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::agent {
namespace {

constexpr std::chrono::seconds kPause{2};
constexpr std::string_view kSuffix = ".bundle";
constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
constexpr std::size_t kNameLimit = 128;
/// Most files of a folder that are looked at, and bundles that are remembered.
constexpr int kMostFiles = 10'000;
constexpr std::size_t kMostEnded = 1000;
constexpr const char* kEndedFile = "bundles_ended.txt";
constexpr std::uint64_t kEndedLimit_bytes = 1U << 20U;

bool is_plain(std::string_view name) {
  return name.size() <= kNameLimit && name.front() != '.' && name.front() != '-' &&
         name.find_first_not_of(kPlain) == std::string_view::npos;
}

/// What a bundle asks for, whatever its file is called.
std::string mark_of(const CarriedNetwork::Carried& carried) {
  return crypto::sha256(wire::write_json_line(wire::to_node(carried.reader.description())));
}

Error no_plain_file() {
  return {
      ErrorCode::invalid_argument, "VRG-AGT-095",
      "expected a file whose name has letters, digits, '.', '_' and '-' only, got a link, a folder or another name; "
      "copy the bundle itself, or rename it"};
}

std::string now_text() {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(std::time(nullptr)));
}

/// What became of an application that a bundle asked for.
std::string outcome_of(const wire::DesiredApplication& wanted, const std::vector<wire::ReportedApplication>& reported) {
  const auto found = std::ranges::find(reported, wanted.application, &wire::ReportedApplication::application);
  if (found == reported.end() || !found->update || found->update->deployment != wanted.deployment) {
    return "overtaken by a newer wish of the hub";
  }
  std::string text(wire::name(found->update->state));
  if (found->update->reason)
    text += fmt::format(": {} [{}]", found->update->reason->message, found->update->reason->id);
  return text;
}

}  // namespace

BundleFolder::BundleFolder(Log& log, std::filesystem::path folder, update::Files& files, HubLink& hub)
    : log_(log), folder_(std::move(folder)), files_(files), hub_(hub) {
  const auto text = files_.read(kEndedFile, kEndedLimit_bytes).value_or("");
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    ended_.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

BundleFolder::~BundleFolder() = default;

void BundleFolder::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    look();
    rest(kPause, stop);
  }
}

std::optional<BundleFolder::Stamp> BundleFolder::stamp_of(const std::filesystem::path& file) {
  struct stat status {};
  if (::lstat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return Stamp{status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

void BundleFolder::look() {
  // Also while one goes on: a file must lie still between two looks.
  const auto names = settled_names();
  if (goes_on()) return;
  std::vector<Candidate> candidates;
  for (const auto& name : names) {
    if (auto candidate = judge(name)) candidates.push_back(std::move(*candidate));
  }
  if (!candidates.empty()) apply_newest(std::move(candidates));
}

std::vector<std::string> BundleFolder::settled_names() {
  std::map<std::string, Seen> seen;
  std::vector<std::string> settled;
  DIR* opened = ::opendir(folder_.c_str());
  for (int files = 0; opened != nullptr && files < kMostFiles; ++files) {
    const dirent* entry = ::readdir(opened);
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name.starts_with('.') || !name.ends_with(kSuffix)) continue;
    const auto before = seen_.find(name);
    const bool known = before != seen_.end();
    const auto stamp = stamp_of(folder_ / name);
    if (!stamp || !is_plain(name)) {
      if (!known) {
        log_.warning("a bundle is refused", {{"file", encode_percent(name)}, {"error", no_plain_file().text()}});
      }
      seen[name] = {stamp.value_or(Stamp{}), true};
      continue;
    }
    const bool same = known && before->second.stamp == *stamp;
    seen[name] = {*stamp, same && before->second.judged};
    if (same && !before->second.judged) settled.push_back(name);
  }
  if (opened != nullptr) ::closedir(opened);
  seen_ = std::move(seen);
  return settled;
}

bool BundleFolder::goes_on() {
  const auto carried = hub_.bundle();
  if (!applied_ && carried && carried->file.parent_path() == folder_) {
    // Gone on with after a restart.
    applied_ = Applied{carried->file, stamp_of(carried->file).value_or(Stamp{}), carried};
  }
  if (!applied_) return carried != nullptr;
  if (carried && carried->file == applied_->file) {
    const auto stamp = stamp_of(applied_->file);
    if (!stamp || *stamp == applied_->stamp) return true;
    // The stick was pulled out and put in again, or the file was copied anew: the one that is open is of no use.
    const auto again = hub_.apply_bundle(applied_->file);
    if (again) applied_->stamp = *stamp;
    return true;
  }
  end(*applied_);
  applied_.reset();
  return carried != nullptr;
}

std::optional<BundleFolder::Candidate> BundleFolder::judge(const std::string& name) {
  const auto file = folder_ / name;
  auto& seen = seen_[name];
  seen.judged = true;
  auto carried = open_bundle(file, hub_.device_name());
  if (!carried && carried.error().id() == "VRG-AGT-046") {
    log_.info("a bundle is for other devices", {{"file", file.string()}});
    return std::nullopt;
  }
  if (!carried) {
    refuse(file, carried.error());
    return std::nullopt;
  }
  const auto mark = mark_of(**carried);
  if (has_ended(mark) || has_ended(fmt::format("{} {}", mark, seen.stamp.changed_s))) return std::nullopt;
  if ((*carried)->desired.version < hub_.desired_version()) {
    log_.info("a bundle is older than what runs here", {{"file", file.string()}});
    return std::nullopt;
  }
  return Candidate{name, std::move(*carried)};
}

void BundleFolder::apply_newest(std::vector<Candidate> candidates) {
  std::ranges::sort(candidates, [this](const Candidate& a, const Candidate& b) {
    const auto key = [this](const Candidate& one) {
      return std::pair(one.carried->desired.version, seen_[one.name].stamp.changed_s);
    };
    return key(a) > key(b);
  });
  const auto& newest = candidates.front();
  for (const auto& other : candidates) {
    if (&other == &newest) continue;
    log_.info("a bundle is passed over for a newer one",
              {{"file", (folder_ / other.name).string()}, {"newer", newest.name}});
  }
  const auto file = folder_ / newest.name;
  const auto applied = hub_.apply_bundle(file);
  if (!applied) return refuse(file, applied.error());
  applied_ = Applied{file, seen_[newest.name].stamp, newest.carried};
}

void BundleFolder::end(const Applied& applied) {
  const auto reported = hub_.applications();
  const auto& desired = applied.carried->desired;
  std::string text =
      fmt::format("{}\nbundle {} for {}\n", now_text(), applied.file.filename().string(), desired.device);
  bool all = true;
  for (const auto& wanted : desired.applications) {
    const auto outcome = outcome_of(wanted, reported);
    all = all && outcome == wire::name(wire::UpdateState::committed);
    text += fmt::format("{} {}: {}\n", wanted.application, wanted.version, outcome);
  }
  log_.info("a bundle has ended", {{"file", applied.file.string()}, {"committed", all}});
  write_outcome(applied.file, text);
  // What was not taken may have been a bad copy: another one of it gets its chance.
  const auto mark = mark_of(*applied.carried);
  remember(all ? mark : fmt::format("{} {}", mark, applied.stamp.changed_s));
}

void BundleFolder::refuse(const std::filesystem::path& file, const Error& error) {
  log_.warning("a bundle is refused", {{"file", file.string()}, {"error", error.text()}});
  write_outcome(file, fmt::format("{}\nbundle {}\nrefused: {}\n", now_text(), file.filename().string(), error.text()));
}

void BundleFolder::write_outcome(const std::filesystem::path& file, const std::string& text) {
  if (!stamp_of(file)) return;  // The stick is out.
  auto beside = file;
  beside += ".outcome.txt";
  const auto written = write_file(beside, std::string_view(text));
  if (!written) log_.info("the outcome stands in the log only", {{"error", written.error().text()}});
}

bool BundleFolder::has_ended(const std::string& mark) const {
  return std::ranges::find(ended_, mark) != ended_.end();
}

void BundleFolder::remember(std::string mark) {
  ended_.push_back(std::move(mark));
  if (ended_.size() > kMostEnded) ended_.pop_front();
  const auto kept = files_.write(kEndedFile, fmt::format("{}\n", fmt::join(ended_, "\n")));
  if (!kept) log_.warning("a bundle may be applied again after a restart", {{"error", kept.error().text()}});
}

}  // namespace verge::agent
