// Upload: a blob from a file into a repository, whole or in pieces, gone on with where it broke off.
#pragma once

#include <filesystem>
#include <string>

#include "session.hpp"
#include "verge/registry_client/artifact_store.hpp"

namespace verge::registry_client {

/// Errors: those of the session; data_loss (VRG-REG-010 the registry gives no place to upload to).
Result<void> upload_blob(Session& session, const Descriptor& blob, const std::filesystem::path& file,
                         const Progress& progress);
/// Has the registry take the blob from another of its repositories; false when it does not.
Result<bool> mount_blob(Session& session, const Descriptor& blob, const std::string& from_repository);

}  // namespace verge::registry_client
