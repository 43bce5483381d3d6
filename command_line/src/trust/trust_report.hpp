// Trust report: roles, keys and drafts, for people and for scripts.
#pragma once

#include <string>
#include <vector>

#include "verge/trust/ceremony.hpp"
#include "verge/wire/document.hpp"

namespace verge::cli {

[[nodiscard]] std::string role_table(const wire::TrustStatus& status);
/// Which targets wait.
[[nodiscard]] std::string change_table(const wire::TrustChanges& changes);
/// Whose signatures drafts wait for; with `differences` also what they would change.
[[nodiscard]] std::string draft_text(const std::vector<trust::Draft>& drafts, bool differences);
[[nodiscard]] wire::Node draft_node(const std::vector<trust::Draft>& drafts);

}  // namespace verge::cli
