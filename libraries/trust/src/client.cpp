#include "verge/trust/client.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "delegations.hpp"
#include "metadata.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::trust {
namespace {

/// What a refresh found, and the delegated roles that were looked into since, each as one delegator vouches for it.
struct TrustedSet {
  Timestamp timestamp;
  Snapshot snapshot;
  Targets targets;
  std::map<std::pair<std::string, std::string>, Targets> delegated;  ///< By delegator and name.
};

/// Role names may hold anything; file names and URLs may not.
std::string percent_encoded(std::string_view name) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";
  std::string text;
  for (const char c : name) {
    if (kPlain.find(c) != std::string_view::npos) {
      text += c;
    } else {
      fmt::format_to(std::back_inserter(text), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return text;
}

Error too_large(std::string_view name, std::uint64_t limit_bytes) {
  return Error(ErrorCode::resource_exhausted, "VRG-TUF-008",
               fmt::format("expected '{}' to have at most {} bytes, got more", name, limit_bytes));
}

Error rollback(std::string_view role, std::int64_t trusted, std::int64_t got) {
  return Error(ErrorCode::failed_precondition, "VRG-TUF-004",
               fmt::format("expected role '{}' at version {} or later, which is trusted already, got version {}: "
                           "somebody offers old metadata",
                           role, trusted, got));
}

Error mismatch(std::string_view role, std::int64_t wanted, std::int64_t got) {
  return Error(ErrorCode::failed_precondition, "VRG-TUF-006",
               fmt::format("expected role '{}' at version {}, as the role above it says, got version {}: the parts do "
                           "not belong together",
                           role, wanted, got));
}

Error not_in_snapshot(std::string_view role) {
  return Error(ErrorCode::failed_precondition, "VRG-TUF-006",
               fmt::format("expected the snapshot to list role '{}', got none of that name: the parts do not belong "
                           "together",
                           role));
}

/// Errors: those of the source; VRG-TUF-008.
Result<std::string> fetch(MetadataSource& source, std::string_view role, std::optional<std::int64_t> version,
                          std::uint64_t limit_bytes) {
  const std::string encoded = percent_encoded(role);
  const std::string name = version ? fmt::format("{}.{}.json", *version, encoded) : encoded + ".json";
  auto content = source.fetch(name, limit_bytes);
  if (!content && content.error().code() == ErrorCode::resource_exhausted) return too_large(name, limit_bytes);
  if (!content) return in(fmt::format("fetching '{}'", name), std::move(content));
  if (content->size() > limit_bytes) return too_large(name, limit_bytes);
  return content;
}

/// The metadata that is stored for `role`; empty when there is none.
Result<std::string> stored(MetadataStore& store, std::string_view role) {
  auto content = store.read(percent_encoded(role));
  if (!content && content.error().code() == ErrorCode::not_found) return std::string();
  return content;
}

/// `text` as metadata of `type`, signed as the root asks.
Result<SignedFile> verified(const Root& root, std::string_view text, std::string_view type) {
  VERGE_ASSIGN(SignedFile file, open_signed(text, type, type));
  VERGE_TRY(check_signatures(file, root.roles.find(type)->second, root.keys));
  return file;
}

/// A root that `by` signs and it itself.
Result<Root> verified_root(std::string_view text, const Root* by) {
  VERGE_ASSIGN(const SignedFile file, open_signed(text, kRoot, kRoot));
  VERGE_ASSIGN(Root root, read_root(file));
  if (by != nullptr) VERGE_TRY(check_signatures(file, by->roles.find(kRoot)->second, by->keys));
  VERGE_TRY(check_signatures(file, root.roles.find(kRoot)->second, root.keys));
  return root;
}

/// The text of a role that was verified last by the present root. What is stored is mostly what the repository offers
/// again: the same bytes need not be parsed and verified anew, time after time.
template <typename T>
class Verified {
 public:
  [[nodiscard]] const T* find(std::string_view text) const {
    return content_ && crypto::sha256(text) == digest_ ? &*content_ : nullptr;
  }
  void keep(std::string_view text, const T& content) {
    digest_ = crypto::sha256(text);
    content_ = content;
  }

 private:
  std::string digest_;
  std::optional<T> content_;
};

/// The timestamp or snapshot in `text`. Errors: those of verified() and of `read`.
template <typename T>
Result<T> verified_content(const Root& root, std::string_view role, std::string_view text,
                           Result<T> (*read)(const SignedFile&), Verified<T>& last) {
  if (const T* known = last.find(text)) return *known;
  VERGE_ASSIGN(const SignedFile file, verified(root, text, role));
  VERGE_ASSIGN(T content, read(file));
  last.keep(text, content);
  return content;
}

/// The stored timestamp or snapshot, if the root still stands for it: expired or not, it tells what was trusted.
template <typename T>
Result<std::optional<T>> read_stored(MetadataStore& store, const Root& root, std::string_view role,
                                     Result<T> (*read)(const SignedFile&), Verified<T>& last) {
  VERGE_ASSIGN(const std::string text, stored(store, role));
  if (text.empty()) return std::optional<T>();
  // Signed by keys that the root no longer names: a repository recovers from a too high version in this way.
  auto content = verified_content(root, role, text, read, last);
  return content ? std::optional<T>(std::move(*content)) : std::optional<T>();
}

/// No file of the snapshot may vanish or go back.
Result<void> check_rollback(const Snapshot& trusted, const Snapshot& offered) {
  for (const auto& [name, meta] : trusted.files) {
    const auto found = offered.files.find(name);
    const std::string_view role = std::string_view(name).substr(0, name.size() - std::min<std::size_t>(name.size(), 5));
    if (found == offered.files.end()) return not_in_snapshot(role);
    if (found->second.version < meta.version) return rollback(role, meta.version, found->second.version);
  }
  return {};
}

}  // namespace

struct Client::State {
  MetadataStore& store;
  Root root;
  bool renews = false;
  std::optional<TrustedSet> trusted{};
  Verified<Timestamp> last_timestamp{};  ///< These three by the present root.
  Verified<Snapshot> last_snapshot{};
  Verified<Targets> last_targets{};

  Result<void> refresh_root(MetadataSource& source);
  Result<Timestamp> refresh_timestamp(MetadataSource& source, std::int64_t now_s);
  Result<Snapshot> refresh_snapshot(MetadataSource& source, const FileMeta& declared, std::int64_t now_s);
  /// A targets role, stored or fetched. `keys` and `role` are what its delegator says.
  Result<Targets> load_targets(MetadataSource& source, const Snapshot& by, std::string_view name, const Role& role,
                               const KeySet& keys, std::int64_t now_s);
  Result<const Targets*> load_delegated(MetadataSource& source, const std::string& delegator, const Delegate& delegate,
                                        const KeySet& keys, std::int64_t now_s);
  /// Expiry of what people sign. Of timestamp and snapshot it is always checked: by them a hub shows that it goes on.
  Result<void> check_renewable(const Header& header, std::int64_t now_s) const {
    return renews ? Result<void>() : check_expiry(header, now_s);
  }
  std::optional<std::int64_t> version_in_name(std::int64_t version) const {
    return root.consistent_snapshot ? std::optional(version) : std::nullopt;
  }
};

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

Result<Client> Client::open(MetadataStore& store, std::string_view trusted_root) {
  VERGE_ASSIGN(std::string text, stored(store, kRoot));
  const bool first = text.empty();
  if (first) text = trusted_root;
  VERGE_ASSIGN(Root root, verified_root(text, nullptr));
  if (first) VERGE_TRY(store.write(kRoot, text));
  return Client(std::make_unique<State>(State{store, std::move(root)}));
}

Result<Client> Client::open_to_renew(MetadataStore& store, std::string_view trusted_root) {
  VERGE_ASSIGN(Client client, open(store, trusted_root));
  client.state_->renews = true;
  return client;
}

Result<void> Client::State::refresh_root(MetadataSource& source) {
  for (int rotations = 0;; ++rotations) {
    const auto wanted = root.header.version + 1;
    auto text = fetch(source, kRoot, wanted, kRootLimitBytes);
    if (!text && text.error().code() == ErrorCode::not_found) return {};
    if (!text) return std::move(text).error();
    if (rotations == kRootRotationLimit) {
      return Error(ErrorCode::resource_exhausted, "VRG-TUF-008",
                   fmt::format("expected at most {} new versions of role 'root', got more; refresh again to go on",
                               kRootRotationLimit));
    }
    VERGE_ASSIGN(Root next, verified_root(*text, &root));
    if (next.header.version < wanted) return rollback(kRoot, wanted, next.header.version);
    if (next.header.version > wanted) return mismatch(kRoot, wanted, next.header.version);
    VERGE_TRY(store.write(kRoot, *text));
    root = std::move(next);
    last_timestamp = {};
    last_snapshot = {};
    last_targets = {};
  }
}

Result<Timestamp> Client::State::refresh_timestamp(MetadataSource& source, std::int64_t now_s) {
  VERGE_ASSIGN(auto old, read_stored(store, root, kTimestamp, read_timestamp, last_timestamp));
  VERGE_ASSIGN(const std::string text, fetch(source, kTimestamp, std::nullopt, kTimestampLimitBytes));
  VERGE_ASSIGN(Timestamp offered, verified_content(root, kTimestamp, text, read_timestamp, last_timestamp));
  if (old) {
    if (offered.header.version < old->header.version) {
      return rollback(kTimestamp, old->header.version, offered.header.version);
    }
    if (offered.header.version == old->header.version) {
      VERGE_TRY(check_expiry(old->header, now_s));
      return std::move(*old);
    }
    if (offered.snapshot.version < old->snapshot.version) {
      return rollback(kSnapshot, old->snapshot.version, offered.snapshot.version);
    }
  }
  VERGE_TRY(check_expiry(offered.header, now_s));
  VERGE_TRY(store.write(kTimestamp, text));
  return offered;
}

Result<Snapshot> Client::State::refresh_snapshot(MetadataSource& source, const FileMeta& declared, std::int64_t now_s) {
  VERGE_ASSIGN(auto old, read_stored(store, root, kSnapshot, read_snapshot, last_snapshot));
  if (old && old->header.version == declared.version && check_expiry(old->header, now_s)) return std::move(*old);
  const auto limit = std::min(declared.length_bytes.value_or(kSnapshotLimitBytes), kSnapshotLimitBytes);
  VERGE_ASSIGN(const std::string text, fetch(source, kSnapshot, version_in_name(declared.version), limit));
  VERGE_TRY(check_content(declared, text, "snapshot.json"));
  VERGE_ASSIGN(Snapshot offered, verified_content(root, kSnapshot, text, read_snapshot, last_snapshot));
  if (offered.header.version != declared.version) return mismatch(kSnapshot, declared.version, offered.header.version);
  if (old) VERGE_TRY(check_rollback(*old, offered));
  VERGE_TRY(check_expiry(offered.header, now_s));
  VERGE_TRY(store.write(kSnapshot, text));
  return offered;
}

Result<Targets> Client::State::load_targets(MetadataSource& source, const Snapshot& by, std::string_view name,
                                            const Role& role, const KeySet& keys, std::int64_t now_s) {
  const auto declared = by.files.find(fmt::format("{}.json", name));
  if (declared == by.files.end()) return not_in_snapshot(name);
  const FileMeta& meta = declared->second;
  const bool is_top = &keys == &root.keys;
  const auto check = [&](std::string_view text) -> Result<Targets> {
    VERGE_TRY(check_content(meta, text, declared->first));
    if (const Targets* known = is_top ? last_targets.find(text) : nullptr) {
      if (known->header.version != meta.version) return mismatch(name, meta.version, known->header.version);
      VERGE_TRY(check_renewable(known->header, now_s));
      return *known;
    }
    VERGE_ASSIGN(const SignedFile file, open_signed(text, kTargets, name));
    VERGE_TRY(check_signatures(file, role, keys));
    if (file.header.version != meta.version) return mismatch(name, meta.version, file.header.version);
    VERGE_TRY(check_renewable(file.header, now_s));
    VERGE_ASSIGN(Targets content, read_targets(file));
    if (is_top) last_targets.keep(text, content);
    return content;
  };
  VERGE_ASSIGN(const std::string old, stored(store, name));
  if (!old.empty()) {
    if (auto content = check(old)) return content;
  }
  const auto limit = std::min(meta.length_bytes.value_or(kTargetsLimitBytes), kTargetsLimitBytes);
  VERGE_ASSIGN(const std::string text, fetch(source, name, version_in_name(meta.version), limit));
  VERGE_ASSIGN(Targets content, check(text));
  VERGE_TRY(store.write(percent_encoded(name), text));
  return content;
}

Result<void> Client::refresh(MetadataSource& source, std::int64_t now_s) {
  State& state = *state_;
  VERGE_TRY(state.refresh_root(source));
  VERGE_TRY(state.check_renewable(state.root.header, now_s));
  VERGE_ASSIGN(Timestamp timestamp, state.refresh_timestamp(source, now_s));
  VERGE_ASSIGN(Snapshot snapshot, state.refresh_snapshot(source, timestamp.snapshot, now_s));
  const Role& role = state.root.roles.find(kTargets)->second;
  VERGE_ASSIGN(Targets targets, state.load_targets(source, snapshot, kTargets, role, state.root.keys, now_s));
  state.trusted = TrustedSet{std::move(timestamp), std::move(snapshot), std::move(targets), {}};
  return {};
}

Result<const Targets*> Client::State::load_delegated(MetadataSource& source, const std::string& delegator,
                                                     const Delegate& delegate, const KeySet& keys, std::int64_t now_s) {
  // What one delegator vouches for is not what another one does: its keys may be others.
  const auto key = std::pair(delegator, delegate.name);
  const auto known = trusted->delegated.find(key);
  if (known != trusted->delegated.end()) {
    VERGE_TRY(check_renewable(known->second.header, now_s));
    return &known->second;
  }
  VERGE_ASSIGN(Targets targets, load_targets(source, trusted->snapshot, delegate.name, delegate.role, keys, now_s));
  return &trusted->delegated.emplace(key, std::move(targets)).first->second;
}

Result<Target> Client::target(MetadataSource& source, std::string_view path, std::int64_t now_s) {
  struct Visit {
    std::string delegator;
    Delegate delegate;
    const KeySet* keys;
  };
  const auto none = [&](std::string_view why) {
    return Error(ErrorCode::not_found, "VRG-TUF-007", fmt::format("expected a target '{}', got none: {}", path, why));
  };
  if (!state_->trusted) return none("nothing is trusted before the first refresh");
  std::vector<Visit> left{{std::string(kRoot), {std::string(kTargets), {}, false}, nullptr}};
  std::set<std::string> visited;
  while (!left.empty()) {
    const Visit visit = std::move(left.back());
    left.pop_back();
    if (visited.contains(visit.delegate.name)) continue;
    if (visited.size() > kDelegationLimit) {
      return Error(ErrorCode::resource_exhausted, "VRG-TUF-008",
                   fmt::format("expected target '{}' within {} delegated roles, got none in them and more to look into",
                               path, kDelegationLimit));
    }
    visited.insert(visit.delegate.name);
    const Targets* targets = &state_->trusted->targets;
    if (visit.keys != nullptr) {
      VERGE_ASSIGN(targets, state_->load_delegated(source, visit.delegator, visit.delegate, *visit.keys, now_s));
    }
    VERGE_TRY(check_expiry(targets->header, now_s));
    if (const auto found = targets->targets.find(path); found != targets->targets.end()) return found->second;
    if (!targets->delegations) continue;
    auto delegates = delegates_for(*targets->delegations, path);
    const auto last = std::ranges::find_if(delegates, &Delegate::terminating);
    if (last != delegates.end()) {
      delegates.erase(last + 1, delegates.end());
      left.clear();
    }
    for (auto delegate = delegates.rbegin(); delegate != delegates.rend(); ++delegate) {
      left.push_back({visit.delegate.name, std::move(*delegate), &targets->delegations->keys});
    }
  }
  return none("no role that may speak for it lists it");
}

Result<void> Client::load_all(MetadataSource& source, std::int64_t now_s) {
  if (!state_->trusted) return {};
  std::vector<std::pair<std::string, const Targets*>> left{{std::string(kTargets), &state_->trusted->targets}};
  std::set<std::pair<std::string, std::string>> seen;
  while (!left.empty()) {
    const auto [delegator, targets] = std::move(left.back());
    left.pop_back();
    if (!targets->delegations) continue;
    if (targets->delegations->bins) {
      return Error(ErrorCode::unimplemented, "VRG-TUF-012",
                   fmt::format("expected role '{}' to share out targets by path_hash_prefixes, got succinct_roles; "
                               "clients of Verge read them, this does not list them",
                               delegator));
    }
    for (const auto& one : targets->delegations->roles) {
      if (!seen.emplace(delegator, one.name).second) continue;
      if (seen.size() > kRoleLimit) {
        return Error(ErrorCode::resource_exhausted, "VRG-TUF-008",
                     fmt::format("expected at most {} delegated roles, got more", kRoleLimit));
      }
      const Delegate delegate{one.name, one.role, one.terminating};
      VERGE_ASSIGN(const Targets* loaded,
                   state_->load_delegated(source, delegator, delegate, targets->delegations->keys, now_s));
      left.emplace_back(one.name, loaded);
    }
  }
  return {};
}

std::vector<Target> Client::top_level_targets() const {
  std::vector<Target> found;
  if (!state_->trusted) return found;
  for (const auto& [path, target] : state_->trusted->targets.targets) found.push_back(target);
  return found;
}

std::int64_t Client::root_version() const noexcept {
  return state_->root.header.version;
}

bool Client::consistent_snapshot() const noexcept {
  return state_->root.consistent_snapshot;
}

Result<void> check_target(const Target& target, std::string_view content) {
  const auto colon = std::min(target.digest.find(':'), target.digest.size());
  FileMeta declared{1, target.length_bytes, {}};
  const std::string_view digest = target.digest;
  declared.hashes.emplace(digest.substr(0, colon), digest.substr(std::min(colon + 1, digest.size())));
  return check_content(declared, content, target.path);
}

}  // namespace verge::trust
