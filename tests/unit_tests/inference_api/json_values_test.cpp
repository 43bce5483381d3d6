// Values as text, straight into a tensor.
#include <array>
#include <cmath>
#include <cstring>
#include <random>

#include <gmock/gmock.h>

#include "json_values.hpp"

namespace verge::inference_api {
namespace {

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
