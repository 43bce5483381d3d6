// Layout: an OCI image layout, a folder, as a store of artifacts of any kind.
#pragma once

#include <filesystem>
#include <memory>

#include "verge/base/error.hpp"
#include "verge/registry_client/artifact_store.hpp"

namespace verge::registry_client {

/// Made with the first artifact when absent. A tag that is there moves, unless both artifacts have a title and another
/// one. Errors: as list_layout() and write_file().
Result<std::unique_ptr<ArtifactStore>> open_layout(const std::filesystem::path& folder);

/// Takes what no tag of `keep` names, and no artifact that one of them names, out of a layout. Errors: as
/// open_layout().
Result<void> prune_layout(const std::filesystem::path& folder, const std::vector<std::string>& keep);

}  // namespace verge::registry_client
