// Registry: repositories of blobs, manifests and tags (OCI distribution specification 1.1), without its HTTP.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/hub/principal.hpp"

namespace verge::hub {

struct Core;

/// Thread-safe. Reading needs the right to read, everything else the right to publish. Errors carry the codes of the
/// specification in their identifiers' place in the API: see RegistryCode.
class Registry {
 public:
  explicit Registry(Core& core) : core_(core) {}

  struct Blob {
    std::filesystem::path file;
    std::string digest;
    std::uint64_t size_bytes = 0;
  };
  /// Errors: not_found (VRG-OCI-001 no such blob).
  Result<Blob> blob(const Principal& caller, const std::string& repository, const std::string& digest);
  Result<void> delete_blob(const Principal& caller, const std::string& repository, const std::string& digest);

  struct Upload {
    std::string id;
    std::uint64_t size_bytes = 0;
  };
  Result<Upload> begin_upload(const Principal& caller, const std::string& repository);
  /// Takes a blob from another repository; nothing when it is not there.
  Result<bool> mount(const Principal& caller, const std::string& repository, const std::string& digest,
                     const std::string& from);
  /// Errors: not_found (VRG-OCI-002 no such upload).
  Result<Upload> upload(const Principal& caller, const std::string& repository, const std::string& id);
  /// Puts the content of `file` (may be empty: nothing) behind what is there; `start`, when given, must be where that
  /// ends. Errors: out_of_range (VRG-OCI-003).
  Result<Upload> append(const Principal& caller, const std::string& repository, const std::string& id,
                        const std::filesystem::path& file, std::optional<std::uint64_t> start);
  /// Makes the upload a blob. Errors: data_loss (VRG-HUB-004), invalid_argument (VRG-OCI-004 not a digest).
  Result<Blob> finish(const Principal& caller, const std::string& repository, const std::string& id,
                      const std::string& digest);
  Result<void> cancel(const Principal& caller, const std::string& repository, const std::string& id);

  struct Manifest {
    std::string digest;
    std::string media_type;
    std::string content;
    std::string subject;
  };
  /// `reference`: a tag or a digest. Errors: not_found (VRG-OCI-005).
  Result<Manifest> manifest(const Principal& caller, const std::string& repository, const std::string& reference);
  /// A model package becomes a version of a model. Errors: invalid_argument (VRG-OCI-006 not a manifest, 011 not a
  /// tag), not_found (VRG-OCI-007 a blob is missing), data_loss (VRG-HUB-004), already_exists (VRG-HUB-023 the version
  /// is there with another digest), invalid_argument (VRG-HUB-024 name or version differ from the metadata).
  Result<Manifest> put_manifest(const Principal& caller, const std::string& repository, const std::string& reference,
                                const std::string& media_type, const std::string& content);
  Result<void> delete_manifest(const Principal& caller, const std::string& repository, const std::string& reference);
  /// In order. Errors: not_found (VRG-OCI-008 no such repository).
  Result<std::vector<std::string>> tags(const Principal& caller, const std::string& repository);
  /// Descriptors of the manifests whose subject is `digest`, as an image index in JSON.
  Result<std::string> referrers(const Principal& caller, const std::string& repository, const std::string& digest,
                                const std::string& artifact_type);

 private:
  Core& core_;
};

}  // namespace verge::hub
