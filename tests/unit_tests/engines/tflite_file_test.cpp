#include "verge/engines/tflite_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/test_support/test_data.hpp"

namespace verge::engines {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

verge_engine_status status_of(std::span<const std::byte> content) {
  try {
    static_cast<void>(read_tflite(content));
    return VERGE_ENGINE_OK;
  } catch (const Failure& failure) {
    EXPECT_STRNE(failure.what(), "");
    return failure.status();
  }
}

TEST(TfliteFile, ReadsTypesShapesAndQuantisation) {
  VERGE_TEST_DATA_OR_SKIP(data);
  const auto model = read_tflite(MappedFile(data / "models/audio/kws/kws_ref_model.tflite").bytes());
  ASSERT_EQ(model.inputs.size(), 1U);
  const TensorDescription& input = model.inputs[0].description;
  EXPECT_EQ(input.name, "input_1");
  EXPECT_EQ(input.datatype, VERGE_ENGINE_INT8);
  EXPECT_THAT(input.shape, ElementsAre(-1, 49, 10, 1));
  EXPECT_THAT(model.inputs[0].initial_shape, ElementsAre(1, 49, 10, 1));
  EXPECT_TRUE(input.is_quantised);
  EXPECT_NEAR(input.scale, 0.5847029F, 1e-6F);
  EXPECT_EQ(input.zero_point, 83);
  EXPECT_EQ(model.outputs[0].description.zero_point, -128);
  EXPECT_THAT(model.custom_operators, IsEmpty());
}

TEST(TfliteFile, NamesCustomOperatorsAndOldWeights) {
  VERGE_TEST_DATA_OR_SKIP(data);
  EXPECT_THAT(read_tflite(MappedFile(data / "models/det/coco_ssd_mobilenet_v1_quant.tflite").bytes()).custom_operators,
              ElementsAre("TFLite_Detection_PostProcess"));
  EXPECT_TRUE(read_tflite(MappedFile(data / "models/seg/unet_person/unet_person_hybrid_quant.tflite").bytes())
                  .has_legacy_hybrid_weights);
  EXPECT_FALSE(read_tflite(MappedFile(data / "models/seg/mobile_unet_portrait_hybrid.tflite").bytes())
                   .has_legacy_hybrid_weights);
}

TEST(TfliteFile, EveryPrefixIsRefused) {
  VERGE_TEST_DATA_OR_SKIP(data);
  const auto whole = read_file(data / "models/tabular/hello_world_int8.tflite", 1U << 20U);
  ASSERT_TRUE(whole);
  EXPECT_EQ(status_of(*whole), VERGE_ENGINE_OK);
  int accepted = 0;
  for (std::size_t size = 0; size < whole->size(); ++size) {
    const auto status = status_of(std::span(*whole).first(size));
    if (status == VERGE_ENGINE_OK) {
      ++accepted;  // The last bytes of a file may be padding.
    } else {
      EXPECT_EQ(status, VERGE_ENGINE_CORRUPT);
    }
  }
  EXPECT_LE(accepted, 16);
}

TEST(TfliteFile, EveryFlippedBitIsSurvived) {
  VERGE_TEST_DATA_OR_SKIP(data);
  auto content = read_file(data / "models/tabular/hello_world_int8.tflite", 1U << 20U);
  ASSERT_TRUE(content);
  int refused = 0;
  for (std::size_t bit = 0; bit < content->size() * 8; ++bit) {
    const auto mask = std::byte{1} << (bit % 8);
    (*content)[bit / 8] ^= mask;
    refused += status_of(*content) != VERGE_ENGINE_OK ? 1 : 0;
    (*content)[bit / 8] ^= mask;
  }
  EXPECT_GT(refused, 100);
}

TEST(MappedFile, RefusesFoldersAndNothing) {
  EXPECT_THROW(MappedFile("/"), Failure);
  EXPECT_THROW(MappedFile("/nowhere/at/all"), Failure);
}

}  // namespace
}  // namespace verge::engines
