#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/pipeline/source.hpp"

namespace verge::pipeline {
namespace {

constexpr std::uint64_t kPictureLimitBytes = std::uint64_t{256} << 20U;
constexpr int kStopPollMs = 100;

bool is_picture(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr std::array<std::string_view, 4> kExtensions{".jpg", ".jpeg", ".png", ".bmp"};
  return std::ranges::find(kExtensions, extension) != kExtensions.end() && !path.filename().string().starts_with('.');
}

/// Tells which files have been completed in a folder.
class FolderWatch {
 public:
  explicit FolderWatch(const std::filesystem::path& folder) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    if (fd_ >= 0 && ::inotify_add_watch(fd_, folder.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO) < 0) close();
  }
  ~FolderWatch() { close(); }
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;
  [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }

  /// Names that arrived within the poll time; `lost` when there were more than the kernel kept.
  std::vector<std::string> wait(bool& lost) {
    std::vector<std::string> names;
    pollfd poll{fd_, POLLIN, 0};
    if (::poll(&poll, 1, kStopPollMs) <= 0) return names;
    alignas(inotify_event) std::array<char, 1U << 14U> buffer{};
    const auto got = ::read(fd_, buffer.data(), buffer.size());
    for (std::ptrdiff_t at = 0; at < got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      if ((event->mask & IN_Q_OVERFLOW) != 0) lost = true;
      if (event->len > 0) names.emplace_back(event->name);
      at += static_cast<std::ptrdiff_t>(sizeof(inotify_event) + event->len);
    }
    return names;
  }

 private:
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int fd_;
};

/// What tells one content of a file from another without reading it.
struct Stamp {
  std::uint64_t inode = 0;
  std::int64_t size_bytes = 0;
  std::int64_t changed_s = 0;
  std::int64_t changed_ns = 0;
  bool operator==(const Stamp&) const = default;
};

std::optional<Stamp> stamp_of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return Stamp{status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

class FolderSource final : public Source {
 public:
  FolderSource(std::filesystem::path folder, bool watch) : folder_(std::move(folder)) {
    if (watch) watch_ = std::make_unique<FolderWatch>(folder_);  // Before listing, so that nothing falls between.
    list();
  }
  [[nodiscard]] bool watch_failed() const { return watch_ != nullptr && !watch_->valid(); }

  Result<bool> advance(const std::stop_token& stop) override {
    while (waiting_.empty()) {
      if (watch_ == nullptr || stop.stop_requested()) return false;
      bool lost = false;
      for (auto& name : watch_->wait(lost)) add(std::move(name));
      if (lost) list();
    }
    if (stop.stop_requested()) return false;
    name_ = std::move(waiting_.front());
    waiting_.pop_front();
    ++index_;
    if (watch_ != nullptr) remember(name_);
    return true;
  }
  Result<void> load(Sample& sample) override {
    sample.name = name_;
    sample.index = index_ - 1;
    sample.frame = {};
    sample.stamp();
    VERGE_ASSIGN(sample.encoded, read_file(folder_ / name_, kPictureLimitBytes));
    return {};
  }

 private:
  void add(std::string name) {
    if (!is_picture(name) || std::ranges::find(waiting_, name) != waiting_.end()) return;
    // One content may cause several events: found by listing and by the watch, or renamed before it was closed.
    const auto given = given_.find(name);
    if (given != given_.end() && stamp_of(folder_ / name) == given->second) return;
    waiting_.push_back(std::move(name));
  }
  void remember(const std::string& name) {
    if (const auto stamp = stamp_of(folder_ / name)) given_.insert_or_assign(name, *stamp);
    if (given_.size() <= most_given_) return;
    std::erase_if(given_, [this](const auto& entry) { return !stamp_of(folder_ / entry.first); });
    most_given_ = std::max(kMostGiven, 2 * given_.size());
  }
  void list() {
    std::vector<std::string> names;
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(folder_, failed)) {
      if (entry.is_regular_file(failed)) names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    for (auto& name : names) add(std::move(name));
  }

  static constexpr std::size_t kMostGiven = 65536;  // Then those that have gone are forgotten.
  std::filesystem::path folder_;
  std::unique_ptr<FolderWatch> watch_;
  std::deque<std::string> waiting_;
  std::map<std::string, Stamp> given_;
  std::size_t most_given_ = kMostGiven;
  std::string name_;  ///< Of the sample that has come.
  std::int64_t index_ = 0;
};

class ImageSource final : public Source {
 public:
  explicit ImageSource(std::filesystem::path file) : file_(std::move(file)) {}
  Result<bool> advance(const std::stop_token&) override { return !std::exchange(done_, true); }
  Result<void> load(Sample& sample) override {
    sample.name = file_.string();
    sample.frame = {};
    sample.stamp();
    VERGE_ASSIGN(sample.encoded, read_file(file_, kPictureLimitBytes));
    return {};
  }

 private:
  std::filesystem::path file_;
  bool done_ = false;
};

}  // namespace

Result<std::unique_ptr<Source>> image_source(const std::filesystem::path& file) {
  std::error_code failed;
  if (!std::filesystem::is_regular_file(file, failed)) {
    const bool there = std::filesystem::exists(file, failed);
    return Error(there ? ErrorCode::invalid_argument : ErrorCode::not_found, "VRG-SRC-001",
                 fmt::format("expected a picture file at '{}', {}", file.string(),
                             there ? "got a folder; use --folder" : "where there is nothing; check the path"));
  }
  return std::unique_ptr<Source>(std::make_unique<ImageSource>(file));
}

Result<std::unique_ptr<Source>> folder_source(const std::filesystem::path& folder, bool watch) {
  std::error_code failed;
  if (!std::filesystem::is_directory(folder, failed)) {
    const bool there = std::filesystem::exists(folder, failed);
    return Error(there ? ErrorCode::invalid_argument : ErrorCode::not_found, "VRG-SRC-001",
                 fmt::format("expected a folder of pictures at '{}', {}", folder.string(),
                             there ? "got a file" : "where there is nothing; make it or check the path"));
  }
  auto source = std::make_unique<FolderSource>(folder, watch);
  if (source->watch_failed()) {
    return Error(
        ErrorCode::unavailable, "VRG-SRC-004",
        fmt::format("cannot watch '{}': {}; raise fs.inotify.max_user_watches", folder.string(), std::strerror(errno)));
  }
  return std::unique_ptr<Source>(std::move(source));
}

}  // namespace verge::pipeline
