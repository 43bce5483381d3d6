// Blobs: content by digest, in files, and uploads that are not whole yet.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"

namespace verge::hub {

/// Thread-safe as far as no two threads append to one upload.
class Blobs {
 public:
  /// `folder`/blobs/sha256 and `folder`/uploads, made when absent. Errors: as write_file().
  static Result<Blobs> open(const std::filesystem::path& folder);

  [[nodiscard]] std::filesystem::path path(std::string_view digest) const;
  [[nodiscard]] bool has(std::string_view digest) const;
  /// Size, or not_found (VRG-HUB-003).
  [[nodiscard]] Result<std::uint64_t> size_bytes(std::string_view digest) const;
  [[nodiscard]] Result<std::string> read(std::string_view digest, std::uint64_t limit_bytes) const;
  /// Stores small content under its digest, which is given back.
  Result<std::string> write(std::string_view content);
  void remove(std::string_view digest) const;

  [[nodiscard]] std::filesystem::path uploads() const { return folder_ / "uploads"; }
  [[nodiscard]] std::filesystem::path upload_path(std::string_view id) const;
  /// Makes an empty upload.
  Result<void> begin_upload(std::string_view id) const;
  [[nodiscard]] std::uint64_t upload_size_bytes(std::string_view id) const;
  /// Puts `file` behind what is there. The first one is moved, others are copied. Synced when it returns.
  Result<void> append(std::string_view id, const std::filesystem::path& file) const;
  /// Checks the digest and makes the upload a blob; synced when it returns. Errors: data_loss (VRG-HUB-004).
  Result<void> finish(std::string_view id, std::string_view digest) const;
  void drop(std::string_view id) const;

 private:
  explicit Blobs(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;
};

}  // namespace verge::hub
