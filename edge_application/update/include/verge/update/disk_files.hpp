// Disk files: the store of a real device.
#pragma once

#include <filesystem>

#include "verge/update/ports.hpp"

namespace verge::update {

/// A folder on a disk; it is made when absent. Used by several threads, each file by one at a time.
class DiskFiles final : public Files {
 public:
  explicit DiskFiles(std::filesystem::path root) : root_(std::move(root)) {}

  Result<std::string> read(const std::string& name, std::uint64_t limit_bytes) override;
  Result<void> write(const std::string& name, std::string_view content) override;
  Result<void> append(const std::string& name, std::span<const std::byte> bytes) override;
  Result<void> sync(const std::string& name) override;
  Result<std::uint64_t> size(const std::string& name) override;
  Result<std::string> digest(const std::string& name) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> link(const std::string& from, const std::string& to) override;
  bool same(const std::string& a, const std::string& b) override;
  Result<void> remove(const std::string& name) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  std::uint64_t free_bytes() override;

  [[nodiscard]] std::filesystem::path path(const std::string& name) const { return root_ / name; }

 private:
  std::filesystem::path root_;
};

}  // namespace verge::update
