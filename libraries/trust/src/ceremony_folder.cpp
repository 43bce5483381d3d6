#include "ceremony_folder.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/base/file.hpp"

namespace verge::trust {
namespace {

namespace fs = std::filesystem;

Error damaged(const fs::path& path, std::string_view what) {
  return Error(ErrorCode::data_loss, "VRG-TUF-010",
               fmt::format("the ceremony's file '{}' is damaged: {}; bring back a copy", path.string(), what));
}

template <typename T>
Result<T> read_or(const fs::path& path, Result<T> (*read)(const wire::Node&, const wire::Place&), T otherwise) {
  auto text = read_text(path, wire::kDocumentLimitBytes);
  if (!text && text.error().code() == ErrorCode::not_found) return otherwise;
  if (!text) return std::move(text).error();
  VERGE_ASSIGN(const auto node, wire::parse_json(*text, path.string()));
  return read(node, wire::Place(path.string()));
}

Result<SignedFile> open_file(const fs::path& path, std::string_view role) {
  VERGE_ASSIGN(const std::string text, read_text(path, kTargetsLimitBytes));
  auto file = open_signed(text, role == kRoot ? kRoot : kTargets, role);
  if (!file) return damaged(path, file.error().message());
  return file;
}

Result<void> read_in_force(Papers& papers, const fs::path& folder) {
  auto root = open_file(folder / "root.json", kRoot);
  if (!root && root.error().code() == ErrorCode::not_found) {
    return Error(ErrorCode::failed_precondition, "VRG-TUF-016",
                 fmt::format("expected a hub's metadata in '{}', got none; fetch it where the hub is in reach: verge "
                             "trust fetch FOLDER",
                             folder.string()));
  }
  if (!root) return std::move(root).error();
  papers.root_file = std::move(*root);
  VERGE_ASSIGN(papers.root, read_root(papers.root_file));
  std::vector<std::string> names{std::string(kTargets)};
  for (std::size_t i = 0; i < names.size() && i <= kRoleLimit; ++i) {
    VERGE_ASSIGN(SignedFile file, open_file(folder / (names[i] + ".json"), names[i]));
    VERGE_ASSIGN(Targets content, read_targets(file));
    if (i == 0 && content.delegations) {
      for (const auto& one : content.delegations->roles) names.push_back(one.name);
    }
    papers.in_force.insert_or_assign(names[i], TargetsFile{std::move(file), std::move(content)});
  }
  return {};
}

}  // namespace

Result<std::string> FolderStore::read(std::string_view role) {
  return read_text(folder_ / (std::string(role) + ".json"), kTargetsLimitBytes);
}

Result<void> FolderStore::write(std::string_view role, std::string_view content) {
  if (role == kRoot) {
    VERGE_ASSIGN(const SignedFile file, open_signed(content, kRoot, kRoot));
    VERGE_TRY(write_file(folder_ / file_name(kRoot, file.header.version), content));
  }
  return write_file(folder_ / (std::string(role) + ".json"), content);
}

const Role* Papers::role_of(std::string_view name) const {
  if (name == kTargets) return &next_root.roles.find(kTargets)->second;
  if (!next_top.delegations) return nullptr;
  const auto one = std::ranges::find(next_top.delegations->roles, name, &Delegation::name);
  return one == next_top.delegations->roles.end() ? nullptr : &one->role;
}

const KeySet& Papers::keys_of(std::string_view name) const {
  return name == kTargets ? next_root.keys : next_top.delegations->keys;
}

bool Papers::hub_holds(const Role& role) const {
  std::int64_t held = 0;
  for (const auto& id : role.key_ids) {
    held += std::ranges::any_of(hub.roles, [&](const wire::TrustRole& one) {
      return std::ranges::any_of(one.keys, [&](const wire::TrustKey& key) { return key.held && key.id == id; });
    });
  }
  return held >= role.threshold;
}

int Papers::days(std::string_view role) const {
  return static_cast<int>(role == kRoot ? settings.root_days : settings.targets_days);
}

bool Papers::is_old(const Header& header, std::int64_t now_s) const {
  return header.expires_s - now_s < days(header.role) * kDay_s / 2;
}

Result<Papers> read_papers(const fs::path& folder) {
  Papers papers;
  VERGE_ASSIGN(papers.settings, read_settings(folder));
  VERGE_ASSIGN(papers.hub, read_or(folder / "hub.json", wire::read_trust_status, wire::TrustStatus{}));
  VERGE_ASSIGN(papers.changes, read_or(folder / "changes.json", wire::read_trust_changes, wire::TrustChanges{}));
  VERGE_TRY(read_in_force(papers, folder / "metadata"));
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder / "staged", failed)) {
    const auto named = parse_file_name(entry.path().filename().string());
    if (!named) continue;
    VERGE_ASSIGN(SignedFile file, open_file(entry.path(), named->first));
    papers.drafts.insert_or_assign(named->first, std::move(file));
  }
  papers.next_root = papers.root;
  if (const auto draft = papers.drafts.find(kRoot); draft != papers.drafts.end()) {
    VERGE_ASSIGN(papers.next_root, read_root(draft->second));
  }
  papers.next_top = papers.in_force.find(kTargets)->second.content;
  if (const auto draft = papers.drafts.find(kTargets); draft != papers.drafts.end()) {
    VERGE_ASSIGN(papers.next_top, read_targets(draft->second));
  }
  return papers;
}

Result<wire::CeremonySettings> read_settings(const fs::path& folder) {
  wire::CeremonySettings first;
  first.version = 1;
  return read_or(folder / "ceremony.json", wire::read_ceremony_settings, first);
}

Result<void> write_settings(const fs::path& folder, const wire::CeremonySettings& settings) {
  return write_file(folder / "ceremony.json", std::string_view(wire::write_json(wire::to_node(settings))));
}

Result<void> write_hub(const fs::path& folder, const wire::TrustStatus& hub, const wire::TrustChanges& changes) {
  VERGE_TRY(write_file(folder / "hub.json", std::string_view(wire::write_json(wire::to_node(hub)))));
  return write_file(folder / "changes.json", std::string_view(wire::write_json_line(wire::to_node(changes))));
}

Result<void> write_draft(const fs::path& folder, std::string_view role, std::int64_t version, std::string_view text) {
  VERGE_TRY(remove_draft(folder, role));
  return write_file(folder / "staged" / file_name(role, version), text);
}

Result<void> remove_draft(const fs::path& folder, std::string_view role) {
  std::error_code failed;
  std::vector<fs::path> gone;
  for (const auto& entry : fs::directory_iterator(folder / "staged", failed)) {
    const auto named = parse_file_name(entry.path().filename().string());
    if (named && named->first == role) gone.push_back(entry.path());
  }
  for (const auto& path : gone) fs::remove(path, failed);
  return {};
}

}  // namespace verge::trust
