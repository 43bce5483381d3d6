// The agent in this process: models served over HTTP, pipelines, reload, stop.
#include "verge/agent/agent.hpp"

#include <chrono>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include "../model/fake_package.hpp"

namespace verge::agent {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using processing::test::FakePackage;
using ::testing::HasSubstr;

struct Answer {
  int status = 0;
  json body;
};

class Agents : public processing::test::WithFakeEngine {
 protected:
  void SetUp() override {
    processing::test::classifier().write(folder() / "classifier");
    processing::test::numbers().write(folder() / "numbers");
    FakePackage broken = processing::test::numbers();
    broken.name = "broken";
    broken.model = "nonsense\n";
    broken.write(folder() / "broken");
  }
  [[nodiscard]] wire::EdgeConfig configuration(const std::string& rest) const {
    const auto file = folder() / "edge.yaml";
    EXPECT_TRUE(write_file(file, std::string_view("version: 1\napi: { port: 0 }\nlogging: { level: error }\n" + rest)));
    const auto read = read_configuration(file);
    EXPECT_TRUE(read) << (read ? "" : read.error().text());
    return read ? *read : wire::EdgeConfig();
  }
  static Answer ask(const Agent& agent, const std::string& path, const std::string& body = "") {
    boost::asio::io_context context;
    boost::beast::tcp_stream stream(context);
    stream.expires_after(10s);
    stream.connect(boost::asio::ip::tcp::endpoint(boost::asio::ip::address_v4::loopback(), agent.port()));
    const auto verb = body.empty() ? boost::beast::http::verb::get : boost::beast::http::verb::post;
    boost::beast::http::request<boost::beast::http::string_body> request(verb, path, 11);
    request.set(boost::beast::http::field::host, "localhost");
    request.set(boost::beast::http::field::connection, "close");
    request.body() = body;
    request.prepare_payload();
    boost::beast::http::write(stream, request);
    boost::beast::flat_buffer buffer;
    boost::beast::http::response<boost::beast::http::string_body> response;
    boost::beast::http::read(stream, buffer, response);
    return {static_cast<int>(response.result_int()), json::parse(response.body(), nullptr, false)};
  }
  static std::size_t count_lines(const std::filesystem::path& file) {
    std::ifstream in(file);
    return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(in), {}, '\n'));
  }
  /// Waits until the file has so many lines, at most ten seconds.
  static bool wait_for_lines(const std::filesystem::path& file, std::size_t lines) {
    for (int i = 0; i < 500; ++i) {
      if (count_lines(file) >= lines) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  }
  void put_picture(const std::string& name) {
    const auto content = processing::test::picture(16, 16, 0, {0, 255});
    ASSERT_TRUE(write_file(folder() / "in" / name, content));
  }

  Log log_{LogLevel::error};
};

TEST_F(Agents, ServesItsModels) {
  Agent agent(log_, {"1.2.3"});
  ASSERT_TRUE(agent.start(
      configuration("models:\n  - package: classifier\n  - { package: numbers, name: other, threads: 1 }\n")));
  EXPECT_EQ(ask(agent, "/v2").body["version"], "1.2.3");
  EXPECT_EQ(ask(agent, "/v2/health/ready").status, 200);
  EXPECT_EQ(ask(agent, "/v2/models/other").body["name"], "other");
  EXPECT_EQ(ask(agent, "/v2/models/sample").status, 404);
  const auto picture = processing::test::picture(16, 16, 0, {0, 255});
  const auto found = ask(agent, "/v2/models/classifier/predict",
                         std::string(reinterpret_cast<const char*>(picture.data()), picture.size()));
  ASSERT_EQ(found.status, 200);
  EXPECT_EQ(found.body["classes"][0]["label"], "dog");
  agent.stop();
  agent.stop();
}

TEST_F(Agents, ABrokenModelIsLeftOutAndTheOthersServe) {
  Agent agent(log_, {"1"});
  ASSERT_TRUE(agent.start(configuration(
      "models:\n  - package: broken\n  - package: nowhere\n  - package: classifier\n  - package: classifier\n")));
  EXPECT_EQ(ask(agent, "/v2/models/broken").status, 404);
  EXPECT_EQ(ask(agent, "/v2/models/classifier").status, 200);
}

TEST_F(Agents, AnAddressThatCannotBeHad) {
  Agent agent(log_, {"1"});
  auto wrong = configuration("");
  wrong.api->address = "not an address";
  const auto started = agent.start(wrong);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().id(), "VRG-HTT-001");
  Agent first(log_, {"1"});
  ASSERT_TRUE(first.start(configuration("")));
  auto taken = configuration("");
  taken.api->port = first.port();
  Agent second(log_, {"1"});
  const auto refused = second.start(taken);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id(), "VRG-HTT-002");
}

TEST_F(Agents, APipelineWritesItsPredictions) {
  put_picture("a.png");
  ASSERT_TRUE(write_file(folder() / "in" / "bad.png", std::string_view("no picture")));
  ASSERT_TRUE(write_file(folder() / "in" / "bad2.png", std::string_view("no picture")));
  Agent agent(log_, {"1"});
  ASSERT_TRUE(agent.start(configuration(R"(models: [{ package: classifier }]
pipelines:
  - { name: inbox, source: { folder: { path: in, watch: true } }, models: [{ model: classifier }], sinks: [{ json_lines: { path: out.jsonl } }] }
  - { name: once, source: { folder: { path: in } }, models: [{ model: classifier }], sinks: [{ json_lines: { path: once.jsonl } }] }
  - { name: lost, source: { folder: { path: in } }, models: [{ model: other }], sinks: [{ json_lines: { path: lost.jsonl } }] }
  - { name: nowhere, source: { folder: { path: nowhere } }, models: [{ model: classifier }], sinks: [{ json_lines: { path: n.jsonl } }] }
  - { name: nosink, source: { folder: { path: in } }, models: [{ model: classifier }], sinks: [{ json_lines: { path: in } }] }
  - { name: novideo, source: { video: { path: nothing.mp4 } }, models: [{ model: classifier }], sinks: [{ json_lines: { path: v.jsonl } }] }
)")));
  EXPECT_TRUE(wait_for_lines(folder() / "out.jsonl", 1));
  EXPECT_TRUE(wait_for_lines(folder() / "once.jsonl", 1));
  put_picture("b.png");
  EXPECT_TRUE(wait_for_lines(folder() / "out.jsonl", 2));
  EXPECT_EQ(count_lines(folder() / "lost.jsonl"), 0U);
  agent.stop();
  EXPECT_EQ(count_lines(folder() / "out.jsonl"), 2U);
  EXPECT_EQ(count_lines(folder() / "once.jsonl"), 1U);
}

TEST_F(Agents, AReloadChangesTheModels) {
  Agent agent(log_, {"1"});
  ASSERT_TRUE(agent.start(configuration("models: [{ package: classifier }]\n")));
  const auto reloaded = agent.reload(configuration("models: [{ package: classifier }, { package: numbers }]\n"));
  ASSERT_TRUE(reloaded) << reloaded.error().text();
  EXPECT_EQ(ask(agent, "/v2/models/sample").status, 200);
  EXPECT_EQ(ask(agent, "/v2/models/classifier").status, 200);

  FakePackage next = processing::test::classifier();
  next.version = "2.0.0";
  next.write(folder() / "classifier");
  ASSERT_TRUE(agent.reload(configuration("models: [{ package: classifier }]\n")));
  EXPECT_EQ(ask(agent, "/v2/models/classifier").body["versions"][0], "2.0.0");
  EXPECT_EQ(ask(agent, "/v2/models/sample").status, 404);
}

TEST_F(Agents, AReloadThatFailsChangesNothing) {
  put_picture("a.png");
  const std::string good = R"(models: [{ package: classifier }]
pipelines:
  - { name: inbox, source: { folder: { path: in, watch: true } }, models: [{ model: classifier }], sinks: [{ json_lines: { path: out.jsonl } }] }
)";
  Agent agent(log_, {"1"});
  ASSERT_TRUE(agent.start(configuration(good)));
  ASSERT_TRUE(wait_for_lines(folder() / "out.jsonl", 1));
  for (const char* bad : {"broken", "nowhere", "classifier"}) {
    const auto reloaded =
        agent.reload(configuration("models: [{ package: classifier }, { package: " + std::string(bad) + " }]\n"));
    ASSERT_FALSE(reloaded);
    EXPECT_EQ(reloaded.error().id(), "VRG-AGT-003");
    EXPECT_THAT(reloaded.error().message(), HasSubstr("nothing was changed"));
  }
  EXPECT_EQ(ask(agent, "/v2/models/classifier").status, 200);
  put_picture("b.png");
  EXPECT_TRUE(wait_for_lines(folder() / "out.jsonl", 2)) << "the pipeline goes on";
}

// What did not change goes on: pictures that were predicted are not predicted again.
TEST_F(Agents, AReloadKeepsPipelinesThatDidNotChange) {
  put_picture("a.png");
  const std::string good = R"(models: [{ package: classifier }]
pipelines:
  - { name: inbox, source: { folder: { path: in, watch: true } }, models: [{ model: classifier }], sinks: [{ json_lines: { path: out.jsonl } }] }
)";
  Agent agent(log_, {"1"});
  ASSERT_TRUE(agent.start(configuration(good)));
  ASSERT_TRUE(wait_for_lines(folder() / "out.jsonl", 1));
  ASSERT_TRUE(agent.reload(configuration("threads: 0\n" + good)));
  put_picture("b.png");
  ASSERT_TRUE(wait_for_lines(folder() / "out.jsonl", 2));
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(count_lines(folder() / "out.jsonl"), 2U);
  ASSERT_TRUE(agent.reload(configuration("models: [{ package: classifier }]\n")));
  put_picture("c.png");
  std::this_thread::sleep_for(200ms);
  EXPECT_EQ(count_lines(folder() / "out.jsonl"), 2U) << "its pipeline has gone";
}

TEST_F(Agents, AChangedAddressWaitsForTheNextStart) {
  Agent agent(log_, {"1"});
  ASSERT_TRUE(agent.start(configuration("")));
  const auto port = agent.port();
  auto other = configuration("");
  other.api->address = "127.0.0.2";
  other.logging->level = wire::LogLevel::warning;
  other.logging->format = wire::LogFormat::json;
  ASSERT_TRUE(agent.reload(other));
  EXPECT_EQ(agent.port(), port);
  EXPECT_EQ(ask(agent, "/v2/health/live").status, 200);
}

TEST_F(Agents, EveryLogLevelAndTheStateDirectory) {
  processing::test::FakePackage package = processing::test::numbers();
  package.engine = "auto";
  package.write(folder() / "auto");
  for (const auto level :
       {wire::LogLevel::debug, wire::LogLevel::info, wire::LogLevel::warning, wire::LogLevel::error}) {
    Agent agent(log_, {"1"});
    auto one = configuration(
        "threads: 2\nstate_directory: state\nmodels: [{ package: auto }, { package: numbers, name: n, engine: fake "
        "}]\n");
    one.logging->level = level;
    ::testing::internal::CaptureStderr();
    const auto started = agent.start(one);
    EXPECT_EQ(ask(agent, "/v2/models/sample").status, 200);
    agent.stop();
    const auto text = ::testing::internal::GetCapturedStderr();
    ASSERT_TRUE(started);
    const bool says = level == wire::LogLevel::debug || level == wire::LogLevel::info;
    EXPECT_EQ(text.find("model loaded") != std::string::npos, says) << text;
  }
}

}  // namespace
}  // namespace verge::agent
