// Every path of the API, and what is said at wrong ones.
#include <gmock/gmock.h>

#include "served.hpp"

namespace verge::inference_api {
namespace {

using test::json;
using ::testing::HasSubstr;

class Routes : public test::Served {};

TEST_F(Routes, TheServer) {
  const auto answer = get("/v2");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.content_type, "application/json");
  const auto body = json::parse(answer.body);
  EXPECT_EQ(body["name"], "verge-agent");
  EXPECT_EQ(body["version"], "1.2.3");
  EXPECT_EQ(body["extensions"][0], "binary_tensor_data");
  EXPECT_EQ(ask("HEAD", "/v2").status, 200);
}

TEST_F(Routes, HealthBeforeAndAfterTheModelsAreThere) {
  EXPECT_EQ(get("/v2/health/live").status, 200);
  const auto early = get("/v2/health/ready");
  EXPECT_EQ(early.status, 503);
  EXPECT_THAT(error(early), HasSubstr("VRG-API-003"));
  ASSERT_FALSE(early.headers.empty());
  EXPECT_EQ(early.headers[0].first, "Retry-After");
  EXPECT_EQ(get("/v2/models/numbers").status, 503) << "a model may still come";
  serve({});
  EXPECT_EQ(get("/v2/health/ready").status, 200);
  EXPECT_EQ(get("/v2/models/numbers").status, 404);
  EXPECT_THAT(error(get("/v2/models/numbers")), HasSubstr("there are none"));
}

TEST_F(Routes, AModel) {
  serve({processing::test::numbers(), processing::test::classifier()});
  for (const char* path : {"/v2/models/sample", "/v2/models/sample/", "/v2/models/sample/versions/1.0.0"}) {
    const auto answer = get(path);
    ASSERT_EQ(answer.status, 200) << path << answer.body;
    const auto body = json::parse(answer.body);
    EXPECT_EQ(body["name"], "sample");
    EXPECT_EQ(body["versions"], json::array({"1.0.0"}));
    EXPECT_EQ(body["platform"], "fake_fake");
    EXPECT_EQ(body["inputs"], json::parse(R"([{"name": "x", "datatype": "FP32", "shape": [1, 4]}])"));
    EXPECT_EQ(body["outputs"][0]["name"], "y");
    EXPECT_EQ(body["parameters"]["choice"]["engine"], "fake");
    EXPECT_THAT(body["parameters"]["digest"].get<std::string>(), HasSubstr("sha256:"));
  }
  EXPECT_EQ(get("/v2/models/sample/ready").status, 200);
  EXPECT_EQ(get("/v2/models/sample/versions/1.0.0/ready").status, 200);
  EXPECT_EQ(get("/v2/models/%73ample").status, 200) << "percent-encoded";
  EXPECT_THAT(error(get("/v2/models/simple")), HasSubstr("did you mean 'sample'?"));
  EXPECT_THAT(error(get("/v2/models/sample/versions/2.0.0")),
              HasSubstr("model 'sample' is served in version 1.0.0, not 2.0.0 [VRG-API-002]"));
}

TEST_F(Routes, AMeasuredChoiceIsShown) {
  auto package = processing::test::numbers();
  package.engine = "auto";
  serve({package});
  const auto trials = json::parse(get("/v2/models/sample").body)["parameters"]["choice"]["trials"];
  ASSERT_FALSE(trials.empty());
  bool found = false;
  for (const auto& trial : trials) {
    if (trial["engine"] != "fake") continue;
    found = true;
    EXPECT_EQ(trial["correct"], true);
    EXPECT_TRUE(trial["median_ms"].is_number());
  }
  EXPECT_TRUE(found);
}

TEST_F(Routes, PathsThatAreNot) {
  serve({processing::test::numbers()});
  for (const char* path : {"/", "/v3", "/v2/", "/v2/models", "/v2/models/", "/v2/models//ready",
                           "/v2/models/sample/start", "/v2/models/sample/versions", "/v2/models/sample/ready/now",
                           "/v2/models/%", "/v2/models/%00", "/v2/models/sample/versions/1.0.0/infer/x", ""}) {
    const auto answer = get(path);
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_THAT(error(answer), HasSubstr("VRG-API-005")) << path;
  }
}

TEST_F(Routes, Methods) {
  serve({processing::test::numbers()});
  for (const auto& [method, path, allowed] :
       std::vector<std::tuple<const char*, const char*, const char*>>{{"POST", "/v2", "GET"},
                                                                      {"DELETE", "/v2/health/live", "GET"},
                                                                      {"POST", "/metrics", "GET"},
                                                                      {"POST", "/v2/models/sample", "GET"},
                                                                      {"DELETE", "/v2/models/sample", "GET"},
                                                                      {"PUT", "/v2/models/sample/ready", "GET"},
                                                                      {"GET", "/v2/models/sample/infer", "POST"},
                                                                      {"PUT", "/v2/models/sample/predict", "POST"}}) {
    const auto answer = ask(method, path);
    EXPECT_EQ(answer.status, 405) << method << path;
    ASSERT_EQ(answer.headers.size(), 1U);
    EXPECT_EQ(answer.headers[0], (std::pair<std::string, std::string>{"Allow", allowed}));
    EXPECT_THAT(error(answer), HasSubstr("VRG-API-004"));
  }
  EXPECT_EQ(ask("HEAD", "/v2/models/sample").status, 200);
}

TEST_F(Routes, Metrics) {
  serve({processing::test::numbers()});
  EXPECT_EQ(post("/v2/models/sample/infer", "{}").status, 400);
  EXPECT_EQ(
      post("/v2/models/sample/infer", R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]})")
          .status,
      200);
  const auto answer = get("/metrics");
  EXPECT_EQ(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(answer.body,
              HasSubstr("verge_requests_total{code=\"ok\",engine=\"fake\",model=\"sample\",version=\"1.0.0\"} 1"));
  EXPECT_THAT(answer.body,
              HasSubstr("verge_requests_total{code=\"refused\",engine=\"fake\",model=\"sample\",version=\"1.0.0\"} 1"));
}

}  // namespace
}  // namespace verge::inference_api
