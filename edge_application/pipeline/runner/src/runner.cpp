#include "verge/pipeline/runner.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "graph.hpp"

namespace verge::pipeline {
namespace {

using Clock = std::chrono::steady_clock;

/// Keeps the rate that a plan allows.
class Pace {
 public:
  explicit Pace(double max_rate_hz)
      : period_(max_rate_hz > 0
                    ? std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1.0 / max_rate_hz))
                    : Clock::duration::zero()) {}
  /// Whether a sample that has come may go on. Late ones do not add up to a burst.
  bool admits(Clock::time_point now) {
    if (now < due_) return false;
    due_ = std::max(due_ + period_, now - period_);
    return true;
  }
  /// Waits until the next may go on. False: stopped.
  bool wait(const std::stop_token& stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any stopped;
    while (!stop.stop_requested() && Clock::now() < due_) {
      stopped.wait_until(lock, stop, due_, [] { return false; });
    }
    return !stop.stop_requested() && admits(Clock::now());
  }

 private:
  Clock::duration period_;
  Clock::time_point due_{};
};

/// What the models are given, in the same thread or from one that reads ahead.
class Feed {
 public:
  Feed() = default;
  virtual ~Feed() = default;
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;
  /// As Source::next().
  virtual Result<bool> next(Sample& sample, const std::stop_token& stop) = 0;
  virtual void count(Counts& counts) const = 0;
};

class DirectFeed final : public Feed {
 public:
  DirectFeed(Source& source, double max_rate_hz) : source_(source), pace_(max_rate_hz) {}
  Result<bool> next(Sample& sample, const std::stop_token& stop) override {
    if (!pace_.wait(stop)) return false;
    return source_.next(sample, stop);
  }
  void count(Counts& counts) const override { counts.dropped = source_.dropped(); }

 private:
  Source& source_;
  Pace pace_;
};

/// Reads a live source in a thread of its own, so that it is never kept waiting.
class LiveFeed final : public Feed {
 public:
  LiveFeed(Source& source, const Plan& plan) : source_(source), pace_(plan.max_rate_hz), queue_(plan.queue) {
    thread_ = std::jthread([this](const std::stop_token& stop) { read(stop); });
  }
  Result<bool> next(Sample& sample, const std::stop_token& stop) override {
    if (!queue_.take(sample, stop)) return false;
    if (sample.failure) return *std::exchange(sample.failure, std::nullopt);
    return true;
  }
  void count(Counts& counts) const override {
    counts.dropped = queue_.dropped() + dropped_;
    counts.limited = limited_;
  }

 private:
  void read(const std::stop_token& stop) {
    Sample sample;
    while (!stop.stop_requested()) {
      const auto more = source_.advance(stop);
      dropped_ = source_.dropped();
      if (more && !*more) break;
      if (more && !pace_.admits(Clock::now())) {
        ++limited_;
        continue;
      }
      sample.failure.reset();
      if (const auto loaded = more ? source_.load(sample) : Result<void>(more.error()); !loaded) {
        sample.failure = loaded.error();
      }
      queue_.put(sample);
      if (!more && source_.ended()) break;
    }
    queue_.close();
  }

  Source& source_;
  Pace pace_;
  SampleQueue queue_;
  std::atomic<std::int64_t> dropped_{0};
  std::atomic<std::int64_t> limited_{0};
  std::jthread thread_;
};

Result<void> put(const Event& event, std::span<const std::unique_ptr<Sink>> sinks) {
  Result<void> all;
  for (const auto& sink : sinks) {
    auto done = sink->put(event);
    if (!done && all) all = std::move(done);
  }
  return all;
}

}  // namespace

Counts run(const Plan& plan, Source& source, const FindModel& models, std::span<const std::unique_ptr<Sink>> sinks,
           Observer& observer, const std::stop_token& stop) {
  Counts counts;
  Graph graph(plan, models);
  std::unique_ptr<Feed> feed;
  if (plan.queue > 0) {
    feed = std::make_unique<LiveFeed>(source, plan);
  } else {
    feed = std::make_unique<DirectFeed>(source, plan.max_rate_hz);
  }
  Sample sample;
  while (!stop.stop_requested()) {
    const auto more = feed->next(sample, stop);
    feed->count(counts);
    if (more && !*more) break;
    auto event = more ? graph.run(sample, stop) : Result<Event>(more.error());
    if (!event) {
      if (stop.stop_requested() && event.error().code() == ErrorCode::cancelled) break;
      ++counts.failed;
      observer.on_error(sample, event.error(), counts);
      if (!more && plan.queue == 0 && source.ended()) break;
      continue;
    }
    if (const auto done = put(*event, sinks); done) {
      ++counts.predicted;
      observer.on_predicted(*event, counts);
    } else {
      ++counts.unwritten;
      observer.on_error(sample, done.error(), counts);
    }
  }
  feed->count(counts);
  return counts;
}

}  // namespace verge::pipeline
