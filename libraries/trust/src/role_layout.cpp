#include "role_layout.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "canonical_json.hpp"
#include "delegations.hpp"

namespace verge::trust {
namespace {

constexpr std::string_view kBin = "bin-";
constexpr std::size_t kMostAtTop = 256;
constexpr std::size_t kMostInBin = 128;
constexpr int kMostDigits = 3;

bool same_node(const wire::Node& a, const wire::Node& b) {
  if (a.kind != b.kind || a.text != b.text || a.items.size() != b.items.size() ||
      a.members.size() != b.members.size()) {
    return false;
  }
  return std::ranges::equal(a.items, b.items, same_node) &&
         std::ranges::equal(a.members, b.members, [](const auto& one, const auto& other) {
           return one.first == other.first && same_node(one.second, other.second);
         });
}

bool same_role(const Delegation& a, const Delegation& b) {
  return a.name == b.name && a.role.key_ids == b.role.key_ids && a.role.threshold == b.role.threshold &&
         a.terminating == b.terminating && a.paths == b.paths && a.path_hash_prefixes == b.path_hash_prefixes;
}

}  // namespace

bool is_bin(std::string_view role) {
  return role.starts_with(kBin);
}

int bin_digits(const std::optional<Delegations>& delegations) {
  if (!delegations) return 0;
  const auto bin = std::ranges::find_if(delegations->roles, [](const Delegation& one) { return is_bin(one.name); });
  return bin == delegations->roles.end() ? 0 : static_cast<int>(bin->name.size() - kBin.size());
}

int bin_digits_for(std::size_t targets, int now) {
  int digits = targets > kMostAtTop ? 1 : 0;
  while (digits > 0 && digits < kMostDigits && targets > kMostInBin << (4U * static_cast<unsigned>(digits))) ++digits;
  return std::max(digits, now);
}

std::optional<Delegations> with_bins(std::optional<Delegations> delegations, int digits, const Role& role,
                                     const KeySet& keys) {
  Delegations made = delegations ? std::move(*delegations) : Delegations{};
  std::erase_if(made.roles, [](const Delegation& one) { return is_bin(one.name); });
  const int bins = digits == 0 ? 0 : 1 << (4 * digits);
  for (int number = 0; number < bins; ++number) {
    const auto prefix = fmt::format("{:0{}x}", number, digits);
    made.roles.push_back({std::string(kBin) + prefix, role, false, std::nullopt, {prefix}});
  }
  if (made.roles.empty()) return std::nullopt;
  KeySet used;
  for (const auto& one : made.roles) {
    for (const auto& id : one.role.key_ids) {
      const auto& from = is_bin(one.name) ? keys : made.keys;
      if (const auto key = from.find(id); key != from.end()) used.insert_or_assign(id, key->second);
    }
  }
  made.keys = std::move(used);
  return made;
}

std::string role_for(const std::optional<Delegations>& delegations, std::string_view path) {
  if (!delegations) return std::string(kTargets);
  const auto delegates = delegates_for(*delegations, path);
  return delegates.empty() ? std::string(kTargets) : delegates.front().name;
}

std::map<std::string, TargetList, std::less<>> share_out(const std::optional<Delegations>& delegations,
                                                         const std::vector<Target>& targets) {
  std::map<std::string, TargetList, std::less<>> lists;
  lists[std::string(kTargets)];
  if (delegations) {
    for (const auto& one : delegations->roles) lists[one.name];
  }
  for (const auto& target : targets) lists[role_for(delegations, target.path)].insert_or_assign(target.path, target);
  return lists;
}

bool same(const Target& a, const Target& b) {
  return a.path == b.path && a.length_bytes == b.length_bytes && a.digest == b.digest &&
         (same_node(a.custom, b.custom) ||
          canonical_json(a.custom).value_or("") == canonical_json(b.custom).value_or(""));
}

bool same(const TargetList& a, const TargetList& b) {
  return std::ranges::equal(a, b, [](const auto& one, const auto& other) { return same(one.second, other.second); });
}

bool same(const std::optional<Delegations>& a, const std::optional<Delegations>& b) {
  if (!a || !b) return !a && !b;
  const auto same_key = [](const auto& one, const auto& other) {
    return one.first == other.first && one.second.fingerprint() == other.second.fingerprint();
  };
  return std::ranges::equal(a->roles, b->roles, same_role) && std::ranges::equal(a->keys, b->keys, same_key);
}

}  // namespace verge::trust
