// Artifact source and store: where artifacts come from and where they go, a registry's repository or an image layout.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/registry_client/artifact.hpp"

namespace verge::registry_client {

/// What is moving: its name for people, and bytes.
using Progress = std::function<void(std::string_view what, std::uint64_t done_bytes, std::uint64_t total_bytes)>;

/// Used by one thread.
class ArtifactSource {
 public:
  virtual ~ArtifactSource() = default;
  /// As people write it, for messages.
  [[nodiscard]] virtual std::string name() const = 0;
  /// By tag or digest, its bytes checked against the digest. Errors: not_found (VRG-REG-006), data_loss (VRG-REG-007,
  /// 008).
  virtual Result<Artifact> artifact(const std::string& reference) = 0;
  /// What is about the artifact with this digest. None is no error.
  virtual Result<std::vector<Descriptor>> referrers(const std::string& digest) = 0;
  /// A file with the blob's content, which has been checked: where it lies, or in the folder `scratch`, where a part
  /// that came before is gone on with. Errors: data_loss (VRG-REG-007 another digest, 009 another size).
  virtual Result<std::filesystem::path> fetch(const Descriptor& blob, const std::filesystem::path& scratch,
                                              const Progress& progress) = 0;
};

class ArtifactStore : public ArtifactSource {
 public:
  virtual Result<bool> has(const Descriptor& blob) = 0;
  /// Takes the blob from `from` without its content passing here; false when that cannot be.
  virtual Result<bool> take(const Descriptor& blob, const ArtifactSource& from) = 0;
  /// `file` has the content; it may be moved away when it lies in `scratch`.
  virtual Result<void> put(const Descriptor& blob, const std::filesystem::path& file,
                           const std::filesystem::path& scratch, const Progress& progress) = 0;
  /// After its blobs. `tag` empty: by its digest only.
  virtual Result<void> put(const Artifact& artifact, const std::string& tag) = 0;
};

}  // namespace verge::registry_client
