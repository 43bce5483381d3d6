#include "modelled_disk.hpp"

#include <algorithm>
#include <cerrno>

namespace verge::simulator {
namespace {

constexpr std::size_t kSectorBytes = 512;
constexpr std::uint32_t kRoot = 1;

using ContentOf = std::function<std::shared_ptr<const std::string>(std::uint32_t)>;

/// The tree from `folder` on, where `names_of` gives a folder's names and `content_of` a file's content.
template <typename NamesOf, typename IsFolder>
void walk(const NamesOf& names_of, const IsFolder& is_folder, const ContentOf& content_of, std::uint32_t folder,
          const std::string& path, DiskImage& image) {
  for (const auto& [name, node] : names_of(folder)) {
    const auto below = path + "/" + name;
    if (is_folder(node)) {
      image.folders.insert(below);
      walk(names_of, is_folder, content_of, node, below, image);
    } else {
      image.files.emplace(below, content_of(node));
    }
  }
}

/// Sectors of a file some of which were written.
std::string torn(const std::string& before, const std::string& content, Chance& chance) {
  const auto smaller = std::min(before.size(), content.size());
  const auto size =
      smaller + static_cast<std::size_t>(chance.below(std::max(before.size(), content.size()) - smaller + 1));
  // Zeros, or what another file has left there.
  const char filler = chance.one_in(4) ? '\x5a' : '\0';
  std::string result = content.substr(0, size);
  result.resize(size, filler);
  for (std::size_t begin = 0; begin < size; begin += kSectorBytes) {
    const auto end = std::min(begin + kSectorBytes, size);
    const auto part = [&](const std::string& of) {
      return begin < of.size() ? std::string_view(of).substr(begin, end - begin) : std::string_view();
    };
    if (part(before) == part(content) && end <= smaller) continue;
    if (content.size() > begin && chance.one_in(2)) continue;
    auto old = std::string(part(before));
    old.resize(end - begin, filler);
    result.replace(begin, end - begin, old);
  }
  return result;
}

}  // namespace

ModelledDisk::ModelledDisk() : ModelledDisk(DiskImage{}) {}

ModelledDisk::ModelledDisk(const DiskImage& image) {
  nodes_.resize(kRoot + 1);
  nodes_[kRoot].is_folder = true;
  std::map<const std::string*, NodeId> known;
  const auto put = [&](const std::string& path, NodeId node) {
    const auto slash = path.rfind('/');
    const auto folder = *find(std::string_view(path).substr(0, slash));
    nodes_[folder].names.emplace(path.substr(slash + 1), node);
    nodes_[folder].durable.emplace(path.substr(slash + 1), node);
  };
  for (const auto& folder : image.folders) put(folder, add(true));
  for (const auto& [path, content] : image.files) {
    auto& node = known[content.get()];
    if (node == 0) {
      node = add(false);
      // Only its owner changes it, and copies it before when an image has it too.
      nodes_[node].content = std::const_pointer_cast<std::string>(content);
      nodes_[node].surviving = content;
    }
    put(path, node);
  }
}

ModelledDisk::NodeId ModelledDisk::add(bool is_folder) {
  Node node;
  node.is_folder = is_folder;
  if (!is_folder) node.content = std::make_shared<std::string>();
  node.surviving = node.content;
  nodes_.push_back(std::move(node));
  return static_cast<NodeId>(nodes_.size() - 1);
}

Called<ModelledDisk::NodeId> ModelledDisk::find(std::string_view path) const {
  NodeId node = kRoot;
  while (!path.empty()) {
    if (path.front() == '/') {
      path.remove_prefix(1);
      continue;
    }
    const auto part = path.substr(0, path.find('/'));
    path.remove_prefix(part.size());
    if (!nodes_[node].is_folder) return tl::unexpected(ENOTDIR);
    const auto found = nodes_[node].names.find(part);
    if (found == nodes_[node].names.end()) return tl::unexpected(ENOENT);
    node = found->second;
  }
  return node;
}

Called<ModelledDisk::Place> ModelledDisk::place(const std::string& path) const {
  const auto slash = path.rfind('/');
  Place place;
  place.name = slash == std::string::npos ? path : path.substr(slash + 1);
  const auto folder = find(slash == std::string::npos ? std::string_view() : std::string_view(path).substr(0, slash));
  if (!folder) return tl::unexpected(folder.error());
  if (!nodes_[*folder].is_folder) return tl::unexpected(ENOTDIR);
  place.folder = *folder;
  const auto& names = nodes_[*folder].names;
  if (place.name.empty()) {
    place.node = *folder;  // The root.
  } else if (const auto found = names.find(place.name); found != names.end()) {
    place.node = found->second;
  }
  return place;
}

int ModelledDisk::before(Call call, const std::string& path) {
  const int number = before_call ? before_call(call, path) : 0;
  if (changes(call)) ++operations_;
  return number;
}

Called<int> ModelledDisk::handle(NodeId node, const std::string& path) {
  open_[next_handle_] = {node, 0, path};
  return next_handle_++;
}

Called<void> ModelledDisk::change(Call call, const std::string& path, std::vector<Entry> entries) {
  if (const int number = before(call, path); number != 0) return tl::unexpected(number);
  Change change;
  for (const auto& entry : entries) {
    auto& names = nodes_[entry.folder].names;
    if (entry.node == 0) {
      names.erase(entry.name);
    } else {
      names[entry.name] = entry.node;
    }
    if (std::ranges::find(change.unsynced, entry.folder) == change.unsynced.end()) {
      change.unsynced.push_back(entry.folder);
    }
  }
  change.entries = std::move(entries);
  pending_.push_back(std::move(change));
  return {};
}

Called<int> ModelledDisk::create(const std::string& path) {
  const auto at = place(path);
  if (!at) return tl::unexpected(at.error());
  if (at->node != 0) return tl::unexpected(EEXIST);
  const auto node = add(false);
  if (const auto made = change(Call::create, path, {{at->folder, at->name, node}}); !made) {
    return tl::unexpected(made.error());
  }
  return handle(node, path);
}

Called<int> ModelledDisk::open_to_append(const std::string& path) {
  const auto at = place(path);
  if (!at) return tl::unexpected(at.error());
  if (at->node == 0) return create(path);
  if (nodes_[at->node].is_folder) return tl::unexpected(EISDIR);
  return handle(at->node, path);
}

Called<int> ModelledDisk::open(const std::string& path) {
  const auto node = find(path);
  if (!node) return tl::unexpected(node.error());
  if (const int number = before(Call::open, path); number != 0) return tl::unexpected(number);
  return handle(*node, path);
}

void ModelledDisk::close(int file) noexcept {
  open_.erase(file);
}

Called<std::size_t> ModelledDisk::read(int file, std::span<std::byte> to) {
  auto& from = open_.at(file);
  const auto count = read_at(file, from.at, to);
  from.at += count.value_or(0);
  return count;
}

Called<std::size_t> ModelledDisk::read_at(int file, std::uint64_t offset_bytes, std::span<std::byte> to) {
  const auto& from = open_.at(file);
  const Node& node = nodes_[from.node];
  if (node.is_folder) return tl::unexpected(EISDIR);
  if (const int number = before(Call::read, from.path); number != 0) return tl::unexpected(number);
  const auto at = std::min<std::uint64_t>(offset_bytes, node.content->size());
  const auto count = std::min<std::uint64_t>(to.size(), node.content->size() - at);
  std::copy_n(std::as_bytes(std::span(*node.content)).subspan(at, count).begin(), count, to.begin());
  return count;
}

Called<std::size_t> ModelledDisk::write(int file, std::span<const std::byte> bytes) {
  const auto& to = open_.at(file);
  if (bytes.empty()) return std::size_t{0};
  const int number = before(Call::write, to.path);
  // A disk that becomes full takes a part.
  const auto count = number == 0 ? bytes.size() : number == ENOSPC ? bytes.size() / 2 : 0;
  if (count > 0) own_content(nodes_[to.node]).append(reinterpret_cast<const char*>(bytes.data()), count);
  if (number != 0) return tl::unexpected(number);
  return count;
}

std::string& ModelledDisk::own_content(Node& node) {
  if (node.content.use_count() > 1) node.content = std::make_shared<std::string>(*node.content);
  return *node.content;
}

Called<void> ModelledDisk::write_at(int file, std::uint64_t offset_bytes, std::string_view bytes) {
  const auto& to = open_.at(file);
  if (const int number = before(Call::write, to.path); number != 0) return tl::unexpected(number);
  auto& content = own_content(nodes_[to.node]);
  const auto offset = static_cast<std::size_t>(offset_bytes);
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  content.replace(offset, bytes.size(), bytes);
  return {};
}

Called<void> ModelledDisk::truncate(int file, std::uint64_t size_bytes) {
  const auto& of = open_.at(file);
  if (const int number = before(Call::truncate, of.path); number != 0) return tl::unexpected(number);
  own_content(nodes_[of.node]).resize(static_cast<std::size_t>(size_bytes));
  return {};
}

Called<void> ModelledDisk::make_readable(int file) {
  if (const int number = before(Call::make_readable, open_.at(file).path); number != 0) return tl::unexpected(number);
  return {};
}

Called<void> ModelledDisk::sync(int file) {
  const auto& of = open_.at(file);
  const int number = before(Call::sync, of.path);
  ++syncs_;
  Node& node = nodes_[of.node];
  const bool is_left_out = number == 0 && syncs_ == left_out;
  if (!node.is_folder) {
    const bool behind = node.surviving != node.content;
    if (number != 0) {
      node.sync_failed = node.sync_failed || behind;
    } else if (is_left_out) {
      node.exposed = behind;
    } else if (!node.sync_failed) {
      node.surviving = node.content;
      node.exposed = false;
    }
  } else if (number == 0) {
    for (auto& change : pending_) {
      const auto found = std::ranges::find(change.unsynced, of.node);
      if (found == change.unsynced.end()) continue;
      if (is_left_out) {
        change.exposed = true;
      } else {
        change.unsynced.erase(found);
      }
    }
    if (!is_left_out) retire();
  }
  if (number != 0) return tl::unexpected(number);
  return {};
}

/// Certain changes become part of what is durable, unless an earlier one of the same name is uncertain yet.
void ModelledDisk::retire() {
  std::vector<Change> kept;
  for (auto& change : pending_) {
    const bool after_uncertain = std::ranges::any_of(kept, [&](const Change& earlier) {
      return std::ranges::any_of(earlier.entries, [&](const Entry& other) {
        return std::ranges::any_of(change.entries, [&](const Entry& entry) { return entry.is_same_name(other); });
      });
    });
    if (!change.is_certain() || after_uncertain) {
      kept.push_back(std::move(change));
      continue;
    }
    for (const auto& entry : change.entries) {
      auto& names = nodes_[entry.folder].durable;
      if (entry.node == 0) {
        names.erase(entry.name);
      } else {
        names[entry.name] = entry.node;
      }
    }
  }
  pending_ = std::move(kept);
}

FileSystem::Status ModelledDisk::status_of(NodeId node) const {
  Status status;
  status.is_folder = nodes_[node].is_folder;
  status.is_file = !status.is_folder;
  status.size_bytes = status.is_file ? nodes_[node].content->size() : 0;
  status.device = 1;
  status.inode = node;
  return status;
}

Called<FileSystem::Status> ModelledDisk::status(int file) {
  return status_of(open_.at(file).node);
}

Called<FileSystem::Status> ModelledDisk::status(const std::string& path) {
  const auto node = find(path);
  if (!node) return tl::unexpected(node.error());
  if (const int number = before(Call::status, path); number != 0) return tl::unexpected(number);
  return status_of(*node);
}

Called<void> ModelledDisk::may_rename(const std::string& from, const std::string& to, NodeId what, NodeId over) const {
  if (what == 0) return tl::unexpected(ENOENT);
  if (nodes_[what].is_folder && to.starts_with(from + "/")) return tl::unexpected(EINVAL);
  if (over == 0) return {};
  if (from.starts_with(to + "/")) return tl::unexpected(ENOTEMPTY);
  if (nodes_[what].is_folder != nodes_[over].is_folder) {
    return tl::unexpected(nodes_[over].is_folder ? EISDIR : ENOTDIR);
  }
  if (what != over && !nodes_[over].names.empty()) return tl::unexpected(ENOTEMPTY);
  return {};
}

Called<void> ModelledDisk::rename(const std::string& from, const std::string& to) {
  const auto source = place(from);
  if (!source) return tl::unexpected(source.error());
  const auto target = place(to);
  if (!target) return tl::unexpected(target.error());
  if (const auto may = may_rename(from, to, source->node, target->node); !may) return may;
  if (source->node == target->node) return {};
  return change(Call::rename, from + " to " + to,
                {{source->folder, source->name, 0}, {target->folder, target->name, source->node}});
}

Called<void> ModelledDisk::link(const std::string& from, const std::string& to) {
  const auto source = find(from);
  if (!source) return tl::unexpected(source.error());
  const auto target = place(to);
  if (!target) return tl::unexpected(target.error());
  if (target->node != 0) return tl::unexpected(EEXIST);
  if (nodes_[*source].is_folder) return tl::unexpected(EPERM);
  return change(Call::link, to, {{target->folder, target->name, *source}});
}

Called<void> ModelledDisk::unlink(const std::string& path) {
  const auto at = place(path);
  if (!at) return tl::unexpected(at.error());
  if (at->node == 0) return tl::unexpected(ENOENT);
  if (nodes_[at->node].is_folder) return tl::unexpected(EISDIR);
  return change(Call::unlink, path, {{at->folder, at->name, 0}});
}

Called<void> ModelledDisk::make_folder(const std::string& path) {
  const auto at = place(path);
  if (!at) return tl::unexpected(at.error());
  if (at->node != 0) return tl::unexpected(EEXIST);
  const auto node = add(true);
  return change(Call::make_folder, path, {{at->folder, at->name, node}});
}

Called<void> ModelledDisk::remove_folder(const std::string& path) {
  const auto at = place(path);
  if (!at) return tl::unexpected(at.error());
  if (at->node == 0) return tl::unexpected(ENOENT);
  if (!nodes_[at->node].is_folder) return tl::unexpected(ENOTDIR);
  if (at->node == kRoot) return tl::unexpected(EBUSY);
  if (!nodes_[at->node].names.empty()) return tl::unexpected(ENOTEMPTY);
  return change(Call::remove_folder, path, {{at->folder, at->name, 0}});
}

Called<std::vector<std::string>> ModelledDisk::list(const std::string& path) {
  const auto node = find(path);
  if (!node) return tl::unexpected(node.error());
  if (!nodes_[*node].is_folder) return tl::unexpected(ENOTDIR);
  if (const int number = before(Call::list, path); number != 0) return tl::unexpected(number);
  std::vector<std::string> names;
  for (const auto& [name, below] : nodes_[*node].names) names.push_back(name);
  return names;
}

std::vector<ModelledDisk::Names> ModelledDisk::names_after(const Loss& loss, Chance& chance) const {
  std::vector<Names> names(nodes_.size());
  for (std::size_t node = kRoot; node < nodes_.size(); ++node) names[node] = nodes_[node].durable;
  const auto odds = 1 + chance.below(3);
  for (const auto& change : pending_) {
    bool kept = change.is_certain();
    if (loss.only_exposed) {
      kept = kept || !change.exposed;
    } else if (loss.names == Loss::Fate::mixed) {
      kept = chance.below(4) < odds || kept;
    } else {
      kept = kept || loss.names == Loss::Fate::kept;
    }
    if (!kept) continue;
    for (const auto& entry : change.entries) {
      if (entry.node == 0) {
        names[entry.folder].erase(entry.name);
      } else {
        names[entry.folder][entry.name] = entry.node;
      }
    }
  }
  return names;
}

std::shared_ptr<const std::string> ModelledDisk::content_after(const Node& node, const Loss& loss, Chance& chance) {
  if (node.surviving == node.content) return node.content;
  const auto fate = loss.only_exposed && !node.exposed ? Loss::Fate::kept : loss.content;
  switch (fate) {
    case Loss::Fate::kept: return node.content;
    case Loss::Fate::mixed: return std::make_shared<std::string>(torn(*node.surviving, *node.content, chance));
    default: return node.surviving;
  }
}

DiskImage ModelledDisk::after(const Loss& loss) const {
  Chance chance(loss.seed);
  const auto names = names_after(loss, chance);
  std::map<NodeId, std::shared_ptr<const std::string>> contents;
  const auto content_of = [&](NodeId node) {
    auto& content = contents[node];
    if (!content) content = content_after(nodes_[node], loss, chance);
    return content;
  };
  DiskImage image;
  walk([&](NodeId node) -> const Names& { return names[node]; }, [&](NodeId node) { return nodes_[node].is_folder; },
       content_of, kRoot, "", image);
  return image;
}

DiskImage ModelledDisk::image() const {
  DiskImage image;
  walk([&](NodeId node) -> const Names& { return nodes_[node].names; },
       [&](NodeId node) { return nodes_[node].is_folder; }, [&](NodeId node) { return nodes_[node].content; }, kRoot,
       "", image);
  return image;
}

void ModelledDisk::lose_power(const Loss& loss) {
  ModelledDisk left(after(loss));
  nodes_ = std::move(left.nodes_);
  pending_.clear();
  open_.clear();
}

bool ModelledDisk::is_exposed() const {
  return std::ranges::any_of(pending_, &Change::exposed) || std::ranges::any_of(nodes_, &Node::exposed);
}

bool ModelledDisk::is_synced() const {
  return pending_.empty() &&
         std::ranges::all_of(nodes_, [](const Node& node) { return node.surviving == node.content; });
}

const std::string* ModelledDisk::peek(const std::string& path) const {
  const auto node = find(path);
  return node && !nodes_[*node].is_folder ? nodes_[*node].content.get() : nullptr;
}

std::vector<std::string> ModelledDisk::files_below(const std::string& folder) const {
  std::vector<std::string> found;
  for (const auto& [path, content] : image().files) {
    if (path.starts_with(folder + "/")) found.push_back(path);
  }
  return found;
}

void ModelledDisk::flip_bit(const std::string& path, std::uint64_t at) {
  Node& node = nodes_[*find(path)];
  if (node.content->empty()) return;
  at %= node.content->size();
  const bool same = node.surviving == node.content;
  const auto flipped = [at](const std::string& content) {
    auto copy = std::make_shared<std::string>(content);
    if (at < copy->size()) (*copy)[at] = static_cast<char>((*copy)[at] ^ 1);
    return copy;
  };
  node.content = flipped(*node.content);
  node.surviving = same ? node.content : flipped(*node.surviving);
}

}  // namespace verge::simulator
