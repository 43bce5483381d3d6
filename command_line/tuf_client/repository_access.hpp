// Repository access: trusted metadata in a folder, and a repository behind a URL.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "verge/http_client/client.hpp"
#include "verge/trust/client.hpp"

namespace verge::tuf_client {

/// "<role>.json" in a folder, replaced as a whole.
class FolderStore final : public trust::MetadataStore {
 public:
  explicit FolderStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  Result<std::string> read(std::string_view role) override;
  Result<void> write(std::string_view role, std::string_view content) override;

 private:
  std::filesystem::path folder_;
};

/// Files under a URL, in memory.
class UrlSource final : public trust::MetadataSource {
 public:
  /// Errors: VRG-HTC-008.
  static Result<UrlSource> open(std::string_view url);
  /// Errors: not_found for 404, and for 403, which object stores give for what they do not have.
  Result<std::string> fetch(std::string_view name, std::uint64_t limit_bytes) override;

 private:
  explicit UrlSource(std::unique_ptr<http_client::Client> client) : client_(std::move(client)) {}
  std::unique_ptr<http_client::Client> client_;
};

/// A target's path under its base URL, with its digest in the name where the repository is consistent.
std::string target_url_path(const trust::Target& target, bool consistent_snapshot);
/// One file name for a target's path, whatever it holds.
std::string target_file_name(std::string_view path);

}  // namespace verge::tuf_client
