// POST …/infer: tensors of every type in and out, as JSON and as bytes, and every way to get it wrong.
#include <cmath>
#include <limits>

#include <gmock/gmock.h>

#include "served.hpp"

namespace verge::inference_api {
namespace {

using processing::test::bytes_of;
using test::FakePackage;
using test::json;
using ::testing::HasSubstr;

class Infer : public test::Served {
 protected:
  static constexpr const char* kPath = "/v2/models/sample/infer";

  static FakePackage identity(const std::string& type, const std::string& shape) {
    FakePackage package = processing::test::numbers();
    package.inputs = R"([{"name": "x", "datatype": ")" + type + R"(", "shape": )" + shape + "}]";
    package.outputs = R"([{"name": "y", "datatype": ")" + type + R"(", "shape": )" + shape + "}]";
    package.model = "input x " + type + " " + shape + "\noutput y " + type + " " + shape + "\nfunction identity\n";
    return package;
  }
  static std::string body(const std::string& type, const std::string& shape, const std::string& data) {
    return R"({"inputs":[{"name":"x","datatype":")" + type + R"(","shape":)" + shape + R"(,"data":)" + data + "}]}";
  }
  /// What comes out of a model that gives what it gets; or the error.
  std::string through(const std::string& type, int count, const std::string& data) {
    const auto shape = "[" + std::to_string(count) + "]";
    serve({identity(type, shape)});
    const auto answer = post(kPath, body(type, shape, data));
    if (answer.status != 200) return std::to_string(answer.status) + " " + error(answer);
    const auto found = json::parse(answer.body);
    EXPECT_EQ(found["outputs"][0]["datatype"], type);
    EXPECT_EQ(found["outputs"][0]["shape"], json::array({count}));
    return answer.body.substr(answer.body.find("\"data\":") + 7,
                              answer.body.find_last_of(']') - 1 - answer.body.find("\"data\":") - 7);
  }
  std::string numbers_error(const std::string& request, const std::map<std::string, std::string>& headers = {}) {
    const auto answer = post(kPath, request, headers);
    EXPECT_EQ(answer.status, 400) << answer.body;
    return error(answer);
  }
};

TEST_F(Infer, AnAnswerIsWhatTheProtocolSays) {
  serve({processing::test::numbers()});
  const auto answer =
      post(kPath, R"({"id":"é7","inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[[1,2.5,-3,4e2]]}]})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body),
            json::parse(R"({"model_name":"sample","model_version":"1.0.0","id":"é7","outputs":[
      {"name":"y","datatype":"FP32","shape":[1,4],"data":[1,2.5,-3,400]}]})"));
  EXPECT_TRUE(answer.headers.empty());
}

TEST_F(Infer, EveryType) {
  EXPECT_EQ(through("FP32", 4, "[0.1,-1e30,3,1e-40]"), "[0.1,-1e+30,3,1e-40]");
  EXPECT_EQ(through("FP64", 3, "[0.1,-1e300,3]"), "[0.1,-1e+300,3]");
  EXPECT_EQ(through("FP16", 4, "[0.5,-2,65504,1e-9]"), "[0.5,-2,65504,0]");
  EXPECT_EQ(through("UINT8", 2, "[0,255]"), "[0,255]");
  EXPECT_EQ(through("INT8", 2, "[-128,127]"), "[-128,127]");
  EXPECT_EQ(through("UINT16", 2, "[0,65535]"), "[0,65535]");
  EXPECT_EQ(through("INT16", 2, "[-32768,32767]"), "[-32768,32767]");
  EXPECT_EQ(through("UINT32", 2, "[0,4294967295]"), "[0,4294967295]");
  EXPECT_EQ(through("INT32", 2, "[-2147483648,2147483647]"), "[-2147483648,2147483647]");
  EXPECT_EQ(through("UINT64", 2, "[0,18446744073709551615]"), "[0,18446744073709551615]");
  EXPECT_EQ(through("INT64", 2, "[-9223372036854775808,9223372036854775807]"),
            "[-9223372036854775808,9223372036854775807]");
  EXPECT_EQ(through("BOOL", 4, "[true,false,1,0]"), "[true,false,true,false]");
}

TEST_F(Infer, EveryByteAndEveryWayToWriteNumbersDown) {
  std::string bytes = "[";
  for (int i = 0; i < 256; ++i) bytes += (i > 0 ? "," : "") + std::to_string(i);
  EXPECT_EQ(through("UINT8", 256, bytes + "]"), bytes + "]");
  EXPECT_EQ(through("UINT8", 4, "[ [1, 22] ,[ 255 ,0]]"), "[1,22,255,0]");
  EXPECT_EQ(through("INT8", 4, "[100,-100,\n127,0]"), "[100,-100,127,0]");
  EXPECT_EQ(through("INT64", 3, "[1000,999,99999]"), "[1000,999,99999]");
}

TEST_F(Infer, ValuesThatDoNotFitTheirType) {
  for (const auto& [type, value] : std::vector<std::pair<const char*, const char*>>{{"UINT8", "256"},
                                                                                    {"UINT8", "-1"},
                                                                                    {"UINT8", "1.5"},
                                                                                    {"INT8", "128"},
                                                                                    {"INT8", "-129"},
                                                                                    {"UINT16", "65536"},
                                                                                    {"INT16", "-32769"},
                                                                                    {"UINT32", "4294967296"},
                                                                                    {"INT32", "2147483648"},
                                                                                    {"UINT64", "-1"},
                                                                                    {"UINT64", "18446744073709551616"},
                                                                                    {"INT64", "9223372036854775808"},
                                                                                    {"INT64", "\"1\""},
                                                                                    {"BOOL", "2"},
                                                                                    {"BOOL", "-1"},
                                                                                    {"BOOL", "\"true\""},
                                                                                    {"FP32", "true"},
                                                                                    {"FP32", "null"},
                                                                                    {"FP64", "\"1\""},
                                                                                    {"FP16", "true"},
                                                                                    {"FP16", "{}"}}) {
    EXPECT_THAT(
        through(type, 2, std::string("[") + "0," + value + "]"),
        HasSubstr("expected 2 " + std::string(type) + " values in 'data', got 1 and then one that does not fit"))
        << type << " " << value;
  }
  EXPECT_THAT(through("FP64", 1, "[1e999]"), HasSubstr("one that does not fit"));
}

TEST_F(Infer, WrongNumbersOfValues) {
  EXPECT_THAT(through("FP32", 3, "[1,2]"),
              HasSubstr("400 input 'x': expected 3 FP32 values in 'data', got 2; for example"));
  EXPECT_THAT(through("FP32", 3, "[1,2,3,4]"), HasSubstr("got 3 and then one that does not fit (too many"));
  EXPECT_THAT(through("BOOL", 1, "[true,true]"), HasSubstr("got 1 and then"));
  EXPECT_THAT(through("FP16", 1, "[1,1]"), HasSubstr("got 1 and then"));
  EXPECT_THAT(through("BOOL", 4, "[[true,[false]],[1,0]]"), HasSubstr("[true,false,true,false]"));
  EXPECT_THAT(through("FP16", 2, "[[1],[2]]"), HasSubstr("[1,2]"));
}

TEST_F(Infer, NumbersThatJsonDoesNotKnowBecomeNull) {
  serve({identity("FP32", "[3]")});
  std::string request =
      R"({"inputs":[{"name":"x","datatype":"FP32","shape":[3],"parameters":{"binary_data_size":12}}]})";
  const auto length = std::to_string(request.size());
  request += text(bytes_of<float>({std::nanf(""), std::numeric_limits<float>::infinity(), 1}));
  const auto answer = post(kPath, request, {{"Inference-Header-Content-Length", length}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_THAT(answer.body, HasSubstr("\"data\":[null,null,1]"));
}

TEST_F(Infer, BinaryInAndOut) {
  serve({processing::test::numbers()});
  const auto values = text(bytes_of<float>({1, 2, 3, 4}));
  const std::string head =
      R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}],)"
      R"("outputs":[{"name":"y","parameters":{"binary_data":true}}]})";
  const auto answer = post(kPath, head + values, {{"Inference-Header-Content-Length", std::to_string(head.size())}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.content_type, "application/octet-stream");
  ASSERT_EQ(answer.headers.size(), 1U);
  EXPECT_EQ(answer.headers[0].first, "Inference-Header-Content-Length");
  const auto size = std::stoul(answer.headers[0].second);
  const auto body = json::parse(answer.body.substr(0, size));
  EXPECT_EQ(body["outputs"][0]["parameters"]["binary_data_size"], 16);
  EXPECT_FALSE(body["outputs"][0].contains("data"));
  EXPECT_EQ(answer.body.substr(size), values);
}

TEST_F(Infer, BinaryForAllOutputsAndBackForOne) {
  serve({processing::test::numbers()});
  const std::string in = R"("inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}])";
  const std::string all = R"("parameters":{"binary_data_output":true})";
  EXPECT_EQ(post(kPath, "{" + in + "," + all + "}").content_type, "application/octet-stream");
  EXPECT_EQ(post(kPath, "{" + in + "," + all + R"(,"outputs":[]})").content_type, "application/octet-stream");
  EXPECT_EQ(post(kPath, "{" + in + "," + all + R"(,"outputs":[{"name":"y"}]})").content_type,
            "application/octet-stream");
  EXPECT_EQ(post(kPath, "{" + in + "," + all + R"(,"outputs":[{"name":"y","parameters":{"binary_data":false}}]})")
                .content_type,
            "application/json");
  EXPECT_EQ(post(kPath, "{" + in + R"(,"parameters":{"binary_data_output":1}})").content_type, "application/json");
}

TEST_F(Infer, RawBytes) {
  serve({processing::test::numbers()});
  const auto values = text(bytes_of<float>({1, 2, 3, 4}));
  const std::map<std::string, std::string> raw{{"Inference-Header-Content-Length", "0"}};
  const auto answer = post(kPath, values, raw);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_TRUE(answer.body.ends_with(values));
  EXPECT_THAT(numbers_error("abc", raw), HasSubstr("expected 16 bytes for input 'x' (FP32[1,4]), got 3; for example"));
  serve({[] {
    auto package = processing::test::detector();
    package.name = "sample";
    return package;
  }()});
  EXPECT_THAT(numbers_error("abc", raw), HasSubstr("a raw request needs a model with one input, this one has 5"));
}

TEST_F(Infer, LengthsThatAreWrong) {
  serve({processing::test::numbers()});
  for (const char* length : {"-1", "x", "5x", "99999", "18446744073709551616", " 5"}) {
    EXPECT_THAT(numbers_error("{}", {{"Inference-Header-Content-Length", length}}),
                HasSubstr("expected 'Inference-Header-Content-Length' from 0 to the body's 2 bytes, got '" +
                          std::string(length)))
        << length;
  }
  const auto binary = [&](const std::string& size, const std::string& rest) {
    const std::string head =
        R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":)" + size + "}}]}";
    return numbers_error(head + rest, {{"Inference-Header-Content-Length", std::to_string(head.size())}});
  };
  EXPECT_THAT(binary("12", std::string(12, 'x')), HasSubstr("expected 16 bytes for input 'x' (FP32[1,4]), got 12"));
  EXPECT_THAT(binary("16", std::string(15, 'x')),
              HasSubstr("expected the 16 bytes of its 'binary_data_size' behind the JSON, got 15"));
  EXPECT_THAT(binary("16", std::string(20, 'x')), HasSubstr("4 bytes are left behind the last binary tensor"));
  EXPECT_THAT(binary("-16", std::string(16, 'x')), HasSubstr("VRG-API-014"));
  EXPECT_THAT(binary("\"16\"", std::string(16, 'x')), HasSubstr("VRG-API-014"));
}

TEST_F(Infer, RequestsThatAreNoRequests) {
  serve({processing::test::numbers()});
  EXPECT_THAT(numbers_error(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(numbers_error("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(numbers_error("\xff\xfe"), HasSubstr("not valid JSON"));
  EXPECT_THAT(numbers_error("[]"), HasSubstr("expected a JSON object with 'inputs'"));
  EXPECT_THAT(numbers_error("{}"), HasSubstr("expected 'inputs' as a list of 1 tensor(s), got 0; for example"));
  EXPECT_THAT(numbers_error(R"({"inputs":{}})"), HasSubstr("expected 'inputs' to be a list of objects, got {}"));
  EXPECT_THAT(numbers_error(R"({"inputs":[]})"), HasSubstr("got 0"));
  EXPECT_THAT(numbers_error(R"({"inputs":[1]})"), HasSubstr("expected each of 'inputs' to be an object"));
  EXPECT_THAT(numbers_error(std::string(17, '[')), HasSubstr("nests deeper than 16 levels"));
  EXPECT_THAT(numbers_error(R"({"inputs":[{"name":"[[[[[[[[[[[[[[[[[[\"[[","datatype":"FP32"}]})"),
              HasSubstr("expected 'shape' as a list"));
}

TEST_F(Infer, InputsThatAreWrong) {
  serve({processing::test::numbers()});
  const auto with = [&](const std::string& change) {
    json tensor = json::parse(R"({"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]})");
    tensor.merge_patch(json::parse(change));
    return numbers_error(json{{"inputs", json::array({tensor})}}.dump());
  };
  EXPECT_THAT(with(R"({"name":"z"})"), HasSubstr("expected inputs called 'x', each once, got 'z'; for example"));
  EXPECT_THAT(with(R"({"name":7})"), HasSubstr("expected 'name' to be a text, got 7"));
  EXPECT_THAT(with(R"({"datatype":"INT8"})"), HasSubstr("expected datatype FP32, got 'INT8'; for example"));
  EXPECT_THAT(with(R"({"datatype":null})"), HasSubstr("expected datatype FP32, got ''"));
  EXPECT_THAT(with(R"({"datatype":7})"), HasSubstr("expected 'datatype' to be a text, got 7"));
  EXPECT_THAT(with(R"({"shape":null})"), HasSubstr("expected 'shape' as a list of whole numbers, got none"));
  for (const char* shape : {"4", "[1.5,4]", "[-1,4]", "[18446744073709551615,4]", "[1,1,1,1,1,1,1,1,4]", "[\"1\",4]"}) {
    EXPECT_THAT(with(std::string(R"({"shape":)") + shape + "}"), HasSubstr("VRG-API-012")) << shape;
  }
  EXPECT_THAT(with(R"({"shape":[4]})"), HasSubstr("expected input 'x' as FP32[1,4], got the shape [4]; for example"));
  EXPECT_THAT(with(R"({"data":null})"), HasSubstr("expected 'data' as a list"));
  EXPECT_THAT(with(R"({"data":"1,2,3,4"})"), HasSubstr("expected 'data' as a list"));
}

TEST_F(Infer, TheSameInputTwice) {
  FakePackage package = processing::test::numbers();
  package.inputs =
      R"([{"name": "a", "datatype": "INT8", "shape": [1]}, {"name": "b", "datatype": "INT8", "shape": [1]}])";
  package.outputs =
      R"([{"name": "c", "datatype": "INT8", "shape": [1]}, {"name": "d", "datatype": "INT8", "shape": [1]}])";
  package.model = "input a INT8 [1]\ninput b INT8 [1]\noutput c INT8 [1]\noutput d INT8 [1]\nfunction identity\n";
  serve({package});
  const auto request = [](const char* first, const char* second, const std::string& outputs = "") {
    const auto tensor = [](const char* name, int value) {
      return R"({"name":")" + std::string(name) + R"(","datatype":"INT8","shape":[1],"data":[)" +
             std::to_string(value) + "]}";
    };
    return R"({"inputs":[)" + tensor(first, 1) + "," + tensor(second, 2) + "]" + outputs + "}";
  };
  EXPECT_THAT(numbers_error(request("a", "a")), HasSubstr("expected inputs called 'a', 'b', each once, got 'a'"));
  const auto swapped = json::parse(post(kPath, request("b", "a")).body);
  EXPECT_EQ(swapped["outputs"][0]["data"], json::array({2}));
  const auto one = json::parse(post(kPath, request("a", "b", R"(,"outputs":[{"name":"d"}])")).body);
  ASSERT_EQ(one["outputs"].size(), 1U);
  EXPECT_EQ(one["outputs"][0]["name"], "d");
  EXPECT_THAT(numbers_error(request("a", "b", R"(,"outputs":[{"name":"e"}])")),
              HasSubstr("the model has no output 'e'; it has"));
  EXPECT_THAT(numbers_error(request("a", "b", R"(,"outputs":[3])")), HasSubstr("each of 'outputs' to be an object"));
  EXPECT_THAT(numbers_error(request("a", "b", R"(,"outputs":{"c":1})")), HasSubstr("expected 'outputs' to be a list"));
  EXPECT_THAT(numbers_error(request("a", "b", R"(,"id":7)")), HasSubstr("expected 'id' to be a text"));
}

TEST_F(Infer, BatchesOfAnySize) {
  serve({identity("FP32", "[-1,2]")});
  for (const int batch : {1, 3, 2}) {
    std::string data = "[";
    for (int i = 0; i < batch * 2; ++i) data += (i == 0 ? "" : ",") + std::to_string(i);
    const auto answer = post(kPath, body("FP32", "[" + std::to_string(batch) + ",2]", data + "]"));
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(json::parse(answer.body)["outputs"][0]["shape"], json::array({batch, 2}));
  }
  const auto raw = post(kPath, std::string(8, 'x'), {{"Inference-Header-Content-Length", "0"}});
  EXPECT_EQ(raw.status, 200) << raw.body;
  EXPECT_THAT(numbers_error(body("FP32", "[0,2]", "[]")), HasSubstr("VRG-API-012"));
}

// The shape is the client's word: it must not make us take memory that the request does not fill.
TEST_F(Infer, AHugeShapeTakesNoMemory) {
  serve({identity("FP32", "[-1,-1]")});
  for (const char* shape : {"[1073741824,4]", "[2147483648,2147483648]", "[1000,1000]"}) {
    EXPECT_THAT(numbers_error(body("FP32", shape, "[1]")), HasSubstr("holds more values than the request's")) << shape;
  }
}

TEST_F(Infer, AModelThatFailsIsTheServersFault) {
  FakePackage package = processing::test::numbers();
  package.model = "input x FP32 [1,4]\noutput y FP32 [1,4]\nfunction fail smoke\n";
  serve({package});
  const auto answer = post(kPath, body("FP32", "[1,4]", "[1,2,3,4]"));
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(error(answer), HasSubstr("smoke"));
  EXPECT_THAT(get("/metrics").body, HasSubstr("code=\"failed\""));
}

TEST_F(Infer, TooManyAtOnce) {
  serve({processing::test::numbers()}, 1, 0);
  const auto served = repository_.find("sample", "");
  ASSERT_TRUE(served);
  const auto taken = (*served)->workers->acquire(std::chrono::milliseconds(1));
  const auto answer = post(kPath, body("FP32", "[1,4]", "[1,2,3,4]"));
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(error(answer), HasSubstr("VRG-MDL-006"));
  EXPECT_EQ(post("/v2/models/sample/predict", "x").status, 503);
}

}  // namespace
}  // namespace verge::inference_api
