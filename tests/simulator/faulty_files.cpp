#include "faulty_files.hpp"

#include <set>

#include "verge/crypto/sha256.hpp"

namespace verge::simulator {
namespace {

Error missing(const std::string& name) {
  return Error(ErrorCode::not_found, "VRG-BAS-001", "no file '" + name + "'");
}

}  // namespace

Result<void> FaultyFiles::strike() {
  ++operations_;
  if (!chance_.one_in(fault_every_)) return {};
  switch (chance_.below(4)) {
    case 0: return Error(ErrorCode::unavailable, "VRG-BAS-001", "input/output error");
    case 1: return Error(ErrorCode::resource_exhausted, "VRG-BAS-002", "the disk is full");
    default: throw Crash{};
  }
}

void FaultyFiles::strike_after() {
  if (chance_.one_in(fault_every_ * 2)) throw Crash{};
}

Result<std::string> FaultyFiles::read(const std::string& name, std::uint64_t limit_bytes) {
  const auto found = files_.find(name);
  if (found == files_.end()) return missing(name);
  if (found->second->content.size() > limit_bytes) {
    return Error(ErrorCode::resource_exhausted, "VRG-BAS-003", "'" + name + "' is too large");
  }
  return found->second->content;
}

Result<void> FaultyFiles::write(const std::string& name, std::string_view content) {
  VERGE_TRY(strike());
  files_[name] = std::make_shared<File>(File{std::string(content), content.size()});
  strike_after();
  return {};
}

Result<void> FaultyFiles::append(const std::string& name, std::span<const std::byte> bytes) {
  VERGE_TRY(strike());
  auto& file = files_[name];
  if (!file) file = std::make_shared<File>();
  file->content.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  strike_after();
  return {};
}

Result<void> FaultyFiles::sync(const std::string& name) {
  VERGE_TRY(strike());
  const auto found = files_.find(name);
  if (found == files_.end()) return missing(name);
  found->second->synced = found->second->content.size();
  strike_after();
  return {};
}

Result<std::uint64_t> FaultyFiles::size(const std::string& name) {
  const auto found = files_.find(name);
  if (found == files_.end()) return missing(name);
  return std::uint64_t{found->second->content.size()};
}

Result<std::string> FaultyFiles::digest(const std::string& name) {
  const auto found = files_.find(name);
  if (found == files_.end()) return missing(name);
  return crypto::sha256(found->second->content);
}

Result<void> FaultyFiles::rename(const std::string& from, const std::string& to) {
  VERGE_TRY(strike());
  std::map<std::string, std::shared_ptr<File>> moved;
  for (auto it = files_.lower_bound(from); it != files_.end() && it->first.starts_with(from);) {
    const bool inside = it->first.size() == from.size() || it->first[from.size()] == '/';
    if (!inside) {
      ++it;
      continue;
    }
    moved[to + it->first.substr(from.size())] = it->second;
    it = files_.erase(it);
  }
  if (moved.empty()) return missing(from);
  for (auto& [name, file] : moved) files_[name] = file;
  strike_after();
  return {};
}

Result<void> FaultyFiles::link(const std::string& from, const std::string& to) {
  VERGE_TRY(strike());
  const auto found = files_.find(from);
  if (found == files_.end()) return missing(from);
  files_[to] = found->second;
  strike_after();
  return {};
}

bool FaultyFiles::same(const std::string& a, const std::string& b) {
  const auto first = files_.find(a);
  const auto second = files_.find(b);
  return first != files_.end() && second != files_.end() && first->second == second->second;
}

Result<void> FaultyFiles::remove(const std::string& name) {
  VERGE_TRY(strike());
  std::erase_if(files_, [&](const auto& file) {
    return file.first.starts_with(name) && (file.first.size() == name.size() || file.first[name.size()] == '/');
  });
  strike_after();
  return {};
}

Result<std::vector<std::string>> FaultyFiles::list(const std::string& folder) {
  std::set<std::string> names;
  const auto prefix = folder + "/";
  for (auto it = files_.lower_bound(prefix); it != files_.end() && it->first.starts_with(prefix); ++it) {
    const auto rest = it->first.substr(prefix.size());
    names.insert(rest.substr(0, rest.find('/')));
  }
  return std::vector<std::string>(names.begin(), names.end());
}

void FaultyFiles::lose_power() {
  for (auto& [name, file] : files_) {
    if (file->synced >= file->content.size()) continue;
    const auto kept = file->synced + chance_.below(file->content.size() - file->synced + 1);
    file->content.resize(kept);
    if (kept > file->synced && chance_.one_in(2)) file->content[kept - 1] ^= 0x55;
    file->synced = kept;
  }
}

const std::string* FaultyFiles::peek(const std::string& name) const {
  const auto found = files_.find(name);
  return found == files_.end() ? nullptr : &found->second->content;
}

std::vector<std::string> FaultyFiles::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : files_) names.push_back(name);
  return names;
}

void FaultyFiles::rot(const std::string& name) {
  auto& content = files_.at(name)->content;
  if (!content.empty()) content[chance_.below(content.size())] ^= 1;
}

}  // namespace verge::simulator
