#include "verge/hub/signing.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core.hpp"
#include "verge/base/file.hpp"

namespace verge::hub {
namespace {

constexpr std::size_t kMostFiles = trust::kRoleLimit;
constexpr std::int64_t kDay_s = 86'400;
constexpr std::int64_t kWarnBefore_s = 30 * kDay_s;

wire::TrustStatus status_of(const trust::Repository& repository) {
  wire::TrustStatus status;
  for (const auto& role : repository.roles()) {
    wire::TrustRole one;
    one.name = role.name;
    one.version = role.version;
    one.expires_s = role.expires_s;
    one.threshold = role.threshold;
    one.paths = role.paths;
    one.targets = static_cast<std::int64_t>(role.targets);
    for (const auto& key : role.keys) {
      wire::TrustKey made;
      made.id = key.id;
      made.kind = key.kind;
      made.held = key.held;
      made.public_key = key.public_key;
      one.keys.push_back(std::move(made));
    }
    status.roles.push_back(std::move(one));
  }
  status.waiting = static_cast<std::int64_t>(repository.changes().size());
  return status;
}

wire::TrustChangeKind kind_of(trust::TargetChange::Kind kind) {
  switch (kind) {
    case trust::TargetChange::Kind::added: return wire::TrustChangeKind::added;
    case trust::TargetChange::Kind::changed: return wire::TrustChangeKind::changed;
    case trust::TargetChange::Kind::removed: break;
  }
  return wire::TrustChangeKind::removed;
}

wire::TrustChange change_of(const trust::TargetChange& change) {
  wire::TrustChange one;
  one.kind = kind_of(change.kind);
  one.role = change.role;
  one.path = change.target.path;
  one.length_bytes = static_cast<std::int64_t>(change.target.length_bytes);
  one.digest = change.target.digest;
  if (auto custom = wire::read_target_custom(change.target.custom, wire::Place("custom"))) one.custom = *custom;
  return one;
}

std::filesystem::path incoming(const Core& core) {
  return core.setup.folder / "trust" / "incoming";
}

Result<trust::MetadataFiles> read_incoming(const std::filesystem::path& folder) {
  trust::MetadataFiles files;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    VERGE_ASSIGN(files[entry.path().filename().string()], read_text(entry.path(), trust::kTargetsLimitBytes));
  }
  return files;
}

}  // namespace

Result<wire::TrustStatus> Signing::status(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  const std::lock_guard lock(core_.trust_mutex);
  return status_of(core_.trust);
}

Result<wire::TrustChanges> Signing::changes(const Principal& caller, const std::string& after, std::int64_t limit) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  wire::TrustChanges answer;
  const std::lock_guard lock(core_.trust_mutex);
  for (const auto& change : core_.trust.changes()) {
    if (change.target.path <= after) continue;
    answer.more = static_cast<std::int64_t>(answer.changes.size()) == limit;
    if (answer.more) break;
    answer.changes.push_back(change_of(change));
  }
  return answer;
}

Result<wire::TrustKey> Signing::next_key(const Principal& caller, const std::string& role) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  wire::TrustKey key;
  {
    const std::lock_guard lock(core_.trust_mutex);
    VERGE_ASSIGN(const auto next, core_.trust.next_key(role));
    key.id = next.id;
    key.kind = next.kind;
    key.held = next.held;
    key.public_key = next.public_key;
  }
  VERGE_TRY(core_.change_only([&](Change& change) -> Result<void> {
    core_.event(change.store, caller, "trust.key", role, key.id);
    return {};
  }));
  return key;
}

Result<void> Signing::put(const Principal& caller, const std::string& file, std::string_view text) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  const std::lock_guard lock(core_.trust_mutex);
  const auto folder = incoming(core_);
  std::error_code failed;
  const auto there = static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder, failed), std::filesystem::directory_iterator()));
  if (!trust::is_publication_file(file) || there >= kMostFiles) {
    return Error(ErrorCode::invalid_argument, "VRG-HUB-047",
                 fmt::format("expected metadata such as '2.root.json' or '5.targets.json', at most {} files, got '{}'",
                             kMostFiles, file));
  }
  return write_file(folder / file, text);
}

Result<void> Signing::forget(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  const std::lock_guard lock(core_.trust_mutex);
  std::error_code ignored;
  std::filesystem::remove_all(incoming(core_), ignored);
  return {};
}

Result<wire::TrustStatus> Signing::publish(const Principal& caller, bool adopt) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  if (adopt) {
    VERGE_TRY(core_.change_only([&](Change& change) -> Result<void> {
      if (change.store.devices().empty()) return {};
      return Error(ErrorCode::failed_precondition, "VRG-HUB-048",
                   "another chain of trust can only be taken before the first device joins: this hub's devices would "
                   "refuse it; start a hub with an empty folder for it");
    }));
  }
  wire::TrustStatus status;
  {
    const std::lock_guard lock(core_.trust_mutex);
    auto files = read_incoming(incoming(core_));
    std::error_code ignored;
    std::filesystem::remove_all(incoming(core_), ignored);
    VERGE_TRY(files);
    const auto now_s = core_.now() / 1000;
    if (auto done = core_.trust.accept(*files, adopt, now_s); !done) {
      core_.log.error("metadata refused", {{"by", caller.who()}, {"error", done.error().text()}});
      return Error(std::move(done).error());
    }
    core_.note_signed();
    status = status_of(core_.trust);
  }
  const auto root = status.roles.front().version;
  core_.log.info("metadata published", {{"by", caller.who()}, {"root", std::to_string(root)}});
  VERGE_TRY(core_.change_only([&](Change& change) -> Result<void> {
    core_.event(change.store, caller, "trust.publish", adopt ? "another chain" : "metadata",
                fmt::format("root {}, {} targets wait", root, status.waiting));
    return {};
  }));
  return status;
}

void Signing::warn_of_expiry() {
  const auto now_s = core_.now() / 1000;
  if (core_.now() < next_warning_ms_) return;
  next_warning_ms_ = (now_s + kDay_s) * 1000;
  std::vector<trust::RoleInfo> roles;
  {
    const std::lock_guard lock(core_.trust_mutex);
    roles = core_.trust.roles();
  }
  std::erase_if(roles, [&](const trust::RoleInfo& role) {
    return role.expires_s - now_s >= kWarnBefore_s || std::ranges::any_of(role.keys, &trust::RoleInfo::Key::held);
  });
  if (roles.empty()) return;
  const auto first = *std::ranges::min_element(roles, {}, &trust::RoleInfo::expires_s);
  core_.log.warning("metadata is to be signed anew: verge trust fetch, sign, publish",
                    {{"role", first.name},
                     {"days_left", std::to_string((first.expires_s - now_s) / kDay_s)},
                     {"roles", std::to_string(roles.size())}});
}

}  // namespace verge::hub
