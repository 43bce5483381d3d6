#include "verge/engines/declared_tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace verge::engines {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(DeclaredTensors, ReadsNamesTypesAndShapes) {
  const auto tensors = declared_tensors("the picture FP32 [-1,3,224,224]; mask BOOL [1, 224] ;n INT64 []");
  ASSERT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors[0].name, "the picture");
  EXPECT_EQ(tensors[0].datatype, VERGE_ENGINE_FP32);
  EXPECT_THAT(tensors[0].shape, ElementsAre(-1, 3, 224, 224));
  EXPECT_EQ(tensors[1].datatype, VERGE_ENGINE_BOOL);
  EXPECT_THAT(tensors[1].shape, ElementsAre(1, 224));
  EXPECT_TRUE(tensors[2].shape.empty());
  EXPECT_TRUE(declared_tensors(" ").empty());
}

TEST(DeclaredTensors, RefusesWhatIsNoDeclarationWithAnExample) {
  for (const char* text :
       {"x", "x FP32", "FP32 [1]", "x FP31 [1]", "x FP32 [1", "x FP32 [1,]", "x FP32 [a]", "x FP32 [-2]",
        "x FP32 [1] y FP32 [1]", "x FP32 [1,1,1,1,1,1,1,1,1]", "x FP32 [99999999999999999999]"}) {
    SCOPED_TRACE(text);
    try {
      static_cast<void>(declared_tensors(text));
      ADD_FAILURE() << "accepted";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.status(), VERGE_ENGINE_INVALID_ARGUMENT);
      EXPECT_THAT(failure.what(), HasSubstr("x FP32 [1,3,224,224]"));
    }
  }
}

}  // namespace
}  // namespace verge::engines
