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
  std::vector<std::string> keys() {
    const std::lock_guard lock(mutex_);
    return keys_;
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
      keys_.emplace_back(request.header("Idempotency-Key"));
      bodies_.emplace_back(reinterpret_cast<const char*>(request.body.data()), request.body.size());
    }
    return response;
  }
  std::mutex mutex_;
  std::vector<int> statuses_;
  std::vector<std::string> bodies_;
  std::vector<std::string> tokens_;
  std::vector<std::string> keys_;
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

class SpooledWebhooks : public Webhooks {
 protected:
  std::unique_ptr<Sink> open_spooled(const std::string& url) {
    spool::Options options;
    options.folder = folder_.path() / "spool";
    options.durable_after = 20ms;
    auto spool = spool::Spool::open(real_file_system(), options);
    EXPECT_TRUE(spool) << spool.error().text();
    WebhookOptions webhook;
    webhook.url = url;
    webhook.spool = std::move(*spool);
    return open(std::move(webhook));
  }
  static std::string numbered(const std::string& stream, int sequence, int event) {
    return R"({"stream":")" + stream + R"(","sequence":)" + std::to_string(sequence) + R"(,"n":)" +
           std::to_string(event) + "}";
  }
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge_spooled"));
};

TEST_F(SpooledWebhooks, WhatWasNotDeliveredIsByTheNextOne) {
  {
    const auto sink = open_spooled("http://127.0.0.1:1/");
    for (int i = 0; i < 500; ++i) put(*sink, R"({"n":)" + std::to_string(i) + "}");
    EXPECT_EQ(sink->deliveries().waiting, 500);
    EXPECT_EQ(sink->deliveries().dropped, 0);
  }
  Receiver receiver;
  const auto sink = open_spooled(receiver.url());
  EXPECT_EQ(sink->deliveries().waiting, 500);
  EXPECT_EQ(settled(*sink, 500).delivered, 500);
  const auto bodies = receiver.bodies();
  const auto keys = receiver.keys();
  ASSERT_EQ(bodies.size(), 500U);
  const auto stream = keys[0].substr(0, keys[0].find('-'));
  EXPECT_EQ(stream.size(), 16U);
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(bodies[static_cast<std::size_t>(i)], numbered(stream, i + 1, i));
    EXPECT_EQ(keys[static_cast<std::size_t>(i)], stream + "-" + std::to_string(i + 1));
  }
}

TEST_F(SpooledWebhooks, ARefusalIsCountedAndGivenUpForGood) {
  Receiver receiver;
  receiver.answer_with({404});
  {
    const auto sink = open_spooled(receiver.url());
    put(*sink, R"({"n":0})");
    put(*sink, R"({"n":1})");
    const auto counts = settled(*sink, 2);
    EXPECT_EQ(counts.delivered, 1);
    ASSERT_TRUE(counts.spool);
    EXPECT_EQ(counts.spool->refused, 1U);
  }
  const auto sink = open_spooled(receiver.url());
  EXPECT_EQ(sink->deliveries().waiting, 0);
  EXPECT_EQ(sink->deliveries().spool->refused, 1U);
}

TEST_F(SpooledWebhooks, EndsAtOnceWhenNobodyIsThere) {
  const auto start = std::chrono::steady_clock::now();
  {
    const auto sink = open_spooled("http://127.0.0.1:1/");
    put(*sink, R"({"n":0})");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
}

TEST_F(Webhooks, AnIdleOneEndsAtOnce) {
  Receiver receiver;
  const auto start = std::chrono::steady_clock::now();
  { const auto sink = open({.url = receiver.url()}); }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
}

TEST_F(Webhooks, WhatCannotBeIsRefused) {
  const auto sink = webhook_sink({.url = "http://127.0.0.1:1/", .token = "/nonexistent"}, [](const Error&) {});
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().code(), ErrorCode::not_found);
}

}  // namespace
}  // namespace verge::pipeline
