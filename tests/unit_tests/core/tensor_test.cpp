#include "verge/processing/tensor.hpp"

#include <array>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace verge::processing {
namespace {

using testing::ElementsAre;

template <typename T, std::size_t N>
TensorView view_of(std::array<T, N>& values, DataType type) {
  return {type, {}, reinterpret_cast<std::byte*>(values.data()), sizeof(values)};
}

TEST(DataType, NamesGoBothWays) {
  for (int i = 0; i <= static_cast<int>(DataType::bytes); ++i) {
    const auto type = static_cast<DataType>(i);
    EXPECT_EQ(data_type(name(type)), type);
  }
  EXPECT_FALSE(data_type("FLOAT").has_value());
}

TEST(ElementCount, RefusesVariableAndOverflowingShapes) {
  const std::array<std::int64_t, 3> fine{2, 3, 4};
  const std::array<std::int64_t, 2> variable{-1, 3};
  const std::array<std::int64_t, 3> huge{std::int64_t{1} << 40, std::int64_t{1} << 40, 2};
  EXPECT_EQ(element_count(fine), 24U);
  EXPECT_FALSE(element_count(variable).has_value());
  EXPECT_FALSE(element_count(huge).has_value());
  EXPECT_EQ(describe({"in", DataType::uint8, {1, -1}, {}}), "UINT8[1,-1]");
}

TEST(Half, EveryFiniteHalfComesBack) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = half_to_float(half);
    if (!std::isnan(value)) {
      EXPECT_EQ(float_to_half(value), half) << bits;
    }
  }
  EXPECT_EQ(float_to_half(70000.0F), 0x7c00);
  EXPECT_EQ(float_to_half(65519.9F), 0x7bff);
  EXPECT_EQ(float_to_half(1e-9F), 0);
  EXPECT_TRUE(std::isnan(half_to_float(float_to_half(std::nanf("")))));
}

TEST(StoreValues, RoundsHalvesToEvenBeforeTheZeroPoint) {
  const std::array<float, 6> values{0.25F, 0.75F, -0.25F, 1000.0F, -1000.0F, std::nanf("")};
  std::array<std::int8_t, 6> stored{};
  ASSERT_TRUE(store_values(values, Quantisation{0.5F, 1}, view_of(stored, DataType::int8)));
  EXPECT_THAT(stored, ElementsAre(1, 3, 1, 127, -128, 0));
}

TEST(StoreValues, SaysWhatSizeItWants) {
  const std::array<float, 2> values{};
  std::array<float, 3> stored{};
  const auto result = store_values(values, std::nullopt, view_of(stored, DataType::fp32));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().id(), "VRG-PRC-001");
  EXPECT_THAT(result.error().message(), testing::HasSubstr("expected 3 values"));
  std::array<std::uint8_t, 2> flags{};
  EXPECT_EQ(store_values(values, std::nullopt, view_of(flags, DataType::bool_)).error().code(),
            ErrorCode::unimplemented);
}

TEST(LoadValues, Dequantises) {
  std::array<std::uint8_t, 3> stored{0, 128, 255};
  std::vector<float> values;
  ASSERT_TRUE(load_values(view_of(stored, DataType::uint8), Quantisation{0.5F, 128}, values));
  EXPECT_THAT(values, ElementsAre(-64.0F, 0.0F, 63.5F));
  std::array<std::int64_t, 2> classes{3, -1};
  ASSERT_TRUE(load_values(view_of(classes, DataType::int64), std::nullopt, values));
  EXPECT_THAT(values, ElementsAre(3.0F, -1.0F));
}

TEST(LoadValues, ReadsBrainFloatsAndFlags) {
  std::array<float, 2> wanted{1.5F, -3.0F};
  std::array<std::uint16_t, 2> stored{};
  std::vector<float> values;
  ASSERT_TRUE(store_values(wanted, std::nullopt, view_of(stored, DataType::bf16)));
  ASSERT_TRUE(load_values(view_of(stored, DataType::bf16), std::nullopt, values));
  EXPECT_THAT(values, ElementsAre(1.5F, -3.0F));
  std::array<std::uint8_t, 2> flags{0, 2};
  ASSERT_TRUE(load_values(view_of(flags, DataType::bool_), std::nullopt, values));
  EXPECT_THAT(values, ElementsAre(0.0F, 1.0F));
}

}  // namespace
}  // namespace verge::processing
