#include <algorithm>
#include <random>

#include "verge/base/rest.hpp"
#include "verge/pipeline/source.hpp"

namespace verge::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstPause = 250ms;
constexpr auto kLongestPause = 10'000ms;

class ReconnectingSource final : public Source {
 public:
  ReconnectingSource(std::function<Result<std::unique_ptr<Source>>()> open, Connection connection)
      : open_(std::move(open)), connection_(std::move(connection)) {}

  Result<bool> advance(const std::stop_token& stop) override {
    while (!stop.stop_requested()) {
      if (source_ == nullptr && !connect()) {
        pause(stop);
        continue;
      }
      auto more = source_->advance(stop);
      if (more && *more) {
        pause_ = kFirstPause;  // It gives something: the next loss is a new one.
        return true;
      }
      if (stop.stop_requested()) break;
      if (!more && !source_->ended()) return more;
      lose(more ? Error(ErrorCode::unavailable, "VRG-SRC-005", "the source has ended; it is opened again")
                : more.error());
      pause(stop);
    }
    return false;
  }
  Result<void> load(Sample& sample) override {
    VERGE_TRY(source_->load(sample));
    sample.index += passed_;
    given_ = sample.index + 1;
    return {};
  }
  [[nodiscard]] std::int64_t dropped() const noexcept override {
    return dropped_ + (source_ == nullptr ? 0 : source_->dropped());
  }

 private:
  bool connect() {
    auto opened = open_();
    if (!opened) {
      connection_.on_lost(opened.error());
      return false;
    }
    source_ = std::move(*opened);
    connection_.on_connected(++connects_ - 1);
    return true;
  }
  void lose(const Error& error) {
    dropped_ += source_->dropped();
    passed_ = given_;
    source_.reset();
    connection_.on_lost(error);
  }
  /// Jitter, so that many devices do not come back at one moment.
  void pause(const std::stop_token& stop) {
    std::uniform_real_distribution<double> jitter(0.5, 1.0);
    const auto time = std::chrono::duration_cast<std::chrono::microseconds>(pause_ * jitter(random_));
    pause_ = std::min<std::chrono::milliseconds>(pause_ * 2, kLongestPause);
    rest(time, stop);
  }

  std::function<Result<std::unique_ptr<Source>>()> open_;
  Connection connection_;
  std::unique_ptr<Source> source_;
  std::chrono::milliseconds pause_ = kFirstPause;
  std::minstd_rand random_{std::random_device{}()};
  std::int64_t connects_ = 0;
  std::int64_t given_ = 0;    ///< Index that follows the last sample's.
  std::int64_t passed_ = 0;   ///< Samples of the connections before.
  std::int64_t dropped_ = 0;  ///< Of the connections before.
};

}  // namespace

std::unique_ptr<Source> reconnecting_source(std::function<Result<std::unique_ptr<Source>>()> open,
                                            Connection connection) {
  return std::make_unique<ReconnectingSource>(std::move(open), std::move(connection));
}

}  // namespace verge::pipeline
