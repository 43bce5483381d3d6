#include "ceremony_staging.hpp"

#include <algorithm>

#include "canonical_json.hpp"

namespace verge::trust {
namespace {

/// All targets that are to be signed: those in force, as the hub wants them changed.
std::vector<Target> wanted_targets(const Papers& papers) {
  TargetList list;
  for (const auto& [name, role] : papers.in_force)
    list.insert(role.content.targets.begin(), role.content.targets.end());
  for (const auto& change : papers.changes.changes) {
    if (change.kind == wire::TrustChangeKind::removed) {
      list.erase(change.path);
      continue;
    }
    Target target{change.path, static_cast<std::uint64_t>(change.length_bytes), change.digest, {}};
    if (change.custom) target.custom = wire::to_node(*change.custom);
    list.insert_or_assign(change.path, std::move(target));
  }
  std::vector<Target> wanted;
  for (auto& [path, target] : list) wanted.push_back(std::move(target));
  return wanted;
}

class Staging {
 public:
  Staging(const std::filesystem::path& folder, Papers papers, std::int64_t now_s)
      : folder_(folder), papers_(std::move(papers)), now_s_(now_s) {}

  Result<void> stage_root(const std::optional<Root>& decided) {
    if (decided) {
      papers_.next_root = *decided;
    } else if (papers_.drafts.contains(kRoot)) {
      if (papers_.next_root.header.version <= papers_.root.header.version) {
        papers_.next_root = papers_.root;
        VERGE_TRY(remove_draft(folder_, kRoot));
      }
    }
    const bool is_draft = decided || papers_.next_root.header.version > papers_.root.header.version;
    const bool renews =
        papers_.is_old(papers_.root.header, now_s_) && !papers_.hub_holds(papers_.root.roles.find(kRoot)->second);
    if (!is_draft && !renews) return {};
    return put(kRoot, papers_.root.header.version + 1, [&](const Header& header) -> Result<wire::Node> {
      papers_.next_root.header = header;
      return root_metadata(papers_.next_root);
    });
  }

  Result<void> stage_targets(std::optional<Delegations> delegations) {
    const auto wanted = wanted_targets(papers_);
    const auto digits = bin_digits(delegations);
    const auto others = static_cast<std::size_t>(std::ranges::count_if(wanted, [&](const Target& target) {
      const auto role = role_for(delegations, target.path);
      return role == kTargets || is_bin(role);
    }));
    const Role& by = papers_.next_root.roles.find(kTargets)->second;
    const bool hub_signs = papers_.hub_holds(by);
    const auto most = hub_signs ? digits : bin_digits_for(others, digits);
    if (most > 0 || delegations) delegations = with_bins(std::move(delegations), most, by, papers_.next_root.keys);
    papers_.next_top.delegations = delegations;
    const auto lists = share_out(delegations, wanted);
    for (const auto& [name, list] : lists) VERGE_TRY(stage_role(name, list));
    for (const auto& [name, draft] : papers_.drafts) {
      if (name != kRoot && !lists.contains(name)) VERGE_TRY(remove_draft(folder_, name));
    }
    return {};
  }

 private:
  Result<void> stage_role(const std::string& name, const TargetList& list) {
    const bool is_top = name == kTargets;
    const auto delegations = is_top ? papers_.next_top.delegations : std::nullopt;
    const Role& by = *papers_.role_of(name);
    const auto now = papers_.in_force.find(name);
    const bool there = now != papers_.in_force.end();
    const bool stands = there && same(now->second.content.targets, list) &&
                        (!is_top || same(now->second.content.delegations, delegations)) &&
                        check_signatures(now->second.file, by, papers_.keys_of(name)) &&
                        !papers_.is_old(now->second.content.header, now_s_);
    // What the hub signs it makes by itself; but that it delegates to others is decided here.
    const bool hub_makes = papers_.hub_holds(by) && (!is_top || same(now->second.content.delegations, delegations));
    if (stands || hub_makes) return remove_draft(folder_, name);
    Targets content{{}, list, delegations};
    return put(name, (there ? now->second.content.header.version : 0) + 1, [&](const Header& header) {
      content.header = header;
      return targets_metadata(content);
    });
  }

  Result<void> put(std::string_view role, std::int64_t version,
                   const std::function<Result<wire::Node>(const Header&)>& make) {
    if (const auto draft = papers_.drafts.find(role); draft != papers_.drafts.end()) {
      const auto& before = draft->second;
      if (before.header.version == version && !papers_.is_old(before.header, now_s_)) {
        VERGE_ASSIGN(const wire::Node same_content, make(before.header));
        VERGE_ASSIGN(const std::string message, canonical_json(same_content));
        if (message == before.message) return {};
      }
    }
    VERGE_ASSIGN(wire::Node content, make(make_header(role, version, now_s_ + papers_.days(role) * kDay_s)));
    return write_draft(folder_, role, version, file_with(std::move(content), {}));
  }

  const std::filesystem::path& folder_;
  Papers papers_;
  std::int64_t now_s_;
};

}  // namespace

Result<void> stage(const std::filesystem::path& folder, const Decision& decision, std::int64_t now_s) {
  VERGE_ASSIGN(Papers papers, read_papers(folder));
  const auto top_before = papers.in_force.find(kTargets)->second.content;
  // A draft that is in force by now decides nothing more.
  const bool decided = papers.drafts.contains(kTargets) && papers.next_top.header.version > top_before.header.version;
  auto delegations = decision.delegations_change ? decision.delegations
                     : decided                   ? papers.next_top.delegations
                                                 : top_before.delegations;
  Staging staging(folder, std::move(papers), now_s);
  VERGE_TRY(staging.stage_root(decision.root));
  return staging.stage_targets(std::move(delegations));
}

}  // namespace verge::trust
