// The reader of foreign JSON: what it takes, what it refuses, and that it agrees with a parser that builds documents.
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "verge/wire/json_reader.hpp"

namespace verge::wire {
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
  JsonReader deep(std::string_view("[[[[[[[[[[[[[[[[[[[["), 16);
  read_all(deep);
  EXPECT_THAT(deep.mistake(), HasSubstr("nests deeper than 16 levels"));
  JsonReader skipped(std::string_view("[[[[[[[[[[[[[[[[[[[["), 16);
  skipped.skip();
  EXPECT_THAT(skipped.mistake(), HasSubstr("nests deeper than 16 levels"));
  JsonReader early(std::string_view("{\"a\":"));
  read_all(early);
  EXPECT_THAT(early.mistake(), HasSubstr("ends too early"));
  JsonReader wrong(std::string_view("{\"a\":x}"));
  read_all(wrong);
  EXPECT_EQ(wrong.mistake(), "at byte 5: this was not expected here");
}

TEST(JsonReader, ReadsNumbers) {
  double value = 0;
  for (const auto& [text, expected] : std::map<std::string, double>{
           {"0", 0}, {"-12.5e1", -125}, {" 1E2 ", 100}, {"123456789012345678", 123456789012345678.0}}) {
    JsonReader json(text);
    ASSERT_TRUE(json.number(value)) << text;
    EXPECT_EQ(value, expected);
    EXPECT_TRUE(json.at_end());
  }
  for (const char* wrong : {"", "01", "+1", "1.", ".5", "1e", "nan", "true", "\"1\"", "[1]", "1e999"}) {
    JsonReader json{std::string_view(wrong)};
    EXPECT_FALSE(json.number(value)) << wrong;
  }
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
    JsonReader strict(text);
    ASSERT_EQ(strict.check() && strict.at_end(), expected) << text;
    accepted += expected ? 1 : 0;
  }
  EXPECT_GT(accepted, 500) << "the changes leave some documents right";
}

}  // namespace
}  // namespace verge::wire
