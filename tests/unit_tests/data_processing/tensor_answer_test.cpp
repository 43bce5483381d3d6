// What a step's process says of its tensors is foreign: every number of it is checked.
#include "tensor_answer.hpp"

#include <array>

#include <gmock/gmock.h>

namespace verge::data_processing {
namespace {

using processing::DataType;
using ::testing::HasSubstr;

class TensorAnswers : public ::testing::Test {
 protected:
  Result<void> read(const StepTensor& tensor) {
    return read_tensors(std::as_bytes(std::span(&tensor, 1)), specs_, made_, tensors_, views_);
  }
  static StepTensor good() {
    StepTensor tensor;
    tensor.datatype = static_cast<std::uint32_t>(DataType::fp32);
    tensor.rank = 2;
    tensor.shape[0] = 3;
    tensor.shape[1] = 2;
    tensor.offset_bytes = 8;
    tensor.size_bytes = 24;
    return tensor;
  }

  const std::array<processing::TensorSpec, 1> specs_{processing::TensorSpec{"x", DataType::fp32, {-1, 2}, {}}};
  const std::array<std::byte, 32> made_{};
  std::vector<StepTensor> tensors_;
  std::vector<processing::TensorView> views_;
};

TEST_F(TensorAnswers, AreViewsOnWhatWasMade) {
  ASSERT_TRUE(read(good()));
  EXPECT_EQ(views_[0].data, made_.data() + 8);
  EXPECT_THAT(views_[0].shape, ::testing::ElementsAre(3, 2));
}

TEST_F(TensorAnswers, AreOfTheTypeAndShapeThatTheModelWants) {
  auto tensor = good();
  tensor.datatype = static_cast<std::uint32_t>(DataType::fp64);
  EXPECT_THAT(read(tensor).error().text(), HasSubstr("expected FP32[-1,2] for the input 'x', got FP64[3,2]"));
  tensor = good();
  tensor.shape[1] = 3;
  EXPECT_THAT(read(tensor).error().text(), HasSubstr("got FP32[3,3]"));
  tensor = good();
  tensor.shape[0] = 0;
  EXPECT_FALSE(read(tensor));
}

TEST_F(TensorAnswers, LieWithinWhatWasMade) {
  for (const auto& change : std::vector<std::function<void(StepTensor&)>>{
           [](auto& t) { t.offset_bytes = 9; }, [](auto& t) { t.offset_bytes = ~std::uint64_t{0}; },
           [](auto& t) { t.size_bytes = 25; }, [](auto& t) { t.shape[0] = std::int64_t{1} << 61; },
           [](auto& t) { t.shape[0] = -1; }, [](auto& t) { t.rank = 9; }, [](auto& t) { t.rank = ~0U; },
           [](auto& t) { t.datatype = 99; },
           [](auto& t) { t.datatype = static_cast<std::uint32_t>(DataType::bytes); }}) {
    auto tensor = good();
    change(tensor);
    EXPECT_FALSE(read(tensor));
  }
  EXPECT_THAT(read_tensors({}, specs_, made_, tensors_, views_).error().text(), HasSubstr("one for each input"));
  const std::array<std::byte, 5> half{};
  EXPECT_FALSE(read_tensors(half, specs_, made_, tensors_, views_));
}

}  // namespace
}  // namespace verge::data_processing
