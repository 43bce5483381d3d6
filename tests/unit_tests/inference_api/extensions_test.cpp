// Shared memory, statistics, configuration and repository, without a network.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "served.hpp"
#include "verge/inference_api/infer_call.hpp"

namespace verge::inference_api {
namespace {

using test::json;
using ::testing::HasSubstr;

class Extensions : public test::Served {
 protected:
  void SetUp() override {
    key_ = "/verge-unit-" + std::to_string(::getpid());
    ::shm_unlink(key_.c_str());
    file_ = ::shm_open(key_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_GE(file_, 0);
    resize(64);
    serve({processing::test::numbers()});
  }
  void TearDown() override {
    ::close(file_);
    ::shm_unlink(key_.c_str());
  }
  void resize(off_t size) const { ASSERT_EQ(::ftruncate(file_, size), 0); }
  http::Response add(const std::string& name, const json& document) {
    return post("/v2/systemsharedmemory/region/" + name + "/register", document.dump());
  }
  static std::string request(int input_at, int output_at, int size = 16) {
    const auto part = [&](int at) {
      return json{{"shared_memory_region", "r"}, {"shared_memory_offset", at}, {"shared_memory_byte_size", size}};
    };
    return json{{"inputs", {{{"name", "x"}, {"datatype", "FP32"}, {"shape", {1, 4}}, {"parameters", part(input_at)}}}},
                {"outputs", {{{"name", "y"}, {"parameters", part(output_at)}}}}}
        .dump();
  }
  std::string refusal(const std::string& body) {
    const auto answer = post("/v2/models/sample/infer", body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    return error(answer);
  }
  std::string key_;
  int file_ = -1;
};

TEST_F(Extensions, TensorsGoThroughSharedMemory) {
  ASSERT_EQ(add("r", {{"key", key_}, {"offset", 8}, {"byte_size", 56}}).status, 200);
  const std::vector<float> values{1, 2, 3, 4};
  ASSERT_EQ(::pwrite(file_, values.data(), 16, 8), 16);
  const auto answer = post("/v2/models/sample/infer", request(0, 40));
  ASSERT_EQ(answer.status, 200) << answer.body;
  std::vector<float> got(4);
  ASSERT_EQ(::pread(file_, got.data(), 16, 48), 16);
  EXPECT_EQ(got, values);
  const auto output = json::parse(answer.body)["outputs"][0];
  EXPECT_EQ(output["parameters"]["shared_memory_region"], "r");
  EXPECT_EQ(output["parameters"]["shared_memory_byte_size"], 16);
  EXPECT_FALSE(output.contains("data"));
}

TEST_F(Extensions, PartsThatDoNotLieInTheirRegion) {
  ASSERT_EQ(add("r", {{"key", key_}, {"byte_size", 64}}).status, 200);
  EXPECT_THAT(refusal(request(56, 0)), HasSubstr("VRG-API-035"));
  EXPECT_THAT(refusal(request(0, 56)), HasSubstr("VRG-API-035"));
  EXPECT_THAT(refusal(request(-1, 0)), HasSubstr("whole number"));
  EXPECT_THAT(refusal(request(0, 0, 12)), HasSubstr("expected 16 bytes for input 'x'"));
  resize(20);
  EXPECT_THAT(refusal(request(0, 16)), HasSubstr("smaller now"));
  resize(0);
  EXPECT_THAT(refusal(request(0, 16)), HasSubstr("smaller now"));
  SharedMemory small(8);
  ASSERT_TRUE(small.add({"r", key_, 0, 0}).error().id() == "VRG-API-030");
}

TEST_F(Extensions, RegionsAreListedAndRemoved) {
  ASSERT_EQ(add("r", {{"key", key_}, {"offset", 0}, {"byte_size", 64}}).status, 200);
  const auto again = add("r", {{"key", key_}, {"byte_size", 64}});
  EXPECT_EQ(again.status, 409) << again.body;
  const auto list = json::parse(get("/v2/systemsharedmemory/status").body);
  EXPECT_EQ(list, json::parse(R"([{"name":"r","key":")" + key_ + R"(","offset":0,"byte_size":64}])"));
  EXPECT_EQ(get("/v2/systemsharedmemory/region/r/status").status, 200);
  EXPECT_EQ(get("/v2/systemsharedmemory/region/s/status").status, 404);
  EXPECT_EQ(post("/v2/systemsharedmemory/region/r/unregister", "").status, 200);
  EXPECT_EQ(post("/v2/systemsharedmemory/region/r/unregister", "").status, 200) << "two clients may clean up";
  EXPECT_EQ(post("/v2/systemsharedmemory/unregister", "").status, 200);
  EXPECT_EQ(json::parse(get("/v2/systemsharedmemory/status").body), json::array());
  for (const char* key : {"", "/", "/..", "a/b", "/a/b"})
    EXPECT_EQ(add("q", {{"key", key}, {"byte_size", 1}}).status, 400);
  for (const char* path : {"/v2/systemsharedmemory/", "/v2/systemsharedmemory/region/status",
                           "/v2/systemsharedmemory/other/r/status", "/v2/systemsharedmemory/register"}) {
    EXPECT_EQ(get(path).status, 404) << path;
  }
  EXPECT_EQ(get("/v2/cudasharedmemory/status").body, "[]");
  EXPECT_EQ(post("/v2/cudasharedmemory/region/r/register", "{}").status, 400);
}

TEST_F(Extensions, ConfigurationAndStatistics) {
  const auto config = json::parse(get("/v2/models/sample/config").body);
  EXPECT_EQ(config["max_batch_size"], 0);
  EXPECT_EQ(config["input"],
            json::parse(R"([{"name":"x","data_type":"TYPE_FP32","format":"FORMAT_NONE","dims":[1,4]}])"));
  const std::string right = R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]})";
  for (int i = 0; i < 3; ++i) ASSERT_EQ(post("/v2/models/sample/infer", right).status, 200);
  EXPECT_EQ(post("/v2/models/sample/infer", "{}").status, 400);
  const auto of_model = json::parse(get("/v2/models/sample/stats").body);
  EXPECT_EQ(of_model, json::parse(get("/v2/models/stats").body));
  EXPECT_EQ(of_model, json::parse(get("/v2/models/sample/versions/1.0.0/stats").body));
  const auto statistics = of_model["model_stats"][0];
  EXPECT_EQ(statistics["inference_count"], 3);
  EXPECT_EQ(statistics["execution_count"], 3);
  EXPECT_EQ(statistics["inference_stats"]["success"]["count"], 3);
  EXPECT_EQ(statistics["inference_stats"]["fail"]["count"], 1);
  EXPECT_EQ(statistics["batch_stats"][0]["batch_size"], 1);
}

TEST(StatisticsOfBatches, RequestsThatShareARunCountAsOne) {
  Statistics statistics;
  for (int i = 0; i < 3; ++i) statistics.succeed({.infer_ns = 10, .rows = 1, .batch_rows = 3});
  statistics.succeed({.infer_ns = 10, .rows = 200, .batch_rows = 0});
  const auto reading = statistics.read();
  EXPECT_EQ(reading.inference_count, 203);
  EXPECT_EQ(reading.execution_count, 2);
  EXPECT_EQ(reading.infer.count, 4);
  ASSERT_EQ(reading.batches.size(), 1U);
  EXPECT_EQ(reading.batches.at(3).infer.count, 3);
}

TEST_F(Extensions, TheRepository) {
  EXPECT_EQ(json::parse(post("/v2/repository/index", "").body),
            json::parse(R"([{"name":"sample","version":"1.0.0","state":"READY"}])"));
  EXPECT_EQ(post("/v2/repository/index", R"({"ready":true})").status, 200);
  EXPECT_THAT(error(post("/v2/repository/index", R"({"ready":1})")), HasSubstr("'ready' to be true or false"));
  EXPECT_THAT(error(post("/v2/repository/index", "[]")), HasSubstr("expected a JSON object"));
  EXPECT_THAT(error(post("/v2/repository/index", std::string(100'000, '['))), HasSubstr("expected a JSON object"));
  EXPECT_THAT(error(post("/v2/repository/models/sample/unload", "")), HasSubstr("VRG-API-041"));
  EXPECT_EQ(get("/v2/repository/index").status, 405);
  EXPECT_EQ(post("/v2/repository/other", "").status, 404);
}

TEST(UrgencyOfRequests, PriorityOneGoesFirst) {
  EXPECT_GT(urgency(1, 0).priority, urgency(2, 0).priority);
  EXPECT_GT(urgency(99, 0).priority, urgency(0, 0).priority);
  EXPECT_EQ(urgency(100, 0).priority, urgency(0, 0).priority);
  EXPECT_LT(urgency(~std::uint64_t{0}, 0).priority, urgency(0, 0).priority);
  EXPECT_LT(urgency(0, 1000).deadline, urgency(0, 0).deadline);
  EXPECT_LT(urgency(0, ~std::uint64_t{0}).deadline, std::chrono::steady_clock::now() + std::chrono::hours(1));
}

}  // namespace
}  // namespace verge::inference_api
