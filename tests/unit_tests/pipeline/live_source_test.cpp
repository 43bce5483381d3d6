// Live sources: what waits, what is dropped, and what is opened again.
#include <thread>

#include <gmock/gmock.h>

#include "verge/pipeline/source.hpp"

namespace verge::pipeline {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(SampleQueues, TheOldestMakesRoomAndIsCounted) {
  SampleQueue queue(2);
  for (const char* content : {"a", "bb", "ccc"}) EXPECT_TRUE(queue.offer("x", bytes(content), true));
  EXPECT_EQ(queue.waiting(), 2U);
  EXPECT_EQ(queue.dropped(), 1);
  Sample sample;
  ASSERT_TRUE(queue.take(sample, {}));
  EXPECT_EQ(sample.index, 1);
  EXPECT_EQ(sample.encoded.size(), 2U);
  EXPECT_EQ(sample.name, "x");
  ASSERT_TRUE(queue.take(sample, {}));
  EXPECT_EQ(sample.index, 2);
}

TEST(SampleQueues, RefusesWhenItMayNotDrop) {
  SampleQueue queue(1);
  EXPECT_TRUE(queue.offer("x", bytes("a"), false));
  EXPECT_FALSE(queue.offer("x", bytes("b"), false));
  EXPECT_EQ(queue.dropped(), 0);
  queue.close();
  EXPECT_FALSE(queue.offer("x", bytes("c"), true));
  Sample sample;
  EXPECT_TRUE(queue.take(sample, {}));
  EXPECT_FALSE(queue.take(sample, {}));
}

TEST(SampleQueues, AreBoundedInBytes) {
  SampleQueue queue(1000);
  const std::string large(std::size_t{30} << 20U, 'x');
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(queue.offer("x", bytes(large), true));
  EXPECT_EQ(queue.waiting(), 2U);
  EXPECT_EQ(queue.dropped(), 3);
  EXPECT_FALSE(queue.offer("x", bytes(large), false));
}

TEST(SampleQueues, AStopEndsTheWait) {
  SampleQueue queue(1);
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(20ms);
    stop.request_stop();
  });
  Sample sample;
  EXPECT_FALSE(queue.take(sample, stop.get_token()));
}

TEST(SampleQueues, HandMemoryRound) {
  SampleQueue queue(2);
  Sample sample;
  for (int i = 0; i < 8; ++i) {
    sample.encoded.resize(1000);
    queue.put(sample);
    ASSERT_TRUE(queue.take(sample, {}));
  }
  const auto* before = sample.encoded.data();
  bool seen = false;
  for (int i = 0; i < 3; ++i) {
    queue.put(sample);
    ASSERT_TRUE(queue.take(sample, {}));
    seen = seen || sample.encoded.data() == before;
  }
  EXPECT_TRUE(seen);
}

/// Gives a number of samples, then ends as it was told to.
class Short final : public Source {
 public:
  Short(int samples, bool fails) : left_(samples), fails_(fails) {}
  Result<bool> advance(const std::stop_token&) override {
    if (left_ > 0) {
      --left_;
      ++given_;
      return true;
    }
    ended_ = fails_;
    if (fails_) return Error(ErrorCode::data_loss, "VRG-TST-001", "cut");
    return false;
  }
  Result<void> load(Sample& sample) override {
    sample.index = given_ - 1;
    return {};
  }
  [[nodiscard]] bool ended() const noexcept override { return ended_; }
  [[nodiscard]] std::int64_t dropped() const noexcept override { return 1; }

 private:
  int left_;
  bool fails_;
  int given_ = 0;
  bool ended_ = false;
};

TEST(ReconnectingSources, OpenAgainAndCountOn) {
  std::vector<std::string> story;
  int opened = 0;
  Connection connection;
  connection.on_connected = [&](std::int64_t reconnects) { story.push_back("there " + std::to_string(reconnects)); };
  connection.on_lost = [&](const Error& error) { story.push_back(error.id()); };
  const auto source = reconnecting_source(
      [&]() -> Result<std::unique_ptr<Source>> {
        if (++opened == 2) return Error(ErrorCode::unavailable, "VRG-TST-002", "away");
        return std::unique_ptr<Source>(std::make_unique<Short>(2, opened == 1));
      },
      connection);
  Sample sample;
  std::vector<std::int64_t> indices;
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(*source->next(sample, {}));
    indices.push_back(sample.index);
  }
  EXPECT_THAT(indices, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(story, ElementsAre("there 0", "VRG-TST-001", "VRG-TST-002", "there 1", "VRG-SRC-005", "there 2"));
  EXPECT_EQ(source->dropped(), 3);
}

TEST(ReconnectingSources, AStopEndsThePause) {
  Connection connection;
  connection.on_lost = [](const Error&) {};
  const auto source = reconnecting_source(
      []() -> Result<std::unique_ptr<Source>> { return Error(ErrorCode::unavailable, "VRG-TST-002", "away"); },
      connection);
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(50ms);
    stop.request_stop();
  });
  const auto start = std::chrono::steady_clock::now();
  Sample sample;
  EXPECT_FALSE(*source->next(sample, stop.get_token()));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

}  // namespace
}  // namespace verge::pipeline
