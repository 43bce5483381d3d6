// Views: what a repository says of itself.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "repository_state.hpp"

namespace verge::trust {

struct SignedTargets::State {
  std::optional<Delegations> delegations;
  std::set<std::string, std::less<>> held;                  ///< Roles that the repository signs on its own.
  std::map<std::string, std::string, std::less<>> digests;  ///< By path: what the other roles have signed.
};

Result<void> SignedTargets::check(std::string_view path, std::string_view digest) const {
  const auto role = role_for(state_->delegations, path);
  if (state_->held.contains(role)) return {};
  const auto found = state_->digests.find(path);
  if (found != state_->digests.end() && found->second == digest) return {};
  return Error(ErrorCode::failed_precondition, "VRG-TUF-014",
               fmt::format("'{}' is not signed: its signature must come from the keys of '{}', which this hub does not "
                           "have; sign it where they are: verge trust fetch, verge trust sign, verge trust publish",
                           path, is_bin(role) ? kTargets : std::string_view(role)));
}

SignedTargets Repository::signed_targets() const {
  auto made = std::make_shared<SignedTargets::State>();
  made->delegations = state_->top().delegations;
  for (const auto& [name, role] : state_->roles) {
    if (state_->holds_targets_role(name)) {
      made->held.insert(name);
      continue;
    }
    for (const auto& [path, target] : role.targets) {
      if (role_for(made->delegations, path) == name) made->digests.insert_or_assign(path, target.digest);
    }
  }
  SignedTargets view;
  view.state_ = std::move(made);
  return view;
}

const Target* Repository::find(std::string_view path) const {
  for (const auto& name : {std::string(kTargets), role_for(state_->top().delegations, path)}) {
    const auto role = state_->roles.find(name);
    if (role == state_->roles.end()) continue;
    const auto target = role->second.targets.find(path);
    if (target != role->second.targets.end()) return &target->second;
  }
  return nullptr;
}

std::vector<TargetChange> Repository::changes() const {
  std::vector<TargetChange> found;
  const auto& delegations = state_->top().delegations;
  std::set<std::string_view> paths;
  for (const auto& target : state_->wanted) {
    paths.insert(target.path);
    const Target* there = find(target.path);
    if (there != nullptr && same(*there, target)) continue;
    const auto kind = there == nullptr ? TargetChange::Kind::added : TargetChange::Kind::changed;
    found.push_back({kind, role_for(delegations, target.path), target});
  }
  for (const auto& [name, role] : state_->roles) {
    for (const auto& [path, target] : role.targets) {
      if (!paths.contains(path)) found.push_back({TargetChange::Kind::removed, name, target});
    }
  }
  std::ranges::stable_sort(found, {}, [](const TargetChange& one) { return std::string_view(one.target.path); });
  return found;
}

std::vector<RoleInfo> Repository::roles() const {
  const State& state = *state_;
  std::vector<RoleInfo> found;
  const auto add = [&](std::string_view name, const Header& header, const Role& by, const KeySet& keys) {
    RoleInfo info{std::string(name), header.version, header.expires_s, by.threshold, {}, {}, 0};
    for (const auto& id : by.key_ids) {
      const auto key = keys.find(id);
      const bool held =
          std::ranges::any_of(state.keys, [&](const auto& one) { return key_id(one.second.public_key()) == id; });
      info.keys.push_back({id, key == keys.end() ? "unknown" : std::string(kind_name(key->second.kind())), held,
                           key == keys.end() ? std::string() : key->second.pem()});
    }
    if (const auto role = state.roles.find(name); role != state.roles.end()) info.targets = role->second.targets.size();
    found.push_back(std::move(info));
  };
  const auto& tops = state.root.roles;
  add(kRoot, state.root.header, tops.find(kRoot)->second, state.root.keys);
  add(kTargets, state.top().header, tops.find(kTargets)->second, state.root.keys);
  add(kSnapshot, state.snapshot.header, tops.find(kSnapshot)->second, state.root.keys);
  add(kTimestamp, state.timestamp.header, tops.find(kTimestamp)->second, state.root.keys);
  if (!state.top().delegations) return found;
  for (const auto& one : state.top().delegations->roles) {
    add(one.name, state.roles.find(one.name)->second.header, one.role, state.top().delegations->keys);
    if (one.paths) found.back().paths = *one.paths;
  }
  return found;
}

}  // namespace verge::trust
