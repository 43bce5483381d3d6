// Layout: an OCI image layout, a folder, as a store of artifacts of any kind.
#pragma once

#include <filesystem>
#include <memory>

#include "verge/base/error.hpp"
#include "verge/registry_client/artifact_store.hpp"
#include "verge/registry_client/blobs.hpp"

namespace verge::registry_client {

/// The blobs in a layout's own folder.
[[nodiscard]] std::shared_ptr<Blobs> folder_blobs(const std::filesystem::path& layout);

/// Made with the first artifact when absent. A tag that is there moves, unless both artifacts have a title and another
/// one. Errors: as list_layout() and write_file().
Result<std::unique_ptr<ArtifactStore>> open_layout(const std::filesystem::path& folder);
/// The same with the blobs elsewhere.
Result<std::unique_ptr<ArtifactStore>> open_layout(const std::filesystem::path& folder, std::shared_ptr<Blobs> blobs);

/// Takes what no tag of `keep` names, and no artifact that one of them names, out of a layout. Errors: as
/// open_layout().
Result<void> prune_layout(const std::filesystem::path& folder, const std::vector<std::string>& keep,
                          const std::shared_ptr<Blobs>& blobs);

}  // namespace verge::registry_client
