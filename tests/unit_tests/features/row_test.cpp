// Rows of a table, in three notations.
#include "compiled.hpp"

namespace verge::processing {
namespace {

using test::bytes;
using test::compile;
using test::failure;
using test::input;
using test::window;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Rows : public ::testing::Test {
 protected:
  Result<std::size_t> prepare(std::string_view row) { return features_->prepare(bytes(row)); }
  std::vector<float> values() const { return window(*features_, 0, 5); }

  Result<Features> features_ = compile(
      "sample: table\nsteps:\n  - columns:\n      - { name: age, mean: 40, std: 10 }\n"
      "      - { name: colour, categories: [red, green, blue] }\n      - { name: weight, missing: 70, mean: 70 }\n",
      input({1, 5}));
};

TEST_F(Rows, AreTheSameInEveryNotation) {
  ASSERT_TRUE(features_) << failure(features_);
  for (const auto* row : {R"({"age": 50, "colour": "green", "weight": 71, "shoes": 3})", R"([50, "green", 71])",
                          "shoes,colour,age,weight\r\n3,green,50,71\r\n", "colour,age,weight\n\"green\",50,71"}) {
    ASSERT_TRUE(prepare(row)) << row << failure(prepare(row));
    EXPECT_THAT(values(), ElementsAre(1, 0, 1, 0, 1)) << row;
  }
}

TEST_F(Rows, MayMissWhatHasASubstitute) {
  for (const auto* row : {R"({"age": 40, "colour": "red"})", R"({"age": 40, "colour": "red", "weight": null})",
                          "age,colour,weight\n40,red,\n"}) {
    ASSERT_TRUE(prepare(row)) << row << failure(prepare(row));
    EXPECT_THAT(values(), ElementsAre(0, 1, 0, 0, 0)) << row;
  }
}

TEST_F(Rows, ThatDoNotFitAreRefusedByColumn) {
  EXPECT_THAT(failure(prepare(R"({"Age": 1, "colour": "red"})")),
              HasSubstr("expected a column 'age', got a row without it; did you mean it by 'Age'?"));
  EXPECT_THAT(failure(prepare(R"({"age": "old", "colour": "red"})")),
              HasSubstr("expected a number in column 'age', got 'old'"));
  EXPECT_THAT(failure(prepare(R"({"age": null, "colour": "red"})")), HasSubstr("column 'age', got nothing"));
  EXPECT_THAT(failure(prepare(R"({"age": 1, "colour": "pink"})")),
              HasSubstr("expected column 'colour' to be red, green or blue, got 'pink'"));
  EXPECT_THAT(failure(prepare("[1, 2]")), HasSubstr("expected 3 values, one for each column, got 2"));
  EXPECT_THAT(failure(prepare("{\"age\": ")), HasSubstr("not valid JSON"));
  EXPECT_THAT(failure(prepare("age,colour\n1,red\n2,red\n")), HasSubstr("got 3 lines; send a row at a time"));
  EXPECT_THAT(failure(prepare("age,colour\n1\n")), HasSubstr("2 lines of 2 and 1 fields"));
  EXPECT_THAT(failure(prepare(" \n")), HasSubstr("got nothing"));
}

}  // namespace
}  // namespace verge::processing
