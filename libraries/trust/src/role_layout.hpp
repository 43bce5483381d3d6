// Role layout: which role lists which target, so that one more target means one small file to sign and to send.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metadata.hpp"

namespace verge::trust {

using TargetList = std::map<std::string, Target, std::less<>>;

/// Whether a delegated role is a bin ("bin-3f"): one of those that share by the digest of the path what no other role
/// has. Bins are signed as the targets role is.
bool is_bin(std::string_view role);
/// How many hexadecimal digits name a bin of these delegations; 0: there are no bins.
int bin_digits(const std::optional<Delegations>& delegations);
/// How many they should have for so many targets: none up to 256, then so that a bin has 128 or fewer on the average.
/// Never less than `now`: each new layout signs everything again.
int bin_digits_for(std::size_t targets, int now);
/// The delegations with bins of so many digits, behind all others, for `role`; keys that no role names go.
/// Nothing when no role is left.
std::optional<Delegations> with_bins(std::optional<Delegations> delegations, int digits, const Role& role,
                                     const KeySet& keys);
/// The role that is to list `path`: the first that the delegations trust with it, else "targets".
std::string role_for(const std::optional<Delegations>& delegations, std::string_view path);
/// Each role's targets; every delegated role is there, some with none.
std::map<std::string, TargetList, std::less<>> share_out(const std::optional<Delegations>& delegations,
                                                         const std::vector<Target>& targets);
/// Whether both say the same, whatever the order of their fields.
bool same(const Target& a, const Target& b);
bool same(const TargetList& a, const TargetList& b);
bool same(const std::optional<Delegations>& a, const std::optional<Delegations>& b);

}  // namespace verge::trust
