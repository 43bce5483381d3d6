#include "device_life.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace verge::power_loss {
namespace {

constexpr int kStepsUntilItMustEnd = 400;

/// The names in a folder, those of folders with a '/' behind.
std::set<std::string> names_in(const DiskImage& image, const std::string& folder) {
  std::set<std::string> names;
  const auto prefix = folder.empty() ? std::string("/") : "/" + folder + "/";
  const auto add = [&](const std::string& path, const char* kind) {
    if (!path.starts_with(prefix)) return;
    const auto rest = path.substr(prefix.size());
    if (rest.find('/') == std::string::npos) names.insert(rest + kind);
  };
  for (const auto& [path, content] : image.files) add(path, "");
  for (const auto& path : image.folders) add(path, "/");
  return names;
}

const std::string* content_of(const DiskImage& image, const std::string& name) {
  const auto found = image.files.find("/" + name);
  return found == image.files.end() ? nullptr : found->second.get();
}

std::string folder_of(std::string_view name) {
  const auto slash = name.substr(0, name.size() - (name.ends_with('/') ? 1 : 0)).rfind('/');
  return std::string(slash == std::string_view::npos ? std::string_view() : name.substr(0, slash));
}

std::string last_of(const std::string& name) {
  const auto folder = folder_of(name);
  return folder.empty() ? name : name.substr(folder.size() + 1);
}

}  // namespace

Result<void> KeptPromises::write(const std::string& name, std::string_view content) {
  VERGE_TRY(files_.write(name, content));
  if (!looks_) return {};
  const auto left = disk_.after({});
  const auto* there = content_of(left, name);
  if (there == nullptr || *there != content) broken.push_back("a write of " + name + " was acknowledged and is lost");
  return {};
}

Result<void> KeptPromises::sync(const std::string& name) {
  VERGE_TRY(files_.sync(name));
  if (!looks_) return {};
  const auto now = disk_.image();
  if (const auto* content = content_of(now, name); content != nullptr) {
    const auto left = disk_.after({Loss::Fate::kept, Loss::Fate::lost, 0, false});
    const auto* there = content_of(left, name);
    if (there == nullptr || *there != *content) broken.push_back("a sync of " + name + " did not keep its content");
    return {};
  }
  std::set<std::string> whole{name};
  for (auto& move : moves_) {
    move.unsynced.erase(name);
    if (!move.unsynced.empty()) continue;
    for (const auto& moved : move.names) whole.insert(folder_of(moved));
  }
  std::erase_if(moves_, [](const Move& move) { return move.unsynced.empty(); });
  const auto left = disk_.after({});
  for (const auto& folder : whole) {
    if (promised_names(left, folder) != promised_names(now, folder)) {
      broken.push_back("a sync of " + name + " did not keep the names in " + folder);
    }
  }
  return {};
}

std::set<std::string> KeptPromises::promised_names(const DiskImage& image, const std::string& folder) const {
  auto names = names_in(image, folder);
  for (const auto& move : moves_) {
    for (const auto& moved : move.names) {
      if (folder_of(moved) == folder) names.erase(last_of(moved));
    }
  }
  return names;
}

Result<void> KeptPromises::rename(const std::string& from, const std::string& to) {
  const bool is_folder = disk_.peek("/" + from) == nullptr;
  VERGE_TRY(files_.rename(from, to));
  const char* kind = is_folder ? "/" : "";
  if (folder_of(from) != folder_of(to)) moves_.push_back({{from + kind, to + kind}, {folder_of(from), folder_of(to)}});
  return {};
}

const at_rest::DataKeys& store_keys() {
  static const auto* const made = [] {
    auto* const keys = new at_rest::DataKeys;
    keys->add({}, std::make_shared<const at_rest::Secret>(at_rest::Secret::random()));
    return keys;
  }();
  return *made;
}

DeviceLife::DeviceLife(const simulator::Hub& hub, ModelledDisk& disk, bool looks_at_promises)
    : files_(disk, looks_at_promises), network_(hub, chance_, 0), runtime_(hub, disk, clock_, chance_) {
  // A disk that does not answer: the service manager starts the agent again.
  constexpr int kStarts = 1000;
  const bool encrypted = disk.peek(kEncryptedMark) != nullptr;
  if (encrypted) runtime_.keys = &store_keys();
  auto& files = encrypted ? static_cast<update::Files&>(encrypted_files_) : files_;
  for (int i = 0; !updater_; ++i) {
    auto made = update::Updater::create({clock_, chance_, files, network_, runtime_}, hub.root());
    if (made) updater_ = std::move(*made);
    if (!made && i == kStarts) throw Violation{"the agent does not start: " + made.error().text()};
  }
  updater_->restore();
}

void DeviceLife::want(const wire::DesiredState& desired) {
  desired_ = desired;
  updater_->want(desired);
}

void DeviceLife::step() {
  clock_.pass(std::min<std::int64_t>(wait_ms_, 60'000) + 1);
  wait_ms_ = updater_->step();
}

std::string DeviceLife::end_of(const std::string& application) const {
  const auto wanted = std::ranges::find(desired_.applications, application, &wire::DesiredApplication::application);
  for (const auto& report : updater_->applications()) {
    if (report.application != application || !report.update || wanted == desired_.applications.end()) continue;
    if (report.update->deployment != wanted->deployment) continue;
    switch (report.update->state) {
      case wire::UpdateState::committed:
      case wire::UpdateState::rolled_back:
      case wire::UpdateState::refused:
      case wire::UpdateState::failed: return std::string(wire::name(report.update->state));
      default: break;
    }
  }
  return {};
}

bool DeviceLife::ended() const {
  for (const auto& wanted : desired_.applications) {
    if (end_of(wanted.application).empty()) return false;
  }
  const auto reports = updater_->applications();
  return reports.size() == desired_.applications.size() && std::ranges::all_of(reports, [&](const auto& report) {
           return !report.active || runtime_.running.contains(report.application);
         });
}

void DeviceLife::run_to_end() {
  for (int i = 0; !ended(); ++i) {
    if (i == kStepsUntilItMustEnd) throw Violation{"the update does not end"};
    step();
  }
  // What is no longer needed is removed in the steps after.
  for (int i = 0; i < 2; ++i) step();
}

}  // namespace verge::power_loss
