// Golden replay: right and wrong answers of every kind, and what is said about them.
#include "verge/processing/golden_replay.hpp"

#include <gmock/gmock.h>

#include "fake_package.hpp"

namespace verge::processing {
namespace {

using test::bytes_of;
using test::failure;
using test::FakePackage;
using ::testing::HasSubstr;

class GoldenReplay : public test::WithFakeEngine {
 protected:
  /// What is said about the one sample; "" when it passes.
  std::string replay(const FakePackage& package) {
    Worker one = worker(package);
    const auto results = replay_golden(one);
    if (!results) return "error: " + results.error().text();
    EXPECT_EQ(results->size(), 1U);
    EXPECT_EQ(results->front().sample, "s");
    EXPECT_EQ(results->front().passed, results->front().difference.empty());
    return results->front().difference;
  }
  std::string classes(const std::string& expected) {
    FakePackage package = test::classifier();
    package.golden = R"([{"name": "s", "image": "in.png", "classes": )" + expected + "}]";
    package.golden_files["in.png"] = test::picture(16, 16, 0, {51, 204, 200});  // 0.2, 0.8, 0.784, 0.
    return replay(package);
  }
  std::string boxes(const std::string& expected, const std::vector<float>& scores = {0.9F, 0.8F}) {
    FakePackage package = test::detector();
    package.golden =
        R"([{"name": "s", "tensors": ["p.bin", "b.bin", "c.bin", "s.bin", "n.bin"], "boxes": )" + expected + "}]";
    package.golden_files["p.bin"] = test::Bytes(768);
    package.golden_files["b.bin"] = bytes_of<float>({0, 0, 0.5F, 1, 0.5F, 0.5F, 1, 1});
    package.golden_files["c.bin"] = bytes_of<float>({1, 2});
    package.golden_files["s.bin"] = bytes_of(scores);
    package.golden_files["n.bin"] = bytes_of<float>({2});
    return replay(package);
  }
  std::string outputs(const std::vector<float>& expected, const std::string& more = "") {
    FakePackage package = test::numbers();
    package.golden = R"([{"name": "s", "tensors": ["in.bin"], "outputs": ["out.bin"])" + more + "}]";
    package.golden_files["in.bin"] = bytes_of<float>({1, 2, 3, 1000});
    package.golden_files["out.bin"] = bytes_of(expected);
    return replay(package);
  }
};

TEST_F(GoldenReplay, NoSamplesNoResults) {
  Worker one = worker(test::numbers());
  const auto results = replay_golden(one);
  ASSERT_TRUE(results);
  EXPECT_TRUE(results->empty());
}

TEST_F(GoldenReplay, Classes) {
  EXPECT_EQ(classes(R"([{"label": "dog", "score": 0.8}])"), "");
  EXPECT_EQ(classes(R"([{"label": "dog", "score": 0.8}, {"label": "bird", "score": 0.78}])"), "");
  // Within the tolerance of 0.05 two may change places; further apart not.
  EXPECT_EQ(classes(R"([{"label": "bird", "score": 0.78}])"), "");
  EXPECT_EQ(classes(R"([{"label": "cat", "score": 0.2}])"), "expected class 'cat' first, got 'dog'");
  EXPECT_EQ(classes(R"([{"label": "dog", "score": 0.7}])"), "expected class 'dog' with score 0.700 ± 0.050, got 0.800");
  EXPECT_EQ(classes(R"([{"label": "fish", "score": 0.9}])"),
            "expected class 'fish' (0.900), got 'dog' (0.800) first and not that one");
}

TEST_F(GoldenReplay, ClassesWithoutLabelsAreNumbers) {
  FakePackage package = test::classifier();
  package.postprocessing = "version: 1\nsteps:\n  - top_k: {}\n";
  package.labels.clear();
  package.golden = R"([{"name": "s", "image": "in.png", "classes": [{"label": "2", "score": 1}]}])";
  package.golden_files["in.png"] = test::picture(16, 16, 0, {0, 0, 255});
  EXPECT_EQ(replay(package), "");
}

TEST_F(GoldenReplay, Boxes) {
  const std::string dog = R"({"label": "dog", "score": 0.9, "box": [0, 0, 16, 8]})";
  const std::string bird = R"({"label": "bird", "score": 0.8, "box": [8, 8, 16, 16]})";
  EXPECT_EQ(boxes("[" + dog + "," + bird + "]"), "");
  EXPECT_EQ(boxes("[" + bird + "," + dog + "]"), "");
  EXPECT_EQ(boxes("[" + dog + "]"), "got a 'bird' (0.800) at [8, 8, 16, 16] that is not expected");
  EXPECT_EQ(boxes("[" + dog + "," + bird + "," + bird + "]"),
            "expected a 'bird' (0.800) at [8, 8, 16, 16], got no such box among 2");
  EXPECT_THAT(boxes(R"([{"label": "cat", "score": 0.9, "box": [0, 0, 16, 8]}])"),
              HasSubstr("expected a 'cat' (0.900)"));
  EXPECT_THAT(boxes(R"([{"label": "dog", "score": 0.6, "box": [0, 0, 16, 8]}])"),
              HasSubstr("expected a 'dog' (0.600)"));
  EXPECT_THAT(boxes(R"([{"label": "dog", "score": 0.9, "box": [0, 8, 16, 16]}])"), HasSubstr("expected a 'dog'"));
  EXPECT_THAT(boxes(R"([{"label": "dog", "score": 0.9, "box": [0, 0, 8, 8]}])"), HasSubstr("at [0, 0, 8, 8]"));
}

// The package lets boxes from 0.5 on through: those within the tolerance of it may be there or not.
TEST_F(GoldenReplay, BoxesNearTheThresholdMayComeAndGo) {
  const std::string dog = R"({"label": "dog", "score": 0.9, "box": [0, 0, 16, 8]})";
  const std::string faint = R"({"label": "fish", "score": 0.52, "box": [1, 1, 9, 9]})";
  EXPECT_EQ(boxes("[" + dog + "," + faint + "]", {0.9F, 0.1F}), "");
  EXPECT_EQ(boxes("[" + dog + "]", {0.9F, 0.53F}), "");
  EXPECT_THAT(boxes("[" + dog + "]", {0.9F, 0.6F}), HasSubstr("got a 'bird' (0.600)"));
}

TEST_F(GoldenReplay, Masks) {
  FakePackage package = test::segmenter();
  std::vector<std::uint8_t> half(384, 255);  // The first 256 values are the whole map.
  std::fill(half.begin() + 128, half.end(), std::uint8_t{0});
  package.golden_files["in.png"] = test::picture(16, 16, 0, half);
  Image expected(16, 16, PixelFormat::grey);
  for (int y = 0; y < 16; ++y) std::memset(expected.row(y), y < 8 ? 1 : 0, 16);
  package.golden_files["mask.png"] = *encode_png(expected.view());
  package.golden = R"([{"name": "s", "image": "in.png", "mask": {"file": "mask.png"}}])";
  EXPECT_EQ(replay(package), "");
  std::memset(expected.row(8), 1, 16);
  package.golden_files["mask.png"] = *encode_png(expected.view());
  EXPECT_EQ(replay(package), "expected a mask with mean IoU ≥ 0.980, got 0.882");
  package.golden = R"([{"name": "s", "image": "in.png", "mask": {"file": "mask.png", "min_iou": 0.85}}])";
  EXPECT_EQ(replay(package), "");
  package.golden_files["mask.png"] = *encode_png(Image(8, 16, PixelFormat::grey).view());
  EXPECT_EQ(replay(package), "expected a mask of 8 × 16, got 16 × 16");
  package.golden_files["mask.png"] = bytes_of<char>({'x'});
  EXPECT_THAT(replay(package), HasSubstr("error: golden sample 's': "));
}

TEST_F(GoldenReplay, Outputs) {
  EXPECT_EQ(outputs({1, 2, 3, 1000}), "");
  EXPECT_EQ(outputs({1.0005F, 2, 3, 1000.9F}), "");
  EXPECT_EQ(outputs({1, 2.5F, 3, 1000}), "expected output 'y' value 1 to be 2.5 ± 0.0035, got 2");
  EXPECT_EQ(outputs({1, 2.5F, 3, 1000}, R"(, "tolerance": {"absolute": 0.6})"), "");
  EXPECT_THAT(outputs({1, std::nanf(""), 3, 1000}), HasSubstr("value 1"));
  EXPECT_EQ(outputs({1, 2, 3}), "expected 12 bytes of output 'y', got 16");
  EXPECT_EQ(outputs({1, 2, 3, 1000}, R"(, "classes": [{"label": "x", "score": 1}])"),
            "expected class 'x' (1.000), got '' (0.000) first and not that one");
}

TEST_F(GoldenReplay, AnotherNumberOfOutputs) {
  FakePackage package = test::numbers();
  package.golden = R"([{"name": "s", "tensors": ["in.bin"], "outputs": ["in.bin", "in.bin"]}])";
  package.golden_files["in.bin"] = bytes_of<float>({1, 2, 3, 4});
  EXPECT_EQ(replay(package), "expected 2 outputs, got 1");
}

TEST_F(GoldenReplay, BooleanOutputsAreCompared) {
  FakePackage package = test::numbers();
  package.outputs = R"([{"name": "y", "datatype": "BOOL", "shape": [2]}])";
  package.model = "input x FP32 [1,4]\noutput y BOOL [2]\nfunction constant 1\n";
  package.golden = R"([{"name": "s", "tensors": ["in.bin"], "outputs": ["out.bin"]}])";
  package.golden_files["in.bin"] = bytes_of<float>({1, 2, 3, 4});
  package.golden_files["out.bin"] = bytes_of<std::uint8_t>({1, 1});
  EXPECT_EQ(replay(package), "");
  package.golden_files["out.bin"] = bytes_of<std::uint8_t>({1, 0});
  EXPECT_EQ(replay(package), "expected output 'y' value 1 to be 0 ± 0.001, got 1");
}

TEST_F(GoldenReplay, ASampleThatCannotRunIsAnError) {
  FakePackage package = test::numbers();
  package.golden = R"([{"name": "s", "tensors": ["in.bin"], "outputs": ["in.bin"]}])";
  package.golden_files["in.bin"] = bytes_of<float>({1, 2});
  EXPECT_THAT(replay(package), HasSubstr("error: golden sample 's': expected 16 bytes for input 'x'"));
  package = test::classifier();
  package.golden = R"([{"name": "s", "image": "in.png", "classes": [{"label": "dog", "score": 1}]}])";
  package.golden_files["in.png"] = bytes_of<char>({'n', 'o'});
  EXPECT_THAT(replay(package), HasSubstr("VRG-IMG-001"));
}

TEST_F(GoldenReplay, AFileThatHasGoneIsAnError) {
  for (const char* gone : {"in.bin", "out.bin"}) {
    FakePackage package = test::numbers();
    package.golden = R"([{"name": "s", "tensors": ["in.bin"], "outputs": ["out.bin"]}])";
    package.golden_files["in.bin"] = package.golden_files["out.bin"] = bytes_of<float>({1, 2, 3, 4});
    Worker one = worker(package);
    std::filesystem::remove(one.model().package().root / "golden" / gone);
    EXPECT_THAT(failure(replay_golden(one)), HasSubstr("golden sample 's'"));
  }
}

}  // namespace
}  // namespace verge::processing
