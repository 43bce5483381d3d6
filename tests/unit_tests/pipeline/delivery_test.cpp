// Webhooks: delivered in order, tried again, given up, dropped, and counted.
#include <mutex>
#include <thread>

#include <gmock/gmock.h>

#include "pipeline_fixture.hpp"
#include "verge/base/file.hpp"
#include "verge/http/server.hpp"

namespace verge::pipeline {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

/// A real server that answers as it is told.
class Receiver {
 public:
  Receiver() {
    auto server = http::Server::start({}, [this](const http::Request& request) { return answer(request); });
    EXPECT_TRUE(server);
    server_ = std::move(*server);
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()) + "/hook?x=1"; }
  void answer_with(std::vector<int> statuses) {
    const std::lock_guard lock(mutex_);
    statuses_ = std::move(statuses);
  }
  std::vector<std::string> bodies() {
    const std::lock_guard lock(mutex_);
    return bodies_;
  }
  std::vector<std::string> tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }

 private:
  http::Response answer(const http::Request& request) {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(request.path, "/hook");
    EXPECT_EQ(request.query, "x=1");
    tokens_.emplace_back(request.header("Authorization"));
    http::Response response;
    if (!statuses_.empty()) {
      response.status = statuses_.front();
      statuses_.erase(statuses_.begin());
    }
    if (response.status == 429) response.headers.emplace_back("Retry-After", "1");
    if (response.status == 200) {
      bodies_.emplace_back(reinterpret_cast<const char*>(request.body.data()), request.body.size());
    }
    return response;
  }
  std::mutex mutex_;
  std::vector<int> statuses_;
  std::vector<std::string> bodies_;
  std::vector<std::string> tokens_;
  std::unique_ptr<http::Server> server_;
};

class Webhooks : public ::testing::Test {
 protected:
  std::unique_ptr<Sink> open(WebhookOptions options) {
    auto sink = webhook_sink(std::move(options), [this](const Error& error) {
      const std::lock_guard lock(mutex_);
      errors_.push_back(error.text());
    });
    EXPECT_TRUE(sink) << sink.error().text();
    return std::move(*sink);
  }
  static void put(Sink& sink, const std::string& text) {
    auto event = test::event_of("cat", 1);
    ASSERT_TRUE(sink.put(event.event(text)));
  }
  /// Waits until so many are delivered or dropped.
  static Deliveries settled(const Sink& sink, std::int64_t count) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    for (;;) {
      const auto now = sink.deliveries();
      if (now.delivered + now.dropped >= count || std::chrono::steady_clock::now() > end) return now;
      std::this_thread::sleep_for(2ms);
    }
  }
  std::mutex mutex_;
  std::vector<std::string> errors_;
};

TEST_F(Webhooks, DeliverInOrderAndTryAgain) {
  Receiver receiver;
  receiver.answer_with({200, 503, 500, 200, 408});
  const auto sink = open({.url = receiver.url()});
  for (const char* text : {"a", "b", "c"}) put(*sink, text);
  const auto counts = settled(*sink, 3);
  EXPECT_EQ(counts.delivered, 3);
  EXPECT_EQ(counts.dropped, 0);
  EXPECT_THAT(receiver.bodies(), ElementsAre("a", "b", "c"));
}

TEST_F(Webhooks, ARefusalGivesTheEventUp) {
  Receiver receiver;
  receiver.answer_with({404});
  const auto sink = open({.url = receiver.url()});
  put(*sink, "a");
  put(*sink, "b");
  const auto counts = settled(*sink, 2);
  EXPECT_EQ(counts.delivered, 1);
  EXPECT_EQ(counts.dropped, 1);
  EXPECT_THAT(receiver.bodies(), ElementsAre("b"));
  EXPECT_THAT(errors_, ElementsAre(::testing::HasSubstr("answers 404; the event is given up")));
}

TEST_F(Webhooks, RetryAfterIsObeyed) {
  Receiver receiver;
  receiver.answer_with({429});
  const auto sink = open({.url = receiver.url()});
  const auto start = std::chrono::steady_clock::now();
  put(*sink, "a");
  EXPECT_EQ(settled(*sink, 1).delivered, 1);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 1s);
}

TEST_F(Webhooks, ANewTokenIsReadAfterARefusal) {
  const auto folder = TemporaryFolder::create("verge_webhook");
  ASSERT_TRUE(write_file(folder->path() / "token", std::string_view("old\n")));
  Receiver receiver;
  receiver.answer_with({200, 401});
  const auto sink = open({.url = receiver.url(), .token = folder->path() / "token"});
  put(*sink, "a");
  settled(*sink, 1);
  ASSERT_TRUE(write_file(folder->path() / "token", std::string_view("new\n")));
  put(*sink, "b");
  EXPECT_EQ(settled(*sink, 2).delivered, 2);
  EXPECT_THAT(receiver.tokens(), ElementsAre("Bearer old", "Bearer old", "Bearer new"));
}

TEST_F(Webhooks, WhileNobodyIsThereTheOldestIsDropped) {
  const auto sink = open({.url = "http://127.0.0.1:1/", .queue = 2});
  for (int i = 0; i < 10; ++i) put(*sink, std::to_string(i));
  const auto counts = sink->deliveries();
  EXPECT_EQ(counts.delivered, 0);
  EXPECT_LE(counts.waiting, 3);
  EXPECT_EQ(counts.dropped + counts.waiting, 10);
}

TEST_F(Webhooks, WhatCannotBeIsRefused) {
  const auto sink = webhook_sink({.url = "http://127.0.0.1:1/", .token = "/nonexistent"}, [](const Error&) {});
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().code(), ErrorCode::not_found);
}

}  // namespace
}  // namespace verge::pipeline
