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
  JsonLinesSink(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  ~JsonLinesSink() override {
    if (fd_ != STDOUT_FILENO) ::close(fd_);
  }

  Result<void> put(const Outcome& outcome) override {
    line_.clear();
    line_ += '{';
    append_outcome_json(outcome, line_);
    line_ += "}\n";
    std::size_t done = 0;
    while (done < line_.size()) {
      const auto put = ::write(fd_, line_.data() + done, line_.size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) {
        const int error = errno;
        if (done > 0) take_back(done);
        const bool full = error == ENOSPC || error == EDQUOT;
        return Error(full ? ErrorCode::resource_exhausted : ErrorCode::unavailable, "VRG-SNK-001",
                     fmt::format("cannot write to '{}': {}; {}", name_, std::strerror(error),
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
  int fd_;
  std::string name_;
  std::string line_;
};

}  // namespace

void append_outcome_json(const Outcome& outcome, std::string& out) {
  const auto& metadata = outcome.worker.model().package().metadata;
  const auto& times = outcome.worker.times();
  const auto ms = [](std::int64_t ns) { return static_cast<double>(ns) / 1e6; };
  out += "\"source\":";
  processing::append_json_string(outcome.sample.name, out);
  fmt::format_to(std::back_inserter(out), ",\"frame\":{},\"model\":\"{}\",\"version\":\"{}\",\"engine\":\"{}\",",
                 outcome.sample.index, metadata.name, metadata.version, outcome.worker.model().choice().engine);
  processing::append_json(outcome.prediction, out);
  fmt::format_to(std::back_inserter(out),
                 ",\"latency_ms\":{{\"decode\":{:.3f},\"preprocess\":{:.3f},\"infer\":{:.3f},\"postprocess\":{:.3f}}}",
                 ms(times.decode_ns), ms(times.preprocess_ns), ms(times.infer_ns), ms(times.postprocess_ns));
}

Result<std::unique_ptr<Sink>> json_lines_sink(const std::filesystem::path& file) {
  if (file == "-") return std::unique_ptr<Sink>(std::make_unique<JsonLinesSink>(STDOUT_FILENO, "standard output"));
  std::error_code failed;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), failed);
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) {
    return Error(
        errno == EACCES ? ErrorCode::permission_denied : ErrorCode::unavailable, "VRG-SNK-001",
        fmt::format("cannot write to '{}': {}; check the folder and its rights", file.string(), std::strerror(errno)));
  }
  return std::unique_ptr<Sink>(std::make_unique<JsonLinesSink>(fd, file.string()));
}

}  // namespace verge::pipeline
