// Ceremony folder: its files, and what they say together.
#pragma once

#include "differences.hpp"
#include "repository_files.hpp"
#include "role_layout.hpp"
#include "verge/trust/ceremony.hpp"

namespace verge::trust {

/// Metadata in force, in a folder, by role; of roots all versions.
class FolderStore final : public MetadataStore {
 public:
  explicit FolderStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  Result<std::string> read(std::string_view role) override;
  Result<void> write(std::string_view role, std::string_view content) override;

 private:
  std::filesystem::path folder_;
};

/// A targets role with its file.
struct TargetsFile {
  SignedFile file;
  Targets content;
};

/// Everything that the folder holds.
struct Papers {
  wire::CeremonySettings settings;
  wire::TrustStatus hub;
  wire::TrustChanges changes;
  SignedFile root_file;  ///< In force.
  Root root;
  std::map<std::string, TargetsFile, std::less<>> in_force;  ///< "targets" and what it delegates to.
  std::map<std::string, SignedFile, std::less<>> drafts;     ///< By role.
  Root next_root;                                            ///< The draft, or the one in force.
  Targets next_top;                                          ///< The same of "targets".

  /// Who must sign a targets role, by the drafts. Null when nobody delegates to it.
  [[nodiscard]] const Role* role_of(std::string_view name) const;
  [[nodiscard]] const KeySet& keys_of(std::string_view name) const;
  /// Whether the hub signs for the role by itself.
  [[nodiscard]] bool hub_holds(const Role& role) const;
  [[nodiscard]] int days(std::string_view role) const;
  [[nodiscard]] bool is_old(const Header& header, std::int64_t now_s) const;
};

Result<Papers> read_papers(const std::filesystem::path& folder);
Result<wire::CeremonySettings> read_settings(const std::filesystem::path& folder);
Result<void> write_settings(const std::filesystem::path& folder, const wire::CeremonySettings& settings);
Result<void> write_hub(const std::filesystem::path& folder, const wire::TrustStatus& hub,
                       const wire::TrustChanges& changes);
/// Writes the draft, in place of another of its role.
Result<void> write_draft(const std::filesystem::path& folder, std::string_view role, std::int64_t version,
                         std::string_view text);
Result<void> remove_draft(const std::filesystem::path& folder, std::string_view role);

}  // namespace verge::trust
