#include "verge/processing/prediction.hpp"

#include <array>
#include <cmath>

#include <gtest/gtest.h>

namespace verge::processing {
namespace {

std::string json(const Prediction& prediction) {
  std::string out;
  append_json(prediction, out);
  return out;
}

TEST(AppendJson, Classes) {
  Prediction prediction;
  prediction.kind = PredictionKind::classes;
  prediction.classes = {{3, 0.5F, "ca\"t"}, {1, std::nanf(""), {}}};
  EXPECT_EQ(json(prediction),
            R"("kind":"classes","classes":[{"class":3,"label":"ca\"t","score":0.5},{"class":1,"score":null}])");
}

TEST(AppendJson, Boxes) {
  Prediction prediction;
  prediction.kind = PredictionKind::boxes;
  prediction.boxes = {{1, 2.25F, 3, 4, 0, 0.75F, "dog"}};
  EXPECT_EQ(json(prediction),
            R"("kind":"boxes","boxes":[{"class":0,"label":"dog","score":0.75,"box":[1.0,2.2,3.0,4.0]}])");
}

TEST(AppendJson, Mask) {
  Prediction prediction;
  prediction.kind = PredictionKind::mask;
  prediction.mask = {2, 1, {0, 3}};
  prediction.areas = {{0, 0.5F, {}}};
  EXPECT_EQ(json(prediction), R"("kind":"mask","mask":{"width":2,"height":1},"areas":[{"class":0,"fraction":0.5}])");
}

TEST(AppendJson, Tensors) {
  std::array<float, 2> values{1.5F, -2.0F};
  const std::array<std::int64_t, 2> shape{1, 2};
  const TensorView view{DataType::fp32, shape, reinterpret_cast<std::byte*>(values.data()), sizeof(values)};
  const TensorSpec spec{"out", DataType::fp32, {1, 2}, {}};
  Prediction prediction;
  prediction.tensors = {&view, 1};
  prediction.tensor_specs = {&spec, 1};
  EXPECT_EQ(json(prediction),
            R"("kind":"tensors","tensors":[{"name":"out","datatype":"FP32","shape":[1,2],"data":[1.5,-2]}])");
}

TEST(AppendJsonString, ReplacesWhatIsNotUtf8) {
  std::string out;
  append_json_string("a\x01\xff\xc3\xa9\\", out);
  EXPECT_EQ(out, "\"a\\u0001\xef\xbf\xbd\xc3\xa9\\\\\"");
}

TEST(PaletteColour, IsPascalVocs) {
  EXPECT_EQ(palette_colour(0).red, 0);
  EXPECT_EQ(palette_colour(1).red, 128);
  EXPECT_EQ(palette_colour(15).red, 192);  // person: 192, 128, 128
  EXPECT_EQ(palette_colour(15).green, 128);
  EXPECT_EQ(palette_colour(15).blue, 128);
  EXPECT_EQ(palette_colour(-1).red, palette_colour(-1).red);
}

}  // namespace
}  // namespace verge::processing
