#include "verge/trust/repository.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "canonical_json.hpp"
#include "repository_files.hpp"
#include "verge/base/file.hpp"

namespace verge::trust {
namespace {

constexpr std::int64_t kDay_s = 86'400;
constexpr std::array<std::string_view, 4> kRoles{kRoot, kTargets, kSnapshot, kTimestamp};
/// Old versions of targets and snapshot stay for clients that are in the middle of a refresh.
constexpr std::int64_t kKeptVersions = 16;

Error damaged(const std::filesystem::path& path, std::string_view what) {
  return Error(ErrorCode::data_loss, "VRG-TUF-010",
               fmt::format("the repository's file '{}' is damaged: {}; bring back a copy", path.string(), what));
}

/// The same for the same target, whatever the order of its fields.
std::string spelling(const Target& target) {
  return fmt::format("{}\n{}\n{}\n{}", target.path, target.length_bytes, target.digest,
                     canonical_json(target.custom).value_or(""));
}

}  // namespace

struct Repository::State {
  std::filesystem::path folder;
  Lifetimes lifetimes;
  RoleKeys keys;
  std::string root_text;
  Header root;
  Header timestamp;
  Header snapshot;
  Header targets;
  std::vector<Target> published;

  [[nodiscard]] std::filesystem::path path(std::string_view role, std::int64_t version) const {
    return folder / "metadata" / (role == kTimestamp ? "timestamp.json" : fmt::format("{}.{}.json", version, role));
  }
  [[nodiscard]] int days(std::string_view role) const {
    if (role == kRoot) return lifetimes.root_days;
    if (role == kTargets) return lifetimes.targets_days;
    return role == kSnapshot ? lifetimes.snapshot_days : lifetimes.timestamp_days;
  }
  [[nodiscard]] std::int64_t expiry(std::string_view role, std::int64_t now_s) const {
    return now_s + days(role) * kDay_s;
  }
  [[nodiscard]] bool is_old(const Header& header, std::int64_t now_s) const {
    return header.expires_s - now_s < days(header.role) * kDay_s / 2;
  }
  [[nodiscard]] const crypto::PrivateKey& key(std::string_view role) const { return keys.find(role)->second; }

  Result<void> load_keys(bool fresh);
  /// Settles which of two keys a rotation that was cut off left in force.
  Result<void> settle_keys(const Root& newest);
  Result<SignedFile> load_file(std::string_view role, std::int64_t version) const;
  Result<void> load(std::int64_t now_s);
  /// A rotation that was cut off leaves metadata signed by the key of an earlier root. Errors: VRG-TUF-010.
  Result<void> check_signed_before(const SignedFile& file) const;
  Result<void> write_root(const std::vector<const crypto::PrivateKey*>& signers, std::int64_t now_s);
  /// Writes the targets role and what stands on it; the timestamp, which puts them in force, last.
  Result<void> write_targets(const std::vector<Target>& list, std::int64_t now_s);
  Result<void> write_snapshot(std::string_view targets_text, std::int64_t now_s);
  Result<void> write_timestamp(std::string_view snapshot_text, std::int64_t now_s);
  Result<std::string> text(std::string_view role, std::int64_t version) const;
  void remove_old(std::string_view role, std::int64_t version) const;
  /// Signs `role` and what stands on it again.
  Result<void> sign_again(std::string_view role, std::int64_t now_s);
};

Result<void> Repository::State::load_keys(bool fresh) {
  for (const std::string_view role : kRoles) {
    auto key = read_private_key(folder, role, false);
    if (!key && key.error().code() == ErrorCode::not_found && fresh) {
      key = crypto::PrivateKey::generate(crypto::KeyKind::ed25519);
      VERGE_TRY(write_private_key(folder, role, false, *key));
    }
    if (!key && key.error().code() == ErrorCode::not_found) {
      return damaged(folder / "keys" / fmt::format("{}.pem", role), "it is missing");
    }
    if (!key) return std::move(key).error();
    keys.insert_or_assign(std::string(role), std::move(*key));
  }
  return {};
}

Result<void> Repository::State::settle_keys(const Root& newest) {
  for (const std::string_view role : kRoles) {
    const auto declared = [&](const crypto::PrivateKey& key) {
      const auto& ids = newest.roles.find(role)->second.key_ids;
      return std::ranges::find(ids, key_id(key.public_key())) != ids.end();
    };
    if (declared(key(role))) continue;
    auto next = read_private_key(folder, role, true);
    if (!next || !declared(*next)) {
      return damaged(folder / "keys" / fmt::format("{}.pem", role), "the root names another key");
    }
    VERGE_TRY(promote_private_key(folder, role));
    keys.insert_or_assign(std::string(role), std::move(*next));
  }
  return {};
}

Result<std::string> Repository::State::text(std::string_view role, std::int64_t version) const {
  auto content = read_text(path(role, version), kTargetsLimitBytes);
  if (!content && content.error().code() == ErrorCode::not_found) {
    return damaged(path(role, version), "it is missing");
  }
  return content;
}

Result<SignedFile> Repository::State::load_file(std::string_view role, std::int64_t version) const {
  VERGE_ASSIGN(const std::string content, text(role, version));
  auto file = open_signed(content, role, role);
  if (!file) return damaged(path(role, version), file.error().message());
  return file;
}

Result<void> Repository::State::load(std::int64_t now_s) {
  const auto version = newest_version(folder / "metadata", kRoot);
  VERGE_TRY(load_keys(version == 0));
  if (version == 0) VERGE_TRY(write_root({&key(kRoot)}, now_s));
  VERGE_ASSIGN(const SignedFile root_file, load_file(kRoot, std::max<std::int64_t>(version, 1)));
  auto newest = read_root(root_file);
  if (!newest) return damaged(path(kRoot, version), newest.error().message());
  VERGE_TRY(settle_keys(*newest));
  root = newest->header;
  VERGE_ASSIGN(root_text, text(kRoot, root.version));
  std::error_code failed;
  if (!std::filesystem::exists(path(kTimestamp, 0), failed)) return write_targets({}, now_s);

  VERGE_ASSIGN(const SignedFile timestamp_file, load_file(kTimestamp, 0));
  const auto stamp = read_timestamp(timestamp_file);
  if (!stamp) return damaged(path(kTimestamp, 0), stamp.error().message());
  timestamp = stamp->header;
  VERGE_ASSIGN(const SignedFile snapshot_file, load_file(kSnapshot, stamp->snapshot.version));
  const auto shot = read_snapshot(snapshot_file);
  if (!shot || !shot->files.contains("targets.json")) {
    return damaged(path(kSnapshot, stamp->snapshot.version), "it does not list the targets");
  }
  snapshot = shot->header;
  VERGE_ASSIGN(const SignedFile targets_file, load_file(kTargets, shot->files.find("targets.json")->second.version));
  auto list = read_targets(targets_file);
  if (!list) return damaged(path(kTargets, targets_file.header.version), list.error().message());
  targets = list->header;
  for (auto& [name, target] : list->targets) published.push_back(std::move(target));

  std::string_view lowest;
  for (const SignedFile* file : {&timestamp_file, &snapshot_file, &targets_file}) {
    if (check_signatures(*file, newest->roles.find(file->header.role)->second, newest->keys)) continue;
    VERGE_TRY(check_signed_before(*file));
    lowest = file->header.role;
  }
  return lowest.empty() ? Result<void>() : sign_again(lowest, now_s);
}

Result<void> Repository::State::check_signed_before(const SignedFile& file) const {
  for (auto version = root.version - 1; version > 0; --version) {
    VERGE_ASSIGN(const SignedFile root_file, load_file(kRoot, version));
    const auto before = read_root(root_file);
    if (before && check_signatures(file, before->roles.find(file.header.role)->second, before->keys)) return {};
  }
  return damaged(path(file.header.role, file.header.version), "its signature does not fit");
}

Result<void> Repository::State::write_root(const std::vector<const crypto::PrivateKey*>& signers, std::int64_t now_s) {
  const auto version = root.version + 1;
  const auto content = signed_file(root_metadata(keys, version, expiry(kRoot, now_s)), signers);
  VERGE_TRY(write_file(path(kRoot, version), std::string_view(content)));
  root = Header{std::string(kRoot), version, expiry(kRoot, now_s), time_text(expiry(kRoot, now_s))};
  root_text = content;
  return {};
}

Result<void> Repository::State::write_targets(const std::vector<Target>& list, std::int64_t now_s) {
  const auto version = targets.version + 1;
  VERGE_ASSIGN(wire::Node content, targets_metadata(list, version, expiry(kTargets, now_s)));
  const auto file = signed_file(std::move(content), {&key(kTargets)});
  if (file.size() > kTargetsLimitBytes) {
    return Error(ErrorCode::resource_exhausted, "VRG-TUF-008",
                 fmt::format("expected targets that fit into {} bytes, which is what clients read, got {}",
                             kTargetsLimitBytes, file.size()));
  }
  VERGE_TRY(write_file(path(kTargets, version), std::string_view(file)));
  const Header old = targets;
  targets = Header{std::string(kTargets), version, expiry(kTargets, now_s), time_text(expiry(kTargets, now_s))};
  if (auto done = write_snapshot(file, now_s); !done) {
    targets = old;
    return done;
  }
  published = list;
  remove_old(kTargets, version);
  return {};
}

Result<void> Repository::State::write_snapshot(std::string_view targets_text, std::int64_t now_s) {
  const auto version = snapshot.version + 1;
  const auto file = signed_file(
      meta_metadata(kSnapshot, version, expiry(kSnapshot, now_s), "targets.json", targets.version, targets_text),
      {&key(kSnapshot)});
  VERGE_TRY(write_file(path(kSnapshot, version), std::string_view(file)));
  const Header old = snapshot;
  snapshot = Header{std::string(kSnapshot), version, expiry(kSnapshot, now_s), time_text(expiry(kSnapshot, now_s))};
  if (auto done = write_timestamp(file, now_s); !done) {
    snapshot = old;
    return done;
  }
  remove_old(kSnapshot, version);
  return {};
}

Result<void> Repository::State::write_timestamp(std::string_view snapshot_text, std::int64_t now_s) {
  const auto version = timestamp.version + 1;
  const auto expires_s = expiry(kTimestamp, now_s);
  const auto file =
      signed_file(meta_metadata(kTimestamp, version, expires_s, "snapshot.json", snapshot.version, snapshot_text),
                  {&key(kTimestamp)});
  VERGE_TRY(write_file(path(kTimestamp, version), std::string_view(file)));
  timestamp = Header{std::string(kTimestamp), version, expires_s, time_text(expires_s)};
  return {};
}

void Repository::State::remove_old(std::string_view role, std::int64_t version) const {
  std::error_code ignored;
  if (version > kKeptVersions) std::filesystem::remove(path(role, version - kKeptVersions), ignored);
}

Result<void> Repository::State::sign_again(std::string_view role, std::int64_t now_s) {
  if (role == kTargets) return write_targets(published, now_s);
  if (role == kSnapshot) {
    VERGE_ASSIGN(const std::string content, text(kTargets, targets.version));
    return write_snapshot(content, now_s);
  }
  VERGE_ASSIGN(const std::string content, text(kSnapshot, snapshot.version));
  return write_timestamp(content, now_s);
}

Repository::Repository(std::unique_ptr<State> state) : state_(std::move(state)) {}
Repository::~Repository() = default;
Repository::Repository(Repository&&) noexcept = default;
Repository& Repository::operator=(Repository&&) noexcept = default;

Result<Repository> Repository::open(const std::filesystem::path& folder, const Lifetimes& lifetimes,
                                    std::int64_t now_s) {
  auto state = std::make_unique<State>();
  state->folder = folder;
  state->lifetimes = lifetimes;
  VERGE_TRY(state->load(now_s));
  return Repository(std::move(state));
}

Result<void> Repository::publish(std::vector<Target> targets, std::int64_t now_s) {
  std::ranges::stable_sort(targets, {}, &Target::path);
  // Of two with one path the last counts.
  const auto same_path = [](const Target& a, const Target& b) { return a.path == b.path; };
  targets.erase(targets.begin(), std::unique(targets.rbegin(), targets.rend(), same_path).base());
  if (std::ranges::equal(targets, state_->published, {}, spelling, spelling)) return {};
  return state_->write_targets(targets, now_s);
}

Result<bool> Repository::renew(std::int64_t now_s) {
  State& state = *state_;
  const bool root = state.is_old(state.root, now_s);
  if (root) VERGE_TRY(state.write_root({&state.key(kRoot)}, now_s));
  for (const Header* header : {&state.targets, &state.snapshot, &state.timestamp}) {
    if (!state.is_old(*header, now_s)) continue;
    VERGE_TRY(state.sign_again(header->role, now_s));
    return true;
  }
  return root;
}

Result<void> Repository::rotate(std::string_view role, std::int64_t now_s) {
  State& state = *state_;
  if (!is_top_level(role)) {
    return Error(ErrorCode::invalid_argument, "VRG-TUF-011",
                 fmt::format("expected root, targets, snapshot or timestamp, got '{}'", role));
  }
  // The key is safe before the root that names it is seen; load() settles what a crash leaves.
  auto next = crypto::PrivateKey::generate(crypto::KeyKind::ed25519);
  VERGE_TRY(write_private_key(state.folder, role, true, next));
  const auto old_root_key = state.key(kRoot);
  const auto old_key = state.key(role);
  state.keys.insert_or_assign(std::string(role), std::move(next));
  std::vector<const crypto::PrivateKey*> signers{&old_root_key};
  if (role == kRoot) signers.push_back(&state.key(kRoot));
  if (auto done = state.write_root(signers, now_s); !done) {
    state.keys.insert_or_assign(std::string(role), old_key);
    return done;
  }
  VERGE_TRY(promote_private_key(state.folder, role));
  return role == kRoot ? Result<void>() : state.sign_again(role, now_s);
}

const std::string& Repository::root() const noexcept {
  return state_->root_text;
}

Result<std::string> Repository::metadata(std::string_view file_name) const {
  const auto folder = state_->folder / "metadata";
  const auto path = path_inside(folder, file_name);
  if (path && path->extension() == ".json" && path->parent_path() == folder) {
    auto content = read_text(*path, kTargetsLimitBytes);
    if (content || content.error().code() != ErrorCode::not_found) return content;
  }
  return Error(ErrorCode::not_found, "VRG-TUF-011",
               fmt::format("expected a file such as 'timestamp.json' or '1.root.json', got '{}', which is none here",
                           file_name));
}

const std::vector<Target>& Repository::targets() const noexcept {
  return state_->published;
}

}  // namespace verge::trust
