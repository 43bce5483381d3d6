// Modelled disk: a file system in memory that knows what it would still have after a loss of power.
//
// It keeps what POSIX promises, and no more, so that what holds here holds on ext4, XFS, Btrfs and F2FS whatever their
// options (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014):
//   - Content survives once its file is synced. Before, each sector of 512 bytes that was written may be the new one or
//     the old one, or, where there was none, zeros or what lay on the disk before, and the size may be any from the old
//     to the new.
//   - A change of names (a file or folder that is made, renamed, linked or removed) survives once each folder that it
//     touches is synced. Before, it is there or not, whatever becomes of the changes before and after it; a rename is
//     there whole or not at all.
//   - What lies in a folder whose own name is lost is lost.
//   - A sync that fails has made nothing durable, and a later one that succeeds does not make up for it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "chance.hpp"
#include "verge/base/file_system.hpp"

namespace verge::simulator {

/// What is on a disk, by path ("/a/b"). Two names of one file share their content.
struct DiskImage {
  std::map<std::string, std::shared_ptr<const std::string>> files;
  std::set<std::string> folders;

  /// The same for the same folders, names, contents and links.
  [[nodiscard]] std::uint64_t fingerprint() const;
};

/// What becomes of the unsynced in a loss of power.
struct Loss {
  enum class Fate { lost, kept, mixed };
  Fate names = Fate::lost;
  Fate content = Fate::lost;  ///< mixed: torn.
  std::uint64_t seed = 0;     ///< Of what is mixed.
  /// Only what the sync that was left out would have kept is lost; `content` says how, and all else is kept.
  bool only_exposed = false;
};

enum class Call {
  truncate,
  create,
  open_to_append,
  open,
  read,
  write,
  make_readable,
  sync,
  status,
  rename,
  link,
  unlink,
  make_folder,
  remove_folder,
  list
};
[[nodiscard]] std::string_view name(Call call) noexcept;
/// Whether a loss of power tells before from after.
[[nodiscard]] bool changes(Call call) noexcept;

class ModelledDisk final : public FileSystem {
 public:
  /// A root folder and nothing else.
  ModelledDisk();
  explicit ModelledDisk(const DiskImage& image);

  /// Asked before every call: its error number, or 0. May throw.
  std::function<int(Call call, const std::string& path)> before_call;
  /// This call of sync(), counted from 1, does nothing; 0: all do what they should.
  std::uint64_t left_out = 0;
  std::uint64_t free = std::uint64_t{1} << 40U;

  /// What would be there after a loss of power now.
  [[nodiscard]] DiskImage after(const Loss& loss) const;
  /// What is there now.
  [[nodiscard]] DiskImage image() const;
  /// The power is lost and comes back: open files are closed.
  void lose_power(const Loss& loss);
  /// Whether the sync that was left out still matters.
  [[nodiscard]] bool is_exposed() const;
  /// Whether a loss of power could take anything.
  [[nodiscard]] bool is_synced() const;

  /// Content as it is; null when there is no such file.
  [[nodiscard]] const std::string* peek(const std::string& path) const;
  /// Files in a folder and below it.
  [[nodiscard]] std::vector<std::string> files_below(const std::string& folder) const;
  /// A bit flips, as on a worn card.
  void flip_bit(const std::string& path, std::uint64_t at);
  /// Calls so far that changed something, and calls of sync().
  [[nodiscard]] std::uint64_t operations() const noexcept { return operations_; }
  [[nodiscard]] std::uint64_t syncs() const noexcept { return syncs_; }

  Called<int> create(const std::string& path) override;
  Called<int> open_to_append(const std::string& path) override;
  Called<int> open(const std::string& path) override;
  void close(int file) noexcept override;
  Called<std::size_t> read(int file, std::span<std::byte> to) override;
  Called<std::size_t> read_at(int file, std::uint64_t offset_bytes, std::span<std::byte> to) override;
  Called<std::size_t> write(int file, std::span<const std::byte> bytes) override;
  /// What files are not kept with here, but databases are: over what is there, or behind it.
  Called<void> write_at(int file, std::uint64_t offset_bytes, std::string_view bytes);
  Called<void> truncate(int file, std::uint64_t size_bytes);
  Called<void> make_readable(int file) override;
  Called<void> sync(int file) override;
  Called<Status> status(int file) override;
  Called<Status> status(const std::string& path) override;
  Called<void> rename(const std::string& from, const std::string& to) override;
  Called<void> link(const std::string& from, const std::string& to) override;
  Called<void> unlink(const std::string& path) override;
  Called<void> make_folder(const std::string& path) override;
  Called<void> remove_folder(const std::string& path) override;
  Called<std::vector<std::string>> list(const std::string& path) override;
  Called<std::uint64_t> free_bytes(const std::string& /*path*/) override { return std::uint64_t{free}; }

 private:
  using NodeId = std::uint32_t;  ///< 0: none; 1: the root.
  using Names = std::map<std::string, NodeId, std::less<>>;
  struct Node {
    bool is_folder = false;
    std::shared_ptr<std::string> content;          ///< Of a file; shared with images until it changes.
    std::shared_ptr<const std::string> surviving;  ///< As it survives; the same as `content` when all of it does.
    bool sync_failed = false;
    bool exposed = false;
    Names names;    ///< Of a folder, as programs see them.
    Names durable;  ///< As they are without the pending changes.
  };
  struct Entry {
    NodeId folder = 0;
    std::string name;
    NodeId node = 0;  ///< What it names from now on.
    [[nodiscard]] bool is_same_name(const Entry& other) const { return folder == other.folder && name == other.name; }
  };
  struct Change {
    std::vector<Entry> entries;
    std::vector<NodeId> unsynced;  ///< Folders that must be synced yet.
    bool exposed = false;
    [[nodiscard]] bool is_certain() const { return unsynced.empty(); }
  };
  struct Handle {
    NodeId node = 0;
    std::size_t at = 0;
    std::string path;
  };
  /// A path's folder, last name, and what is there.
  struct Place {
    NodeId folder = 0;
    std::string name;
    NodeId node = 0;
  };

  [[nodiscard]] Called<NodeId> find(std::string_view path) const;
  [[nodiscard]] Called<Place> place(const std::string& path) const;
  [[nodiscard]] int before(Call call, const std::string& path);
  [[nodiscard]] Called<void> may_rename(const std::string& from, const std::string& to, NodeId what, NodeId over) const;
  [[nodiscard]] Status status_of(NodeId node) const;
  /// To be changed: nobody else sees it.
  std::string& own_content(Node& node);
  NodeId add(bool is_folder);
  Called<int> handle(NodeId node, const std::string& path);
  Called<void> change(Call call, const std::string& path, std::vector<Entry> entries);
  void retire();
  [[nodiscard]] std::vector<Names> names_after(const Loss& loss, Chance& chance) const;
  [[nodiscard]] static std::shared_ptr<const std::string> content_after(const Node& node, const Loss& loss,
                                                                        Chance& chance);

  std::vector<Node> nodes_;
  std::vector<Change> pending_;
  std::map<int, Handle> open_;
  int next_handle_ = 3;
  std::uint64_t operations_ = 0;
  std::uint64_t syncs_ = 0;
};

}  // namespace verge::simulator
