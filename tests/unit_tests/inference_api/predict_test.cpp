// POST …/predict: a picture in; JSON or a picture out.
#include <gmock/gmock.h>

#include "served.hpp"

namespace verge::inference_api {
namespace {

using processing::test::bytes_of;
using test::json;
using ::testing::HasSubstr;

class Predict : public test::Served {
 protected:
  void SetUp() override {
    serve({processing::test::classifier(), processing::test::segmenter(), processing::test::numbers()});
  }
  http::Response predict(const std::string& model, const std::string& accept, int width = 16, int height = 16) {
    std::vector<std::uint8_t> first(384, 255);
    return post("/v2/models/" + model + "/predict", text(processing::test::picture(width, height, 0, first)),
                {{"Accept", accept}});
  }
  static processing::Image decoded(const http::Response& response, processing::PixelFormat format) {
    processing::ImageDecoder decoder;
    processing::Image image;
    const auto size = decoder.decode(std::as_bytes(std::span(response.body)), format, image);
    EXPECT_TRUE(size);
    return image;
  }
};

TEST_F(Predict, Json) {
  for (const char* accept : {"", "application/json", "*/*", "text/html, application/json;q=0.9, */*"}) {
    const auto answer = predict("classifier", accept);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.content_type, "application/json");
    const auto body = json::parse(answer.body);
    EXPECT_EQ(body["model"], "classifier");
    EXPECT_EQ(body["version"], "1.0.0");
    EXPECT_EQ(body["classes"].size(), 3U);
    EXPECT_TRUE(body["latency_ms"]["decode"].is_number());
  }
  EXPECT_EQ(json::parse(predict("segmenter", "").body)["areas"][0]["label"], "thing");
}

TEST_F(Predict, AMaskIsAPictureOfClassNumbers) {
  for (const char* accept : {"image/png", "image/png;view=mask", "image/png, */*"}) {
    const auto answer = predict("segmenter", accept, 32, 16);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.content_type, "image/png");
    const auto mask = decoded(answer, processing::PixelFormat::grey);
    EXPECT_EQ(mask.width(), 32);
    EXPECT_EQ(mask.height(), 16);
    EXPECT_EQ(mask.row(0)[0], 1);
    EXPECT_EQ(mask.row(15)[0], 0);
  }
}

TEST_F(Predict, AnOverlayIsThePictureWithWhatWasFound) {
  for (const auto& [model, accept] :
       std::vector<std::pair<const char*, const char*>>{{"segmenter", "image/png;view=overlay"},
                                                        {"classifier", "image/png"},
                                                        {"classifier", "image/png;view=overlay"}}) {
    const auto answer = predict(model, accept, 40, 20);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(decoded(answer, processing::PixelFormat::rgb).width(), 40);
  }
}

TEST_F(Predict, WhatCannotBeGiven) {
  const auto mask = predict("classifier", "image/png;view=mask");
  EXPECT_EQ(mask.status, 406);
  EXPECT_THAT(error(mask), HasSubstr("only a segmentation model has a mask"));
  const auto html = predict("classifier", "text/html");
  EXPECT_EQ(html.status, 406);
  EXPECT_THAT(error(html), HasSubstr("got 'text/html' [VRG-API-021]"));
}

TEST_F(Predict, WhatIsNoPicture) {
  EXPECT_THAT(error(post("/v2/models/classifier/predict", "")), HasSubstr("got none; for example: curl"));
  const auto text_body = post("/v2/models/classifier/predict", "no picture");
  EXPECT_EQ(text_body.status, 415);
  EXPECT_THAT(error(text_body), HasSubstr("VRG-IMG-001"));
  const auto cut = post("/v2/models/classifier/predict", text(processing::test::picture(16, 16)).substr(0, 50));
  EXPECT_EQ(cut.status, 400);
  EXPECT_THAT(error(cut), HasSubstr("VRG-IMG-003"));
}

TEST_F(Predict, RawValuesForModelsThatTakeThem) {
  const auto values = text(bytes_of<float>({1, 2, 3, 4}));
  const auto answer = post("/v2/models/sample/predict", values);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)["kind"], "tensors");
  EXPECT_EQ(post("/v2/models/sample/predict", "abc").status, 400);
  EXPECT_EQ(post("/v2/models/sample/predict", values, {{"Accept", "image/png"}}).status, 415);
}

}  // namespace
}  // namespace verge::inference_api
