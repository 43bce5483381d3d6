// Staging: the drafts that follow from what is in force, what the hub wants and what people decided.
#pragma once

#include "ceremony_folder.hpp"

namespace verge::trust {

/// What people decided, to be staged.
struct Decision {
  std::optional<Root> root{};
  bool delegations_change = false;
  std::optional<Delegations> delegations{};
};

/// Makes the drafts in the folder those that are wanted. Drafts that stay the same keep their signatures.
Result<void> stage(const std::filesystem::path& folder, const Decision& decision, std::int64_t now_s);

}  // namespace verge::trust
