#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "verge/pipeline/sink.hpp"

namespace verge::pipeline {
namespace {

class JsonLinesSink final : public Sink {
 public:
  JsonLinesSink(std::filesystem::path file, std::uint64_t max_bytes) : file_(std::move(file)), max_bytes_(max_bytes) {}
  ~JsonLinesSink() override { close(); }

  Result<void> open() {
    if (file_ == "-") {
      fd_ = STDOUT_FILENO;
      return {};
    }
    std::error_code failed;
    if (file_.has_parent_path()) std::filesystem::create_directories(file_.parent_path(), failed);
    fd_ = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd_ >= 0) return {};
    return Error(
        errno == EACCES ? ErrorCode::permission_denied : ErrorCode::unavailable, "VRG-SNK-001",
        fmt::format("cannot write to '{}': {}; check the folder and its rights", file_.string(), std::strerror(errno)));
  }

  Result<void> put(const Event& event) override {
    VERGE_TRY(begin_anew());
    line_.assign(event.json);
    line_ += '\n';
    std::size_t done = 0;
    while (done < line_.size()) {
      const auto put = ::write(fd_, line_.data() + done, line_.size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) {
        const int error = errno;
        if (done > 0) take_back(done);
        const bool full = error == ENOSPC || error == EDQUOT;
        return Error(full ? ErrorCode::resource_exhausted : ErrorCode::unavailable, "VRG-SNK-001",
                     fmt::format("cannot write to '{}': {}; {}", file_ == "-" ? "standard output" : file_.string(),
                                 std::strerror(error),
                                 full ? "free some space: predictions are lost until then" : "check the file"));
      }
      done += static_cast<std::size_t>(put);
    }
    return {};
  }

 private:
  /// A line that did not fit is taken out again, so that the file stays readable.
  void take_back(std::size_t written) const {
    const auto end = ::lseek(fd_, 0, SEEK_END);
    if (end >= static_cast<off_t>(written)) {
      [[maybe_unused]] const int done = ::ftruncate(fd_, end - static_cast<off_t>(written));
    }
  }
  void close() {
    if (fd_ > STDERR_FILENO) ::close(fd_);
    fd_ = -1;
  }
  /// A file that is full makes room; one that could not be opened is tried again.
  Result<void> begin_anew() {
    struct stat status {};
    const bool full = max_bytes_ > 0 && fd_ > STDERR_FILENO && ::fstat(fd_, &status) == 0 &&
                      static_cast<std::uint64_t>(status.st_size) >= max_bytes_;
    if (full) {
      close();
      ::rename(file_.c_str(), (file_.string() + ".1").c_str());
    }
    return fd_ < 0 ? open() : Result<void>();
  }
  const std::filesystem::path file_;
  const std::uint64_t max_bytes_;
  int fd_ = -1;
  std::string line_;
};

}  // namespace

Result<std::unique_ptr<Sink>> json_lines_sink(const std::filesystem::path& file, std::uint64_t max_bytes) {
  auto sink = std::make_unique<JsonLinesSink>(file, max_bytes);
  VERGE_TRY(sink->open());
  return std::unique_ptr<Sink>(std::move(sink));
}

}  // namespace verge::pipeline
