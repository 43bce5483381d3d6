#include "verge/trust/repository.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "repository_state.hpp"
#include "verge/base/file.hpp"

namespace verge::trust {
namespace {

/// Old versions of targets and snapshot stay for clients that are in the middle of a refresh.
constexpr std::int64_t kKeptVersions = 16;

Error not_at_hand(std::string_view role) {
  return Error(ErrorCode::failed_precondition, "VRG-TUF-013",
               fmt::format("the hub does not have the key of '{}': it is kept elsewhere; rotate it there: verge trust "
                           "rotate",
                           role));
}

}  // namespace

int Repository::State::days(std::string_view role) const {
  if (role == kRoot) return lifetimes.root_days;
  if (role == kSnapshot) return lifetimes.snapshot_days;
  return role == kTimestamp ? lifetimes.timestamp_days : lifetimes.targets_days;
}

bool Repository::State::holds(std::string_view role) const {
  const auto key = keys.find(role);
  const auto& by = root.roles.find(role)->second;
  return key != keys.end() && by.threshold == 1 &&
         std::ranges::find(by.key_ids, key_id(key->second.public_key())) != by.key_ids.end();
}

bool Repository::State::holds_targets_role(std::string_view role) const {
  return (role == kTargets || is_bin(role)) && holds(kTargets);
}

std::optional<Delegations> Repository::State::delegations_for(std::size_t targets) const {
  const auto& now = top().delegations;
  const auto digits = bin_digits(now);
  const auto more = bin_digits_for(targets, digits);
  const auto& role = root.roles.find(kTargets)->second;
  return more == 0 && !now ? std::nullopt : with_bins(now, more, role, root.keys);
}

Result<void> Repository::State::write_root(const Root& next, const std::vector<const crypto::PrivateKey*>& signers) {
  VERGE_ASSIGN(auto content, signed_file(root_metadata(next), signers));
  VERGE_TRY(write_file(path(kRoot, next.header.version), std::string_view(content)));
  root = next;
  root_text = std::move(content);
  return {};
}

Result<void> Repository::State::put_in_force(TargetsRoles&& changed, std::int64_t now_s) {
  auto files = snapshot.files;
  for (auto& [name, role] : changed) {
    const auto listed = files.find(name + ".json");
    role.header = next_header(name, listed == files.end() ? 0 : listed->second.version, now_s);
    VERGE_ASSIGN(wire::Node content, targets_metadata(role));
    VERGE_ASSIGN(const std::string file, signed_file(std::move(content), {&key(kTargets)}));
    if (file.size() > kTargetsLimitBytes) {
      return Error(ErrorCode::resource_exhausted, "VRG-TUF-008",
                   fmt::format("expected targets that fit into {} bytes, which is what clients read, got {}",
                               kTargetsLimitBytes, file.size()));
    }
    VERGE_TRY(write_file(path(name, role.header.version), std::string_view(file)));
    files.insert_or_assign(name + ".json", meta_of(name, role.header.version, file));
  }
  VERGE_TRY(write_snapshot(std::move(files), now_s));
  for (auto& [name, role] : changed) {
    remove_old(name, role.header.version);
    roles.insert_or_assign(name, std::move(role));
  }
  // What is delegated no more stays in the snapshot, since clients refuse one that forgets a role; it lists nothing.
  const auto named = share_out(top().delegations, {});
  std::erase_if(roles, [&](const auto& role) { return !named.contains(role.first); });
  return {};
}

Result<void> Repository::State::write_snapshot(std::map<std::string, FileMeta, std::less<>> files, std::int64_t now_s) {
  Snapshot next{next_header(kSnapshot, snapshot.header.version, now_s), std::move(files)};
  VERGE_ASSIGN(const std::string file, signed_file(snapshot_metadata(next), {&key(kSnapshot)}));
  VERGE_TRY(write_file(path(kSnapshot, next.header.version), std::string_view(file)));
  auto old = std::exchange(snapshot, std::move(next));
  if (auto done = write_timestamp(file, now_s); !done) {
    snapshot = std::move(old);
    return done;
  }
  remove_old(kSnapshot, snapshot.header.version);
  return {};
}

Result<void> Repository::State::write_timestamp(std::string_view snapshot_text, std::int64_t now_s) {
  Timestamp next{next_header(kTimestamp, timestamp.header.version, now_s),
                 meta_of(kSnapshot, snapshot.header.version, snapshot_text)};
  VERGE_ASSIGN(const std::string file, signed_file(timestamp_metadata(next), {&key(kTimestamp)}));
  VERGE_TRY(write_file(path(kTimestamp, 0), std::string_view(file)));
  timestamp = std::move(next);
  return {};
}

void Repository::State::remove_old(std::string_view role, std::int64_t version) const {
  std::error_code ignored;
  if (version > kKeptVersions) std::filesystem::remove(path(role, version - kKeptVersions), ignored);
}

Result<void> Repository::State::sign_targets_again(std::int64_t now_s) {
  TargetsRoles again;
  for (const auto& [name, role] : roles) {
    if (name == kTargets || is_bin(name)) again.emplace(name, role);
  }
  auto& delegations = again.find(kTargets)->second.delegations;
  if (delegations) {
    const auto digits = bin_digits(delegations);
    delegations = with_bins(std::move(delegations), digits, root.roles.find(kTargets)->second, root.keys);
  }
  return put_in_force(std::move(again), now_s);
}

Repository::Repository(std::unique_ptr<State> state) : state_(std::move(state)) {}
Repository::~Repository() = default;
Repository::Repository(Repository&&) noexcept = default;
Repository& Repository::operator=(Repository&&) noexcept = default;

Result<Repository> Repository::open(const std::filesystem::path& folder, const Lifetimes& lifetimes,
                                    std::int64_t now_s) {
  auto state = std::make_unique<State>(State{folder, lifetimes});
  VERGE_TRY(state->load(now_s));
  Repository repository(std::move(state));
  auto& wanted = repository.state_->wanted;
  wanted = repository.targets();
  std::ranges::sort(wanted, {}, &Target::path);
  return repository;
}

Result<void> Repository::publish(std::vector<Target> targets, std::int64_t now_s) {
  State& state = *state_;
  std::ranges::stable_sort(targets, {}, &Target::path);
  // Of two with one path the last counts.
  const auto same_path = [](const Target& a, const Target& b) { return a.path == b.path; };
  targets.erase(targets.begin(), std::unique(targets.rbegin(), targets.rend(), same_path).base());
  const auto delegations = state.holds(kTargets) ? state.delegations_for(targets.size()) : state.top().delegations;
  TargetsRoles changed;
  for (auto& [name, list] : share_out(delegations, targets)) {
    if (!state.holds_targets_role(name)) continue;
    const auto now = state.roles.find(name);
    const bool is_top = name == kTargets;
    if (now != state.roles.end() && same(now->second.targets, list) &&
        (!is_top || same(now->second.delegations, delegations))) {
      continue;
    }
    changed.emplace(name, Targets{{}, std::move(list), is_top ? delegations : std::nullopt});
  }
  if (!changed.empty()) VERGE_TRY(state.put_in_force(std::move(changed), now_s));
  state.wanted = std::move(targets);
  return {};
}

Result<bool> Repository::renew(std::int64_t now_s) {
  State& state = *state_;
  const bool root_is_old = state.is_old(state.root.header, now_s) && state.holds(kRoot);
  if (root_is_old) {
    Root next = state.root;
    next.header = state.next_header(kRoot, next.header.version, now_s);
    VERGE_TRY(state.write_root(next, {&state.key(kRoot)}));
  }
  TargetsRoles old;
  for (const auto& [name, role] : state.roles) {
    if (state.is_old(role.header, now_s) && state.holds_targets_role(name)) old.emplace(name, role);
  }
  if (!old.empty()) {
    VERGE_TRY(state.put_in_force(std::move(old), now_s));
  } else if (state.is_old(state.snapshot.header, now_s)) {
    VERGE_TRY(state.write_snapshot(state.snapshot.files, now_s));
  } else if (state.is_old(state.timestamp.header, now_s)) {
    VERGE_ASSIGN(const std::string content, state.text(kSnapshot, state.snapshot.header.version));
    VERGE_TRY(state.write_timestamp(content, now_s));
  } else {
    return root_is_old;
  }
  return true;
}

Result<void> Repository::skip_versions(std::int64_t now_s) {
  State& state = *state_;
  const auto skip = [&](std::int64_t& version) { version = std::max(version, now_s); };
  skip(state.timestamp.header.version);
  skip(state.snapshot.header.version);
  if (!state.holds(kTargets)) return state.write_snapshot(state.snapshot.files, now_s);
  for (const auto& [name, role] : state.roles) {
    if (state.holds_targets_role(name)) skip(state.snapshot.files.find(name + ".json")->second.version);
  }
  return state.sign_targets_again(now_s);
}

Result<void> Repository::rotate(std::string_view role, std::int64_t now_s) {
  State& state = *state_;
  if (!is_top_level(role)) {
    return Error(ErrorCode::invalid_argument, "VRG-TUF-011",
                 fmt::format("expected root, targets, snapshot or timestamp, got '{}'", role));
  }
  for (const auto needed : {kRoot, role}) {
    if (!state.holds(needed)) return not_at_hand(needed);
  }
  // The key is safe before the root that names it is seen; load() settles what a crash leaves.
  auto next = crypto::PrivateKey::generate(crypto::KeyKind::ed25519);
  VERGE_TRY(write_private_key(state.folder, role, true, next));
  const auto old_root_key = state.key(kRoot);
  Root root = state.root;
  root.header = state.next_header(kRoot, root.header.version, now_s);
  const auto old_id = key_id(state.key(role).public_key());
  const auto id = key_id(next.public_key());
  root.keys.insert_or_assign(id, next.public_key());
  std::ranges::replace(root.roles.find(role)->second.key_ids, old_id, id);
  const bool used = std::ranges::any_of(root.roles, [&](const auto& one) {
    return std::ranges::find(one.second.key_ids, old_id) != one.second.key_ids.end();
  });
  if (!used) root.keys.erase(old_id);
  std::vector<const crypto::PrivateKey*> signers{&old_root_key};
  if (role == kRoot) signers.push_back(&next);
  VERGE_TRY(state.write_root(root, signers));
  VERGE_TRY(promote_private_key(state.folder, role));
  state.keys.insert_or_assign(std::string(role), std::move(next));
  if (role == kRoot) return {};
  if (role == kTargets) return state.sign_targets_again(now_s);
  if (role == kSnapshot) return state.write_snapshot(state.snapshot.files, now_s);
  VERGE_ASSIGN(const std::string content, state.text(kSnapshot, state.snapshot.header.version));
  return state.write_timestamp(content, now_s);
}

Result<RoleInfo::Key> Repository::next_key(std::string_view role) {
  State& state = *state_;
  if (role != kSnapshot && role != kTimestamp) {
    return Error(ErrorCode::invalid_argument, "VRG-TUF-011",
                 fmt::format("expected snapshot or timestamp, whose keys the hub makes, got '{}'", role));
  }
  auto next = read_private_key(state.folder, role, true);
  if (!next && next.error().code() != ErrorCode::not_found) return std::move(next).error();
  if (!next) {
    next = crypto::PrivateKey::generate(crypto::KeyKind::ed25519);
    VERGE_TRY(write_private_key(state.folder, role, true, *next));
  }
  const auto key = next->public_key();
  return RoleInfo::Key{key_id(key), std::string(kind_name(key.kind())), true, key.pem()};
}

const std::string& Repository::root() const noexcept {
  return state_->root_text;
}

Result<std::string> Repository::metadata(std::string_view name) const {
  const auto folder = state_->folder / "metadata";
  const auto path = path_inside(folder, name);
  if (path && path->extension() == ".json" && path->parent_path() == folder) {
    auto content = read_text(*path, kTargetsLimitBytes);
    if (content || content.error().code() != ErrorCode::not_found) return content;
  }
  return Error(
      ErrorCode::not_found, "VRG-TUF-011",
      fmt::format("expected a file such as 'timestamp.json' or '1.root.json', got '{}', which is none here", name));
}

std::vector<Target> Repository::targets() const {
  std::vector<Target> found;
  for (const auto& [name, role] : state_->roles) {
    for (const auto& [path, target] : role.targets) found.push_back(target);
  }
  return found;
}

}  // namespace verge::trust
