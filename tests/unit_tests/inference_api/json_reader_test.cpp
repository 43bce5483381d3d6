// The reader of requests: what it takes, what it refuses, and that it agrees with a parser that builds documents.
#include <random>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "json_reader.hpp"
#include "json_values.hpp"

namespace verge::inference_api {
namespace {

using ::testing::HasSubstr;

/// Reads every value to its end.
bool read_all(JsonReader& json) {
  switch (json.peek()) {
    case '{': return json.object([&](const std::string&) { read_all(json); });
    case '[': return json.array([&] { read_all(json); });
    case '"': {
      std::string text;
      return json.string(text);
    }
    default: json.skip(); return !json.failed();
  }
}

bool accepts(std::string_view text) {
  JsonReader json(text);
  return read_all(json) && json.at_end();
}

TEST(JsonReader, TakesWhatJsonIsAndNothingElse) {
  for (const char* right : {"{}", "[]", " [ 1 , -2.5e+3 , 0 ] ", R"({"a":{"b":[true,false,null]}})",
                            R"("é\u00e9\ud83d\ude00\n")", "0", "-0", "1E5", R"({"a":1,"a":2})"}) {
    EXPECT_TRUE(accepts(right)) << right;
    EXPECT_TRUE(nlohmann::json::accept(right)) << right;
  }
  for (const char* wrong : {"",
                            "{",
                            "[1,]",
                            "{,}",
                            R"({"a"})",
                            R"({"a":})",
                            R"({a:1})",
                            "[1 2]",
                            "01",
                            "+1",
                            ".5",
                            "1.",
                            "1e",
                            "nan",
                            "tru",
                            R"("\x")",
                            R"("\ud800")",
                            R"("\udc00")",
                            "\"\x01\"",
                            "\"\xff\"",
                            "\"\xed\xa0\x80\"",
                            "\"\xc0\xaf\"",
                            "[]]",
                            "{}x"}) {
    EXPECT_FALSE(accepts(wrong)) << wrong;
    EXPECT_FALSE(nlohmann::json::accept(wrong)) << wrong;
  }
}

TEST(JsonReader, SaysWhereTheMistakeIs) {
  JsonReader deep(std::string_view("[[[[[[[[[[[[[[[[[[[["));
  read_all(deep);
  EXPECT_THAT(deep.mistake(), HasSubstr("nests deeper"));
  JsonReader skipped(std::string_view("[[[[[[[[[[[[[[[[[[[["));
  skipped.skip();
  EXPECT_THAT(skipped.mistake(), HasSubstr("nests deeper"));
  JsonReader early(std::string_view("{\"a\":"));
  read_all(early);
  EXPECT_THAT(early.mistake(), HasSubstr("ends too early"));
  JsonReader wrong(std::string_view("{\"a\":x}"));
  read_all(wrong);
  EXPECT_EQ(wrong.mistake(), "at byte 5: this was not expected here");
}

TEST(JsonReader, AgreesWithAnotherParserOnChangedDocuments) {
  const std::string right =
      R"({"id":"é\u0041","inputs":[{"name":"x","shape":[1,4],"data":[[1,-2.5e3],[0.1,4]]}],"p":{"a":true,"b":null}})";
  std::mt19937 random(7);
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = right;
    for (int change = 0; change < 1 + i % 2; ++change) {
      const auto at = random() % text.size();
      constexpr std::string_view kLikely = "{}[],:\"\\0123456789.eE+-tfn u\xc3\xa9\x80";
      switch (random() % 3) {
        case 0: text[at] = kLikely[random() % kLikely.size()]; break;
        case 1: text.erase(at, 1 + random() % 3); break;
        default: text.insert(at, 1, kLikely[random() % kLikely.size()]); break;
      }
    }
    const bool expected = nlohmann::json::accept(text);
    ASSERT_EQ(accepts(text), expected) << text;
    accepted += expected ? 1 : 0;
  }
  EXPECT_GT(accepted, 500) << "the changes leave some documents right";
}

TEST(JsonValues, NumbersAreReadAsTheStandardLibraryReadsThem) {
  std::mt19937_64 random(11);
  std::vector<float> values(20'000);
  std::string text = "[";
  for (auto& value : values) {
    std::uint32_t bits = static_cast<std::uint32_t>(random());
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) value = 0;
    std::array<char, 64> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%.9g", static_cast<double>(value));
    text += (text.size() > 1 ? "," : "") + std::string(buffer.data());
  }
  std::vector<float> read(values.size());
  const std::vector<std::int64_t> shape{static_cast<std::int64_t>(values.size())};
  const processing::TensorSpec spec{"x", processing::DataType::fp32, shape, {}};
  const auto done = write_json_values(
      text + "]", spec,
      {processing::DataType::fp32, shape, reinterpret_cast<std::byte*>(read.data()), read.size() * sizeof(float)});
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(read, values);
}

}  // namespace
}  // namespace verge::inference_api
