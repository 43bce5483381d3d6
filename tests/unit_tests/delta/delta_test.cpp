// What comes out is what went in, and it is small where it can be.
#include <cmath>
#include <limits>

#include "delta_bench.hpp"
#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/test_support/test_data.hpp"

namespace verge::delta {
namespace {

using namespace test;

TEST(Delta, AnyTwoFilesGiveBackTheNewOne) {
  const std::vector<Buffer> files{{},
                                  {std::byte{1}},
                                  random_bytes(1000, 1),
                                  random_bytes(70'000, 2),
                                  random_bytes(300'000, 3),
                                  Buffer(100'000),
                                  bytes_of(weights(80'000, 4))};
  for (const auto& old : files) {
    for (const auto& fresh : files) round_trip({old, {}}, {fresh, {}});
  }
}

TEST(Delta, SaysWhatItIsFor) {
  const auto old = random_bytes(5000, 1);
  const auto fresh = random_bytes(6000, 2);
  const auto delta = make_or_fail({old, {}}, {fresh, {}});
  const auto summary = read_summary(source_of(delta));
  ASSERT_TRUE(summary) << summary.error().text();
  EXPECT_EQ(summary->old_size_bytes, 5000U);
  EXPECT_EQ(summary->new_size_bytes, 6000U);
  EXPECT_EQ(summary->new_digest, crypto::sha256(fresh));
  EXPECT_LT(delta.size(), fresh.size() + 60) << "bytes that have nothing in common cost what they are";
}

TEST(Delta, TheSameFileCostsNearlyNothing) {
  const auto file = bytes_of(weights(600'000, 1));
  EXPECT_LT(round_trip(with_one_tensor(file, ElementKind::float32), with_one_tensor(file, ElementKind::float32)).size(),
            200U);
  EXPECT_LT(round_trip({file, {}}, {file, {}}).size(), 4000U);
}

class OfKind : public ::testing::TestWithParam<ElementKind> {};

TEST_P(OfKind, EveryValueOfTheElementsSurvives) {
  const auto size = model_file::size_bytes(GetParam());
  // Random bits hold not-a-numbers, infinities, both zeros and the smallest numbers; the ends are added.
  auto old = random_bytes(40'000 * size, 1);
  auto fresh = old;
  std::mt19937 random(2);
  for (std::size_t i = 0; i < fresh.size(); i += size) {
    if (random() % 4 == 0) fresh[i] ^= static_cast<std::byte>(random() & 255U);
    if (random() % 64 == 0) fresh[i + size - 1] ^= std::byte{0x80};
  }
  for (std::size_t i = 0; i < 16 * size; ++i) {
    old[i] = static_cast<std::byte>(i / size % 2 == 0 ? 0x00 : 0xFF);
    fresh[i] = static_cast<std::byte>(i / size % 4 < 2 ? 0xFF : 0x00);
  }
  round_trip(with_one_tensor(old, GetParam()), with_one_tensor(fresh, GetParam()));
  round_trip({old, {}}, with_one_tensor(fresh, GetParam()));
  round_trip(with_one_tensor(old, GetParam(), size), with_one_tensor(fresh, GetParam(), 0));
}

INSTANTIATE_TEST_SUITE_P(All, OfKind,
                         ::testing::Values(ElementKind::int8, ElementKind::int16, ElementKind::int32,
                                           ElementKind::int64, ElementKind::float16, ElementKind::bfloat16,
                                           ElementKind::float32, ElementKind::float64));

/// What differences of these sizes cost at least: the entropy of a normal distribution, in units of the last place.
double least_bytes(const std::vector<float>& old, double step) {
  double bits = 0;
  for (const float value : old) {
    if (value == 0) continue;  // Has no exponent, and costs more than nothing.
    const double unit = std::ldexp(1.0, std::ilogb(value) - 23);
    bits += std::max(0.0, std::log2(step / unit * std::sqrt(2 * std::numbers::pi * std::numbers::e)));
  }
  return bits / 8;
}

TEST(Delta, TrainedWeightsCostLittleMoreThanTheirNoise) {
  const auto before = weights(1'000'000, 1);
  const auto old = bytes_of(before);
  const auto fresh = bytes_of(trained(before, 2));
  const auto delta =
      round_trip(with_one_tensor(old, ElementKind::float32), with_one_tensor(fresh, ElementKind::float32));
  EXPECT_LT(static_cast<double>(delta.size()), 1.02 * least_bytes(before, 1e-4));
}

TEST(Delta, TensorsAreFoundWhereverTheyHaveGone) {
  const auto first = weights(100'000, 1);
  const auto second = weights(50'000, 2);
  const auto file = [](const std::vector<std::pair<std::string, std::vector<float>>>& tensors, std::size_t gap) {
    std::pair<Buffer, std::vector<model_file::FileTensor>> made;
    for (const auto& [name, values] : tensors) {
      const auto between = random_bytes(gap, 9);
      made.first.insert(made.first.end(), between.begin(), between.end());
      const auto bytes = bytes_of(values);
      made.second.push_back({name, ElementKind::float32, made.first.size(), bytes.size()});
      made.first.insert(made.first.end(), bytes.begin(), bytes.end());
    }
    return made;
  };
  const auto [old, old_tensors] = file({{"a", first}, {"b", second}}, 13);
  const auto check = [&, &old = old, &old_tensors = old_tensors](const auto& made, std::size_t most) {
    EXPECT_LT(round_trip({old, old_tensors}, {made.first, made.second}).size(), most);
  };
  check(file({{"b", second}, {"a", first}}, 130), 1000);
  check(file({{"renamed", first}, {"b", second}}, 7), 1000);
  check(file({{"a", trained(first, 5)}, {"b", second}}, 1), 260'000);
}

TEST(Delta, WithoutTensorsNumbersAreRecognised) {
  auto old = random_bytes(1001, 1);
  auto fresh = random_bytes(1001, 2);
  const auto before = weights(200'000, 3);
  const auto old_tail = bytes_of(before);
  const auto new_tail = bytes_of(trained(before, 4));
  old.insert(old.end(), old_tail.begin(), old_tail.end());
  fresh.insert(fresh.end(), new_tail.begin(), new_tail.end());
  EXPECT_LT(round_trip({old, {}}, {fresh, {}}).size(), fresh.size() * 7 / 10);
}

TEST(Delta, FilesThatTakeSeveralPieces) {
  const auto before = weights(1'200'000, 1);  // 4.8 MB.
  const auto old = bytes_of(before);
  const auto fresh = bytes_of(trained(before, 2));
  round_trip(with_one_tensor(old, ElementKind::float32), with_one_tensor(fresh, ElementKind::float32));
}

TEST(Delta, RealModelsOfOneKind) {
  VERGE_TEST_DATA_OR_SKIP(data);
  const auto folder = data / "models/cls/efficientnet_lite0";
  const auto read = [&](const char* name) { return read_file(folder / name, kMaxFile_bytes); };
  const auto old = read("efficientnet_lite0.onnx");
  const auto head = read("efficientnet_lite0_tuned_head.onnx");
  ASSERT_TRUE(old && head);
  const auto delta = round_trip({*old, model_file::find_tensors(*old)}, {*head, model_file::find_tensors(*head)});
  EXPECT_LT(delta.size(), 2'718'000U) << "0.90 of what bsdiff makes of it";
}

}  // namespace
}  // namespace verge::delta
