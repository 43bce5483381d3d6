// Disk files: the store of a real device.
#pragma once

#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "verge/base/file_system.hpp"
#include "verge/update/ports.hpp"

namespace verge::update {

/// A folder on a disk; it is made when absent. Used by several threads, each file by one at a time.
class DiskFiles final : public Files {
 public:
  /// `system` must outlive the object.
  explicit DiskFiles(const std::filesystem::path& root, FileSystem& system = real_file_system())
      : system_(system), root_(root.string()) {}

  Result<std::string> read(const std::string& name, std::uint64_t limit_bytes) override;
  Result<std::unique_ptr<OpenedFile>> open(const std::string& name) override;
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
  void remove_unfinished(const std::string& folder) override;
  std::uint64_t free_bytes() override;

  [[nodiscard]] std::filesystem::path path(const std::string& name) const { return at(name); }

 private:
  [[nodiscard]] std::string at(const std::string& name) const { return name.empty() ? root_ : root_ + '/' + name; }
  /// With its parents; where `durable`, their names survive before anything is put into them.
  Result<void> make_folder(const std::string& name, bool durable);
  Result<void> remove_folder(const std::string& name);
  [[nodiscard]] bool is_known(const std::string& folder);
  /// What was known of a folder and of what is in it no longer holds.
  void forget(const std::string& folder);

  FileSystem& system_;
  std::string root_;
  std::mutex mutex_;
  std::set<std::string> known_;  ///< Folders whose names are durable.
};

}  // namespace verge::update
