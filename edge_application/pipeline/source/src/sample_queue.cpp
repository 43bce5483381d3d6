#include <condition_variable>
#include <mutex>

#include "verge/pipeline/source.hpp"

namespace verge::pipeline {
namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 20U;

class QueueSource final : public Source {
 public:
  explicit QueueSource(std::shared_ptr<SampleQueue> queue) : queue_(std::move(queue)) {}
  Result<bool> advance(const std::stop_token& stop) override { return queue_->take(waiting_, stop); }
  Result<void> load(Sample& sample) override {
    std::swap(sample, waiting_);
    return {};
  }
  [[nodiscard]] std::int64_t dropped() const noexcept override { return queue_->dropped(); }

 private:
  std::shared_ptr<SampleQueue> queue_;
  Sample waiting_;
};

class MqttSource final : public Source {
 public:
  explicit MqttSource(std::size_t queue)
      : queue_(std::make_shared<SampleQueue>(queue)), source_(queue_source(queue_)) {}
  Result<void> start(const mqtt::Options& options, const Connection& connection) {
    mqtt::Listener listener;
    listener.on_message = [queue = queue_](std::string_view topic, std::span<const std::byte> payload) {
      queue->offer(topic, payload, true);
    };
    listener.on_connected = [connection, count = std::int64_t{-1}]() mutable { connection.on_connected(++count); };
    listener.on_lost = connection.on_lost;
    VERGE_ASSIGN(client_, mqtt::Client::start(options, std::move(listener)));
    return {};
  }
  Result<bool> advance(const std::stop_token& stop) override { return source_->advance(stop); }
  Result<void> load(Sample& sample) override { return source_->load(sample); }
  [[nodiscard]] std::int64_t dropped() const noexcept override { return queue_->dropped(); }

 private:
  std::shared_ptr<SampleQueue> queue_;
  std::unique_ptr<Source> source_;
  std::unique_ptr<mqtt::Client> client_;
};

}  // namespace

Result<bool> Source::next(Sample& sample, const std::stop_token& stop) {
  VERGE_ASSIGN(const bool more, advance(stop));
  if (more) VERGE_TRY(load(sample));
  return more;
}

struct SampleQueue::State {
  mutable std::mutex mutex;
  std::condition_variable_any arrival;
  std::vector<Sample> ring;
  std::size_t first = 0;
  std::size_t count = 0;
  std::size_t size_bytes = 0;
  std::int64_t offered = 0;
  std::int64_t dropped = 0;
  bool closed = false;

  Sample& at(std::size_t i) { return ring[(first + i) % ring.size()]; }
  void drop_oldest() {
    size_bytes -= at(0).encoded.size();
    first = (first + 1) % ring.size();
    --count;
    ++dropped;
  }
  [[nodiscard]] bool full(std::size_t next_bytes) const {
    return count == ring.size() || (count > 0 && size_bytes + next_bytes > kMostBytes);
  }
  Sample& append(std::size_t next_bytes) {
    size_bytes += next_bytes;
    return at(count++);
  }
};

SampleQueue::SampleQueue(std::size_t most) : state_(std::make_unique<State>()) {
  state_->ring.resize(most);
}
SampleQueue::~SampleQueue() = default;

void SampleQueue::put(Sample& sample) {
  State& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    while (s.full(sample.encoded.size())) s.drop_oldest();
    std::swap(s.append(sample.encoded.size()), sample);
  }
  s.arrival.notify_one();
}

bool SampleQueue::offer(std::string_view name, std::span<const std::byte> content, bool drop_oldest) {
  State& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    if (s.closed) return false;
    while (s.full(content.size())) {
      if (!drop_oldest) return false;
      s.drop_oldest();
    }
    Sample& sample = s.append(content.size());
    sample.name = name;
    sample.index = s.offered++;
    sample.encoded.assign(content.begin(), content.end());
    sample.stamp();
  }
  s.arrival.notify_one();
  return true;
}

bool SampleQueue::take(Sample& sample, const std::stop_token& stop) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  if (!s.arrival.wait(lock, stop, [&s] { return s.count > 0 || s.closed; }) || s.count == 0) return false;
  s.size_bytes -= s.at(0).encoded.size();
  std::swap(s.at(0), sample);
  s.first = (s.first + 1) % s.ring.size();
  --s.count;
  return true;
}

void SampleQueue::close() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->closed = true;
  }
  state_->arrival.notify_all();
}

std::size_t SampleQueue::waiting() const {
  const std::lock_guard lock(state_->mutex);
  return state_->count;
}

std::int64_t SampleQueue::dropped() const {
  const std::lock_guard lock(state_->mutex);
  return state_->dropped;
}

std::unique_ptr<Source> queue_source(std::shared_ptr<SampleQueue> queue) {
  return std::make_unique<QueueSource>(std::move(queue));
}

Result<std::unique_ptr<Source>> mqtt_source(const mqtt::Options& options, std::size_t queue,
                                            const Connection& connection) {
  auto source = std::make_unique<MqttSource>(queue);
  VERGE_TRY(source->start(options, connection));
  return std::unique_ptr<Source>(std::move(source));
}

}  // namespace verge::pipeline
