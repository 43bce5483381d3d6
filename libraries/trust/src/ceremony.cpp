#include "verge/trust/ceremony.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ceremony_staging.hpp"

namespace verge::trust {
namespace {

Error wrong(std::string message) {
  return Error(ErrorCode::invalid_argument, "VRG-TUF-016", std::move(message));
}

Result<Role> role_by(const Signers& signers, KeySet& keys) {
  Role role{{}, signers.threshold};
  for (const auto& one : signers.keys) {
    const auto id = key_id(one.key);
    if (std::ranges::find(role.key_ids, id) != role.key_ids.end()) {
      return wrong(fmt::format("the key '{}' is named twice; each signer needs a key of their own", one.name));
    }
    keys.insert_or_assign(id, one.key);
    role.key_ids.push_back(id);
  }
  if (role.threshold >= 1 && role.threshold <= static_cast<std::int64_t>(role.key_ids.size())) return role;
  return wrong(fmt::format("expected a threshold from 1 to {}, the number of keys, got {}", role.key_ids.size(),
                           role.threshold));
}

/// Who of a role has signed.
Draft::Need need_of(std::string by, const Role& role, const KeySet& keys, const SignedFile& file,
                    const KeyNames& names) {
  Draft::Need need{std::move(by), role.threshold, {}, {}, false};
  for (const auto& id : role.key_ids) {
    const bool has_signed = count_signers(Role{{id}, 1}, keys, file.signatures, file.message) == 1;
    (has_signed ? need.signed_by : need.waits_for).push_back(shown_key(names, id));
  }
  return need;
}

bool same_role(const Role& a, const Role& b) {
  return a.key_ids == b.key_ids && a.threshold == b.threshold;
}

/// Whether the roots name the same keys: what one of them says of the other roles, the other one says too.
bool same_roles(const Root& a, const Root& b) {
  return std::ranges::equal(a.roles, b.roles, [](const auto& one, const auto& other) {
    return one.first == other.first && same_role(one.second, other.second);
  });
}

/// What the hub signs by itself it has renewed, or its clock or this one is wrong.
Result<void> check_expiry_of_the_hubs(const Papers& papers, std::int64_t now_s) {
  if (papers.hub_holds(papers.root.roles.find(kRoot)->second)) VERGE_TRY(check_expiry(papers.root.header, now_s));
  for (const auto& [name, role] : papers.in_force) {
    const Role* by = papers.role_of(name);
    if (by != nullptr && papers.hub_holds(*by)) VERGE_TRY(check_expiry(role.content.header, now_s));
  }
  return {};
}

Result<Draft> draft_of(const Papers& papers, const std::string& role, const SignedFile& file) {
  Draft draft{file_name(role, file.header.version), role, file.header.version, file.header.expires_s, 0, {}, {}};
  const auto& names = papers.settings.names;
  if (role == kRoot) {
    draft.before_expires_s = papers.root.header.expires_s;
    const auto& before = papers.root.roles.find(kRoot)->second;
    const auto& after = papers.next_root.roles.find(kRoot)->second;
    const auto by = [](const Root& root) { return fmt::format("root {}", root.header.version); };
    auto old = need_of(by(papers.root), before, papers.root.keys, file, names);
    old.by_hub = papers.hub_holds(before) && !papers.settings.new_hub;
    draft.needs.push_back(std::move(old));
    if (!same_role(before, after)) {
      draft.needs.push_back(need_of(by(papers.next_root), after, papers.next_root.keys, file, names));
    }
    draft.differences = differences(papers.root, papers.next_root, names);
    return draft;
  }
  VERGE_ASSIGN(const Targets content, read_targets(file));
  const auto now = papers.in_force.find(role);
  if (now != papers.in_force.end()) draft.before_expires_s = now->second.content.header.expires_s;
  draft.differences = differences(now == papers.in_force.end() ? nullptr : &now->second.content, content, names);
  if (const Role* by = papers.role_of(role)) {
    draft.needs.push_back(need_of(is_bin(role) ? std::string(kTargets) : role, *by, papers.keys_of(role), file, names));
    draft.needs.back().by_hub = papers.hub_holds(*by) && !papers.settings.new_hub;
  }
  return draft;
}

/// Whether the key is one of those whose signature a draft needs and lacks.
bool waits_for(const Papers& papers, const std::string& role, const SignedFile& file, const std::string& id) {
  const auto lacks = [&](const Role& by, const KeySet& keys) {
    return std::ranges::find(by.key_ids, id) != by.key_ids.end() &&
           count_signers(Role{{id}, 1}, keys, file.signatures, file.message) == 0;
  };
  if (role == kRoot) {
    return lacks(papers.root.roles.find(kRoot)->second, papers.root.keys) ||
           lacks(papers.next_root.roles.find(kRoot)->second, papers.next_root.keys);
  }
  const Role* by = papers.role_of(role);
  return by != nullptr && lacks(*by, papers.keys_of(role));
}

void drop_unused_keys(Root& root) {
  std::erase_if(root.keys, [&](const auto& key) {
    return std::ranges::none_of(root.roles, [&](const auto& role) {
      return std::ranges::find(role.second.key_ids, key.first) != role.second.key_ids.end();
    });
  });
}

Result<std::string> first_root(MetadataStore& store, MetadataSource& source) {
  if (auto known = store.read(kRoot); known || known.error().code() != ErrorCode::not_found) return known;
  return source.fetch(file_name(kRoot, 1), kRootLimitBytes);
}

}  // namespace

std::string shown_name(const NamedKey& key) {
  return key.name.empty() ? shown_key({}, key_id(key.key)) : key.name;
}

bool is_called(const NamedKey& key, std::string_view text) {
  constexpr std::size_t kShortest = 8;
  return !text.empty() && (key.name == text || (text.size() >= kShortest && key_id(key.key).starts_with(text)));
}

bool Draft::complete() const {
  return std::ranges::all_of(needs, &Need::met);
}

struct Ceremony::State {
  std::filesystem::path folder;

  Result<void> name_keys(const Signers& signers) const {
    VERGE_ASSIGN(auto settings, read_settings(folder));
    for (const auto& one : signers.keys) {
      if (!one.name.empty()) settings.names.insert_or_assign(key_id(one.key), one.name);
    }
    return write_settings(folder, settings);
  }
  /// Stages a root that names the keys with which the hub signs by itself.
  Result<void> name_hub_keys(const wire::TrustStatus& hub, std::int64_t now_s) const {
    VERGE_ASSIGN(Papers papers, read_papers(folder));
    Root root = papers.next_root;
    for (const auto& role : hub.roles) {
      if (role.name != kSnapshot && role.name != kTimestamp) continue;
      Role by{{}, 1};
      for (const auto& key : role.keys) {
        if (!key.held || !key.public_key) continue;
        VERGE_ASSIGN(const auto public_key, crypto::PublicKey::from_pem(*key.public_key));
        by.key_ids.push_back(key_id(public_key));
        root.keys.insert_or_assign(by.key_ids.back(), public_key);
      }
      root.roles.insert_or_assign(role.name, std::move(by));
    }
    drop_unused_keys(root);
    return stage(folder, {root}, now_s);
  }
};

Ceremony::Ceremony(std::filesystem::path folder) : state_(std::make_unique<State>(State{std::move(folder)})) {}
Ceremony::~Ceremony() = default;
Ceremony::Ceremony(Ceremony&&) noexcept = default;
Ceremony& Ceremony::operator=(Ceremony&&) noexcept = default;

Result<void> Ceremony::fetch(MetadataSource& source, const wire::TrustStatus& hub, const wire::TrustChanges& changes,
                             bool new_hub, std::int64_t now_s) {
  const auto& folder = state_->folder;
  VERGE_ASSIGN(auto settings, read_settings(folder));
  settings.new_hub = new_hub;
  if (!new_hub) {
    FolderStore store(folder / "metadata");
    VERGE_ASSIGN(const std::string first, first_root(store, source));
    VERGE_ASSIGN(Client client, Client::open_to_renew(store, first));
    VERGE_TRY(client.refresh(source, now_s));
    VERGE_TRY(client.load_all(source, now_s));
  }
  VERGE_TRY(write_settings(folder, settings));
  VERGE_TRY(write_hub(folder, hub, new_hub ? wire::TrustChanges{} : changes));
  if (new_hub) return state_->name_hub_keys(hub, now_s);
  VERGE_ASSIGN(const Papers papers, read_papers(folder));
  VERGE_TRY(check_expiry_of_the_hubs(papers, now_s));
  return stage(folder, {}, now_s);
}

Result<wire::CeremonySettings> Ceremony::settings() const {
  return read_settings(state_->folder);
}

Result<void> Ceremony::set_lifetimes(int root_days, int targets_days) {
  VERGE_ASSIGN(auto settings, read_settings(state_->folder));
  settings.root_days = root_days;
  settings.targets_days = targets_days;
  return write_settings(state_->folder, settings);
}

Result<void> Ceremony::set_signers(std::string_view role, const Signers& signers, std::int64_t now_s) {
  VERGE_ASSIGN(Papers papers, read_papers(state_->folder));
  if (!is_top_level(role)) return delegate(std::string(role), {}, signers, now_s);
  Root root = papers.next_root;
  VERGE_ASSIGN(Role by, role_by(signers, root.keys));
  root.roles.insert_or_assign(std::string(role), std::move(by));
  drop_unused_keys(root);
  VERGE_TRY(state_->name_keys(signers));
  return stage(state_->folder, {root}, now_s);
}

Result<Signers> Ceremony::signers(std::string_view role) const {
  VERGE_ASSIGN(const Papers papers, read_papers(state_->folder));
  const auto top = papers.next_root.roles.find(role);
  const Role* by = top == papers.next_root.roles.end() ? papers.role_of(role) : &top->second;
  if (by == nullptr || is_bin(role)) {
    std::vector<std::string> known{"root", "targets", "snapshot", "timestamp"};
    for (const auto& [name, file] : papers.in_force) {
      if (name != kTargets && !is_bin(name)) known.push_back(name);
    }
    return wrong(fmt::format("expected a role of {}, got '{}'", fmt::join(known, ", "), role));
  }
  const KeySet& keys = top == papers.next_root.roles.end() ? papers.keys_of(role) : papers.next_root.keys;
  Signers found{{}, by->threshold};
  for (const auto& id : by->key_ids) {
    const auto name = papers.settings.names.find(id);
    const auto key = keys.find(id);
    if (key != keys.end()) {
      found.keys.push_back({name == papers.settings.names.end() ? std::string() : name->second, key->second});
    }
  }
  return found;
}

Result<void> Ceremony::delegate(const std::string& name, const std::vector<std::string>& paths, const Signers& signers,
                                std::int64_t now_s) {
  VERGE_ASSIGN(const Papers papers, read_papers(state_->folder));
  if (is_top_level(name) || is_bin(name) || !parse_file_name(file_name(name, 1))) {
    return wrong(
        fmt::format("expected a name of lower-case letters, digits, '-' and '_' that is none of root, targets, "
                    "snapshot, timestamp and does not begin with 'bin-', got '{}'",
                    name));
  }
  Delegations delegations = papers.next_top.delegations.value_or(Delegations{});
  VERGE_ASSIGN(Role by, role_by(signers, delegations.keys));
  const auto there = std::ranges::find(delegations.roles, name, &Delegation::name);
  if (there != delegations.roles.end()) {
    there->role = std::move(by);
    if (!paths.empty()) there->paths = paths;
  } else if (paths.empty()) {
    return wrong(
        fmt::format("'{}' is no role yet: say for which targets it speaks, such as --paths 'models/cat/*'", name));
  } else {
    delegations.roles.insert(delegations.roles.begin(), {name, std::move(by), true, paths, {}});
  }
  VERGE_TRY(state_->name_keys(signers));
  return stage(state_->folder, {std::nullopt, true, std::move(delegations)}, now_s);
}

Result<void> Ceremony::end_delegation(std::string_view name, std::int64_t now_s) {
  VERGE_ASSIGN(Papers papers, read_papers(state_->folder));
  auto& delegations = papers.next_top.delegations;
  if (is_bin(name) || !delegations ||
      std::erase_if(delegations->roles, [&](const Delegation& one) { return one.name == name; }) == 0) {
    return wrong(fmt::format("there is no delegation to '{}'", name));
  }
  if (delegations->roles.empty()) delegations.reset();
  return stage(state_->folder, {std::nullopt, true, delegations}, now_s);
}

Result<std::vector<Draft>> Ceremony::drafts() const {
  VERGE_ASSIGN(const Papers papers, read_papers(state_->folder));
  std::vector<Draft> drafts;
  for (const auto& [role, file] : papers.drafts) {
    VERGE_ASSIGN(Draft draft, draft_of(papers, role, file));
    drafts.push_back(std::move(draft));
  }
  const auto rank = [](const Draft& one) { return one.role == kRoot ? 0 : one.role == kTargets ? 1 : 2; };
  std::ranges::stable_sort(drafts, {}, rank);
  return drafts;
}

Result<std::vector<Draft>> Ceremony::drafts_for(const crypto::PublicKey& key) const {
  VERGE_ASSIGN(const Papers papers, read_papers(state_->folder));
  VERGE_ASSIGN(auto found, drafts());
  const auto id = key_id(key);
  std::erase_if(
      found, [&](const Draft& one) { return !waits_for(papers, one.role, papers.drafts.find(one.role)->second, id); });
  return found;
}

Result<void> Ceremony::sign(const crypto::PrivateKey& key) {
  VERGE_ASSIGN(const Papers papers, read_papers(state_->folder));
  const auto id = key_id(key.public_key());
  for (const auto& [role, file] : papers.drafts) {
    if (!waits_for(papers, role, file, id)) continue;
    VERGE_ASSIGN(const std::string text, countersigned(file, key));
    VERGE_TRY(write_draft(state_->folder, role, file.header.version, text));
  }
  return {};
}

Result<SignedDrafts> Ceremony::publication() const {
  VERGE_ASSIGN(const Papers papers, read_papers(state_->folder));
  VERGE_ASSIGN(const auto all, drafts());
  const bool root_goes_alone = same_roles(papers.root, papers.next_root);
  const auto of_the_top = [&](const Draft& one) {
    if (one.role == kRoot) return !root_goes_alone;
    return one.role == kTargets || is_bin(one.role) || !papers.in_force.contains(one.role);
  };
  const bool top_is_signed =
      std::ranges::all_of(all, [&](const Draft& one) { return !of_the_top(one) || one.complete(); });
  SignedDrafts ready;
  std::set<std::string> missing;
  for (const auto& one : all) {
    if (one.complete() && (top_is_signed || !of_the_top(one))) {
      ready.files.insert_or_assign(one.file, file_with(papers.drafts.find(one.role)->second.content,
                                                       papers.drafts.find(one.role)->second.signatures));
      continue;
    }
    ready.left_out.push_back(one.file);
    for (const auto& need : one.needs) {
      if (!need.met()) {
        missing.insert(fmt::format("{} of {} ({} more of {})", one.file, need.by,
                                   need.threshold - static_cast<std::int64_t>(need.signed_by.size()),
                                   fmt::join(need.waits_for, ", ")));
      }
    }
  }
  if (ready.files.empty()) {
    return Error(ErrorCode::failed_precondition, "VRG-TUF-015",
                 all.empty() ? std::string("nothing is staged: everything is signed as it is wanted")
                             : fmt::format("signatures are missing: {}; add them: verge trust sign FOLDER --key KEY",
                                           fmt::join(missing, "; ")));
  }
  if (!papers.settings.new_hub) return ready;
  // A hub that knows nothing gets all of it.
  FolderStore store(state_->folder / "metadata");
  for (std::int64_t version = 1; version <= papers.root.header.version; ++version) {
    VERGE_ASSIGN(ready.files[file_name(kRoot, version)], store.read(fmt::format("{}.root", version)));
  }
  for (const auto& [name, role] : papers.in_force) {
    const auto draft = papers.drafts.find(name);
    const bool renewed =
        draft != papers.drafts.end() && ready.files.contains(file_name(name, draft->second.header.version));
    if (renewed) continue;
    VERGE_ASSIGN(ready.files[file_name(name, role.content.header.version)], store.read(name));
  }
  return ready;
}

Result<wire::TrustStatus> Ceremony::status() const {
  VERGE_ASSIGN(const Papers papers, read_papers(state_->folder));
  auto status = papers.hub;
  status.waiting = static_cast<std::int64_t>(papers.changes.changes.size());
  for (auto& role : status.roles) {
    for (auto& key : role.keys) {
      const auto name = papers.settings.names.find(key.id);
      if (name != papers.settings.names.end()) key.name = name->second;
    }
  }
  return status;
}

}  // namespace verge::trust
