#include "watched_files.hpp"

#include <sys/stat.h>

namespace verge::agent {
namespace {

constexpr std::chrono::milliseconds kPause{500};

}  // namespace

WatchedFiles::WatchedFiles(std::vector<std::string> paths)
    : paths_(std::move(paths)), seen_(look()), next_look_(std::chrono::steady_clock::now() + kPause) {}

std::vector<WatchedFiles::Stamp> WatchedFiles::look() const {
  std::vector<Stamp> stamps;
  for (const auto& path : paths_) {
    struct stat status {};
    Stamp stamp;
    if (::stat(path.c_str(), &status) == 0) {
      stamp = {status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
    }
    stamps.push_back(stamp);
  }
  return stamps;
}

bool WatchedFiles::changed() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now < next_look_) return false;
  next_look_ = now + kPause;
  auto stamps = look();
  if (stamps == seen_) return false;
  seen_ = std::move(stamps);
  return true;
}

}  // namespace verge::agent
