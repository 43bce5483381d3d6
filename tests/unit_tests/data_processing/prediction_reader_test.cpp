// What a step's JSON becomes: Verge's own kinds, anything else as it is, and refusals that say what was expected.
#include "verge/data_processing/prediction_reader.hpp"

#include <gmock/gmock.h>

namespace verge::data_processing {
namespace {

using processing::Prediction;
using processing::PredictionKind;
using ::testing::HasSubstr;

class PredictionReaders : public ::testing::Test {
 protected:
  Result<void> read(std::string_view json, std::span<const std::byte> content = {}) {
    return reader_.read(json, content, prediction_);
  }
  std::string refusal(std::string_view json) {
    const auto done = read(json);
    EXPECT_FALSE(done) << json;
    return done ? "" : done.error().text();
  }
  /// As the API and sinks write it.
  std::string written() const {
    std::string out;
    processing::append_json(prediction_, out);
    return out;
  }

  PredictionReader reader_;
  Prediction prediction_;
};

TEST_F(PredictionReaders, TakeClasses) {
  ASSERT_TRUE(read(R"({"kind":"classes","classes":[{"label":"c\u00e4t","score":0.75,"class":3},{"score":1e-1}]})"));
  EXPECT_EQ(written(),
            R"("kind":"classes","classes":[{"class":3,"label":"cät","score":0.75},{"class":0,"score":0.1}])");
}

TEST_F(PredictionReaders, TakeBoxesAnomaliesAndValues) {
  ASSERT_TRUE(read(R"({"boxes":[{"box":[1,2,3.5,4],"score":0.5,"label":"dog","more":{"a":[1]}}],"kind":"boxes"})"));
  EXPECT_EQ(written(), R"("kind":"boxes","boxes":[{"class":0,"label":"dog","score":0.5,"box":[1.0,2.0,3.5,4.0]}])");
  ASSERT_TRUE(read(R"({"kind":"anomaly","anomaly":{"error":2,"threshold":1,"found":true}})"));
  EXPECT_EQ(written(), R"("kind":"anomaly","anomaly":{"error":2,"threshold":1,"found":true,"windows":1})");
  ASSERT_TRUE(read(R"({"kind":"values","values":{"rooms":3,"price":12.5}})"));
  EXPECT_EQ(written(), R"("kind":"values","values":{"rooms":3,"price":12.5})");
}

TEST_F(PredictionReaders, TakeMasks) {
  const std::array<std::byte, 8> content{std::byte{9}, std::byte{9}, std::byte{1}, std::byte{1},
                                         std::byte{0}, std::byte{1}, std::byte{1}, std::byte{1}};
  ASSERT_TRUE(read(R"({"kind":"mask","mask":{"width":3,"height":2,"offset":2}})", content));
  ASSERT_EQ(prediction_.areas.size(), 2U);
  EXPECT_EQ(prediction_.areas[0].class_index, 1);
  EXPECT_NEAR(prediction_.areas[0].fraction, 5.0 / 6, 1e-6);
  EXPECT_FALSE(read(R"({"kind":"mask","mask":{"width":3,"height":2,"offset":3}})", content)) << "past the end";
  EXPECT_FALSE(read(R"({"kind":"mask","mask":{"width":60000,"height":60000,"offset":0}})", content));
  EXPECT_FALSE(read(R"({"kind":"mask","mask":{"width":3,"height":2,"offset":-1}})", content));
}

TEST_F(PredictionReaders, CarryAnyOtherObjectAsItIs) {
  for (const auto* text : {"{}", R"({"plate":"M-XY 12","tilt":[1,2,{"deg":-3.5e-2}],"ok":null})",
                           R"({"kind":"something else","x":true})", R"( {"kind": 3} )"}) {
    ASSERT_TRUE(read(text)) << text;
    EXPECT_EQ(prediction_.kind, PredictionKind::custom);
    EXPECT_EQ(written(), std::string(R"("kind":"custom","custom":)") + text);
  }
}

TEST_F(PredictionReaders, RefuseWhatIsNoJsonObject) {
  EXPECT_THAT(refusal("[1]"), HasSubstr("expected a JSON object, got \"[1]\""));
  EXPECT_THAT(refusal(R"({"a":1,})"), HasSubstr("a mistake at byte 7"));
  EXPECT_THAT(refusal(""), HasSubstr("expected a JSON object"));
  for (const std::string_view text : {"{\"a\":01}",
                                      "{\"a\":+1}",
                                      "{\"a\":1.}",
                                      "{\"a\":.5}",
                                      "{\"a\":NaN}",
                                      "{\"a\":1e}",
                                      "{\"a\" 1}",
                                      "{a:1}",
                                      "{\"a\":\"\n\"}",
                                      "{\"a\":\"\\x\"}",
                                      "{\"a\":\"\\ud800\"}",
                                      "{\"a\":\"\\udc00\"}",
                                      "{\"a\":\"\xff\"}",
                                      "{\"a\":\"\xc0\x80\"}",
                                      "{\"a\":\"\xed\xa0\x80\"}",
                                      "{\"a\":1}x",
                                      "{\"a\":tru}",
                                      "{\"a\":\"",
                                      "{\"a\":1",
                                      "{\"a\":1e999}"}) {
    EXPECT_FALSE(read(text)) << text;
  }
  std::string deep(100, '[');
  EXPECT_THAT(refusal("{\"a\":" + deep), HasSubstr("a mistake"));
  EXPECT_THAT(refusal("{\"a\":\"" + std::string(kPredictionLimitBytes, 'x') + "\"}"),
              HasSubstr("at most 1048576 bytes"));
}

TEST_F(PredictionReaders, SayWhatAKindWants) {
  EXPECT_THAT(refusal(R"({"kind":"classes"})"), HasSubstr("the member 'classes' beside this 'kind'"));
  EXPECT_THAT(refusal(R"({"kind":"classes","classes":[{"label":"cat"}]})"),
              HasSubstr(R"({"label": text, "score": number})"));
  EXPECT_THAT(refusal(R"({"kind":"boxes","boxes":[{"score":1,"box":[1,2,3]}]})"), HasSubstr("[x0, y0, x1, y1]"));
  EXPECT_FALSE(read(R"({"kind":"boxes","boxes":[{"score":1,"box":[1,2,3,4,5]}]})"));
  EXPECT_FALSE(read(R"({"kind":"values","values":{"a":"b"}})"));
  EXPECT_FALSE(read(R"({"kind":"anomaly","anomaly":{"error":2}})"));
  EXPECT_FALSE(read(R"({"kind":"classes","classes":[{"score":1,"class":1.5}]})"));
}

}  // namespace
}  // namespace verge::data_processing
