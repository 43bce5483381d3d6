// Loading: a repository from its folder, with whatever a crash left there.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "repository_state.hpp"
#include "verge/base/file.hpp"

namespace verge::trust {
namespace {

constexpr std::array<std::string_view, 4> kRoles{kRoot, kTargets, kSnapshot, kTimestamp};

bool declares(const Root& root, std::string_view role, const crypto::PrivateKey& key) {
  const auto& ids = root.roles.find(role)->second.key_ids;
  return std::ranges::find(ids, key_id(key.public_key())) != ids.end();
}

}  // namespace

Error damaged_file(const std::filesystem::path& path, std::string_view what) {
  return Error(ErrorCode::data_loss, "VRG-TUF-010",
               fmt::format("the repository's file '{}' is damaged: {}; bring back a copy", path.string(), what));
}

Result<void> Repository::State::load_keys(bool fresh) {
  for (const std::string_view role : kRoles) {
    auto key = read_private_key(folder, role, false);
    const bool missing = !key && key.error().code() == ErrorCode::not_found;
    if (missing && is_retired(folder, role)) continue;
    if (missing && fresh) {
      key = crypto::PrivateKey::generate(crypto::KeyKind::ed25519);
      VERGE_TRY(write_private_key(folder, role, false, *key));
    } else if (missing) {
      return damaged_file(folder / "keys" / fmt::format("{}.pem", role), "it is missing");
    }
    if (!key) return std::move(key).error();
    keys.insert_or_assign(std::string(role), std::move(*key));
  }
  return {};
}

Result<void> Repository::State::settle_keys(const Root& newest) {
  for (auto& [role, key] : keys) {
    if (declares(newest, role, key)) continue;
    auto next = read_private_key(folder, role, true);
    if (!next || !declares(newest, role, *next)) {
      return damaged_file(folder / "keys" / fmt::format("{}.pem", role), "the root names another key");
    }
    VERGE_TRY(promote_private_key(folder, role));
    key = std::move(*next);
  }
  return {};
}

Result<std::string> Repository::State::text(std::string_view role, std::int64_t version) const {
  auto content = read_text(path(role, version), kTargetsLimitBytes);
  if (!content && content.error().code() == ErrorCode::not_found) {
    return damaged_file(path(role, version), "it is missing");
  }
  return content;
}

Result<SignedFile> Repository::State::load_file(std::string_view role, std::int64_t version) const {
  VERGE_ASSIGN(const std::string content, text(role, version));
  auto file = open_signed(content, is_top_level(role) ? role : kTargets, role);
  if (!file) return damaged_file(path(role, version), file.error().message());
  return file;
}

Result<void> Repository::State::load(std::int64_t now_s) {
  VERGE_TRY(finish_publication());
  const auto version = newest_version(folder / "metadata", kRoot);
  VERGE_TRY(load_keys(version == 0));
  if (version == 0) VERGE_TRY(write_root(root_of(keys, 1, now_s + days(kRoot) * kDay_s), {&key(kRoot)}));
  VERGE_ASSIGN(const SignedFile root_file, load_file(kRoot, std::max<std::int64_t>(version, 1)));
  auto newest = read_root(root_file);
  if (!newest) return damaged_file(path(kRoot, version), newest.error().message());
  VERGE_TRY(settle_keys(*newest));
  root = std::move(*newest);
  VERGE_ASSIGN(root_text, text(kRoot, root.header.version));
  std::error_code failed;
  if (!std::filesystem::exists(path(kTimestamp, 0), failed)) {
    TargetsRoles first;
    first.emplace(kTargets, Targets{});
    return put_in_force(std::move(first), now_s);
  }
  VERGE_ASSIGN(const SignedFile timestamp_file, load_file(kTimestamp, 0));
  auto stamp = read_timestamp(timestamp_file);
  if (!stamp) return damaged_file(path(kTimestamp, 0), stamp.error().message());
  timestamp = std::move(*stamp);
  VERGE_ASSIGN(const SignedFile snapshot_file, load_file(kSnapshot, timestamp.snapshot.version));
  auto shot = read_snapshot(snapshot_file);
  if (!shot || !shot->files.contains("targets.json")) {
    return damaged_file(path(kSnapshot, timestamp.snapshot.version), "it does not list the targets");
  }
  snapshot = std::move(*shot);
  const auto targets_version = snapshot.files.find("targets.json")->second.version;
  VERGE_ASSIGN(const SignedFile targets_file, load_file(kTargets, targets_version));
  VERGE_TRY(load_targets());

  std::string_view lowest;
  for (const SignedFile* file : {&timestamp_file, &snapshot_file, &targets_file}) {
    if (check_signatures(*file, root.roles.find(file->header.role)->second, root.keys)) continue;
    VERGE_TRY(check_signed_before(*file));
    lowest = file->header.role;
  }
  if (lowest.empty()) return {};
  if (lowest == kTargets) return sign_targets_again(now_s);
  if (lowest == kSnapshot) return write_snapshot(snapshot.files, now_s);
  VERGE_ASSIGN(const std::string snapshot_text, text(kSnapshot, snapshot.header.version));
  return write_timestamp(snapshot_text, now_s);
}

Result<void> Repository::State::load_targets() {
  std::vector<std::string> names{std::string(kTargets)};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto meta = snapshot.files.find(names[i] + ".json");
    if (meta == snapshot.files.end()) {
      return damaged_file(path(kSnapshot, snapshot.header.version), fmt::format("it does not list '{}'", names[i]));
    }
    VERGE_ASSIGN(const SignedFile file, load_file(names[i], meta->second.version));
    auto role = read_targets(file);
    if (!role) return damaged_file(path(names[i], meta->second.version), role.error().message());
    if (i == 0 && role->delegations) {
      for (const auto& one : role->delegations->roles) {
        const Role& by = one.role;
        names.push_back(one.name);
        if (names.size() > kRoleLimit || by.key_ids.empty()) return damaged_file(path(kTargets, 0), "too many roles");
      }
    }
    if (i > 0) {
      const auto& by = *top().delegations;
      const auto one = std::ranges::find(by.roles, names[i], &Delegation::name);
      if (!check_signatures(file, one->role, by.keys)) {
        return damaged_file(path(names[i], meta->second.version), "its signature does not fit");
      }
    }
    roles.insert_or_assign(names[i], std::move(*role));
  }
  return {};
}

Result<void> Repository::State::check_signed_before(const SignedFile& file) const {
  for (auto version = root.header.version - 1; version > 0; --version) {
    VERGE_ASSIGN(const SignedFile root_file, load_file(kRoot, version));
    const auto before = read_root(root_file);
    if (before && check_signatures(file, before->roles.find(file.header.role)->second, before->keys)) return {};
  }
  return damaged_file(path(file.header.role, file.header.version), "its signature does not fit");
}

}  // namespace verge::trust
