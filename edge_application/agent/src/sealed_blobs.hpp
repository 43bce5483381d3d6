// Sealed blobs: content of pulled packages in a state directory that is encrypted.
#pragma once

#include <string>

#include "verge/registry_client/blobs.hpp"
#include "verge/update/ports.hpp"

namespace verge::agent {

/// Where plain ones of the layout "registry" would lie, so that switching encryption on and off finds them. By sha256
/// only, as the files of model packages are named.
class SealedBlobs final : public registry_client::Blobs {
 public:
  /// `files`: the state directory, encrypted; it must outlive the object.
  explicit SealedBlobs(update::Files& files) : files_(files) {}

  Result<std::string> read(const std::string& digest, std::uint64_t limit_bytes) override;
  Result<Found> look(const std::string& digest) override;
  Result<void> write(const std::string& digest, std::string_view content) override;
  Result<void> put(const std::string& digest, const std::filesystem::path& file,
                   const std::filesystem::path& scratch) override;
  /// Decrypts it.
  Result<std::filesystem::path> file(const std::string& digest, const std::filesystem::path& scratch) override;
  Result<std::vector<std::string>> list() override;
  Result<void> remove(const std::string& digest) override;

 private:
  update::Files& files_;
};

}  // namespace verge::agent
