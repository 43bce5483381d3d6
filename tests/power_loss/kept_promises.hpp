// Kept promises: the real store, and after each of its calls a look at whether the disk keeps what the call promised.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "modelled_disk.hpp"
#include "verge/update/disk_files.hpp"

namespace verge::power_loss {

class KeptPromises final : public update::Files {
 public:
  /// Looks only when it is told to.
  KeptPromises(simulator::ModelledDisk& disk, bool looks) : looks_(looks), disk_(disk), files_("", disk) {}

  Result<std::string> read(const std::string& name, std::uint64_t limit) override { return files_.read(name, limit); }
  Result<std::unique_ptr<update::OpenedFile>> open(const std::string& name) override { return files_.open(name); }
  Result<void> write(const std::string& name, std::string_view content) override;
  Result<void> append(const std::string& name, std::span<const std::byte> bytes) override {
    return files_.append(name, bytes);
  }
  Result<void> sync(const std::string& name) override;
  Result<std::uint64_t> size(const std::string& name) override { return files_.size(name); }
  Result<std::string> digest(const std::string& name) override { return files_.digest(name); }
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> link(const std::string& from, const std::string& to) override { return files_.link(from, to); }
  bool same(const std::string& a, const std::string& b) override { return files_.same(a, b); }
  Result<void> remove(const std::string& name) override { return files_.remove(name); }
  Result<std::vector<std::string>> list(const std::string& folder) override { return files_.list(folder); }
  void remove_unfinished(const std::string& folder) override { files_.remove_unfinished(folder); }
  std::uint64_t free_bytes() override { return files_.free_bytes(); }

  std::vector<std::string> broken;

 private:
  /// A rename between two folders, and those of them that must be synced yet.
  struct Move {
    std::set<std::string> names;
    std::set<std::string> unsynced;
  };
  /// The names in a folder, but for those of a rename that is not durable yet.
  [[nodiscard]] std::set<std::string> promised_names(const simulator::DiskImage& image,
                                                     const std::string& folder) const;

  bool looks_;
  std::vector<Move> moves_;
  simulator::ModelledDisk& disk_;
  update::DiskFiles files_;
};

}  // namespace verge::power_loss
