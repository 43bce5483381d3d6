#include "replayed_disk.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>

#include "recording.hpp"
#include "verge/base/file.hpp"

namespace verge::power_loss {

using Kind = RecordedCall::Kind;
using Fate = Loss::Fate;

/// In memory: syncs cost nothing there.
const std::filesystem::path& work_folder() {
  static const TemporaryFolder made = [] {
    if (std::filesystem::is_directory("/dev/shm")) ::setenv("TMPDIR", "/dev/shm", 1);
    return std::move(*TemporaryFolder::create("verge-hub-"));
  }();
  return made.path();
}

void put(const DiskImage& image, const std::filesystem::path& folder) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  for (const auto& one : image.folders) std::filesystem::create_directories(folder.string() + one);
  std::map<const std::string*, std::filesystem::path> known;
  for (const auto& [path, content] : image.files) {
    const auto file = folder.string() + path;
    const auto [first, is_new] = known.emplace(content.get(), file);
    if (!is_new) {
      std::filesystem::create_hard_link(first->second, file);
      continue;
    }
    std::FILE* out = std::fopen(file.c_str(), "wb");
    std::fwrite(content->data(), 1, content->size(), out);
    std::fclose(out);
  }
}

DiskImage take(const std::filesystem::path& folder) {
  DiskImage image;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const auto path = "/" + std::filesystem::relative(entry.path(), folder).string();
    if (entry.is_directory()) {
      image.folders.insert(path);
    } else {
      image.files[path] = std::make_shared<std::string>(read_text(entry.path(), std::uint64_t{1} << 30U).value());
    }
  }
  return image;
}

template <typename Work>
void Replay::with_file(const std::string& path, const Work& work) {
  // Of a file that was removed while it was open nothing is left to lose.
  const auto file = path == "/" ? disk_.open("") : disk_.open(path);
  if (!file) return;
  work(*file);
  disk_.close(*file);
}

void Replay::apply(const RecordedCall& call) {
  switch (call.kind) {
    case Kind::create: {
      const auto file = disk_.create(call.path);
      if (!file) throw std::runtime_error("cannot replay that '" + call.path + "' was made");
      disk_.close(*file);
      break;
    }
    case Kind::write:
      with_file(call.path, [&](int file) { (void)disk_.write_at(file, call.offset_bytes, call.bytes).has_value(); });
      break;
    case Kind::truncate:
      with_file(call.path, [&](int file) { (void)disk_.truncate(file, call.offset_bytes).has_value(); });
      break;
    case Kind::sync: with_file(call.path, [&](int file) { (void)disk_.sync(file).has_value(); }); break;
    case Kind::rename: (void)disk_.rename(call.path, call.to).has_value(); break;
    case Kind::link: (void)disk_.link(call.path, call.to).has_value(); break;
    case Kind::unlink: (void)disk_.unlink(call.path).has_value(); break;
    case Kind::make_folder: (void)disk_.make_folder(call.path).has_value(); break;
    case Kind::remove_folder: (void)disk_.remove_folder(call.path).has_value(); break;
    case Kind::mark: break;
  }
}

std::vector<Loss> losses_at(std::size_t at, std::uint64_t mixes) {
  std::vector<Loss> losses{{Fate::lost, Fate::lost, 0, false},
                           {Fate::kept, Fate::kept, 0, false},
                           {Fate::kept, Fate::lost, 0, false},
                           {Fate::kept, Fate::mixed, at, false}};
  const auto seed = from_environment("VERGE_POWER_LOSS_SEED", 1);
  for (std::uint64_t i = 1; i <= mixes; ++i) {
    losses.push_back({Fate::mixed, Fate::mixed, Chance(seed * 1'000'003 + at * 1009 + i).next(), false});
  }
  return losses;
}

std::string told(const RecordedCall& call) {
  static constexpr std::array kNames{"create", "write",  "truncate",    "sync",          "rename",
                                     "link",   "unlink", "make folder", "remove folder", "answer"};
  return std::string(kNames.at(static_cast<std::size_t>(call.kind))) + " " + call.path;
}

}  // namespace verge::power_loss
