#include "differences.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "canonical_json.hpp"
#include "role_layout.hpp"

namespace verge::trust {
namespace {

using Lines = std::vector<std::string>;

std::string described(const KeyNames& names, const KeySet& keys, std::string_view id) {
  const auto key = keys.find(id);
  return fmt::format("{} ({}, {})", shown_key(names, id), key == keys.end() ? "unknown" : kind_name(key->second.kind()),
                     id);
}

void compare_role(Lines& lines, std::string_view name, const Role& before, const KeySet& keys_before, const Role& after,
                  const KeySet& keys_after, const KeyNames& names) {
  for (const auto& id : after.key_ids) {
    if (std::ranges::find(before.key_ids, id) == before.key_ids.end()) {
      lines.push_back(fmt::format("+ key of {}: {}", name, described(names, keys_after, id)));
    }
  }
  for (const auto& id : before.key_ids) {
    if (std::ranges::find(after.key_ids, id) == after.key_ids.end()) {
      lines.push_back(fmt::format("- key of {}: {}", name, described(names, keys_before, id)));
    }
  }
  if (before.threshold != after.threshold) {
    lines.push_back(fmt::format("~ threshold of {}: {} before, {} of {} keys now", name, before.threshold,
                                after.threshold, after.key_ids.size()));
  }
}

void compare_expiry(Lines& lines, const Header& before, const Header& after) {
  if (before.expires == after.expires) return;
  lines.push_back(fmt::format("~ good until {} (before: {})", after.expires, before.expires));
}

std::string text_of(const Target& target) {
  return fmt::format("{}  {}  {} bytes  {}", target.path, target.digest, target.length_bytes,
                     canonical_json(target.custom).value_or("?"));
}

std::string where(const Delegation& one) {
  const auto& list = one.paths ? *one.paths : one.path_hash_prefixes;
  return fmt::format("{} {}", one.paths ? "for" : "for digests of paths that begin with", fmt::join(list, ", "));
}

/// Bins are alike: they are told as one.
void compare_delegations(Lines& lines, const std::optional<Delegations>& before,
                         const std::optional<Delegations>& after, const KeyNames& names) {
  const Delegations none;
  const auto& old = before ? *before : none;
  const auto& now = after ? *after : none;
  const auto digits = bin_digits(after);
  if (digits != bin_digits(before))
    lines.push_back(fmt::format("~ targets are shared out into {} bins", 1 << (4 * digits)));
  bool bins_told = false;
  for (const auto& one : now.roles) {
    const bool bin = is_bin(one.name);
    if (bin && bins_told) continue;
    const auto there = std::ranges::find(old.roles, one.name, &Delegation::name);
    const std::string name = bin ? "the bins" : "'" + one.name + "'";
    if (there == old.roles.end()) {
      if (!bin) lines.push_back(fmt::format("+ delegation to {} {}", name, where(one)));
      compare_role(lines, name, {{}, one.role.threshold}, {}, one.role, now.keys, names);
    } else {
      if (where(*there) != where(one)) lines.push_back(fmt::format("~ delegation to {} {}", name, where(one)));
      compare_role(lines, name, there->role, old.keys, one.role, now.keys, names);
    }
    bins_told = bins_told || bin;
  }
  for (const auto& one : old.roles) {
    const bool gone = std::ranges::find(now.roles, one.name, &Delegation::name) == now.roles.end();
    if (gone && !is_bin(one.name)) lines.push_back(fmt::format("- delegation to '{}' {}", one.name, where(one)));
  }
}

}  // namespace

std::string shown_key(const KeyNames& names, std::string_view id) {
  const auto found = names.find(std::string(id));
  return found == names.end() ? std::string(id.substr(0, 12)) : found->second;
}

Lines differences(const Root& before, const Root& after, const KeyNames& names) {
  Lines lines;
  for (const auto& [name, role] : after.roles) {
    const auto there = before.roles.find(name);
    const Role old = there == before.roles.end() ? Role{{}, role.threshold} : there->second;
    compare_role(lines, name, old, before.keys, role, after.keys, names);
  }
  compare_expiry(lines, before.header, after.header);
  return lines;
}

Lines differences(const Targets* before, const Targets& after, const KeyNames& names) {
  const Targets none;
  const Targets& old = before == nullptr ? none : *before;
  Lines lines;
  for (const auto& [path, target] : after.targets) {
    const auto there = old.targets.find(path);
    if (there == old.targets.end()) {
      lines.push_back("+ " + text_of(target));
    } else if (!same(there->second, target)) {
      lines.push_back("~ " + text_of(target));
      lines.push_back("  before: " + text_of(there->second));
    }
  }
  for (const auto& [path, target] : old.targets) {
    if (!after.targets.contains(path)) lines.push_back("- " + text_of(target));
  }
  compare_delegations(lines, old.delegations, after.delegations, names);
  compare_expiry(lines, old.header, after.header);
  return lines;
}

}  // namespace verge::trust
