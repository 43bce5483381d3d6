// Sound: every coding of a WAV file, spectra by hand, and what is no sound.
#include <cmath>
#include <numbers>

#include "compiled.hpp"

namespace verge::processing {
namespace {

using test::bytes;
using test::compile;
using test::failure;
using test::input;
using test::window;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

void put(std::string& out, std::uint32_t value, int size) {
  for (int i = 0; i < size; ++i) out += static_cast<char>((value >> (8 * i)) & 0xFFU);
}

std::string wav(const std::string& data, int bits, int channels = 1, int coding = 1, std::uint32_t rate = 8000,
                std::optional<std::uint32_t> declared = {}) {
  std::string out = "RIFF";
  put(out, 0, 4);
  out += "WAVELIST";
  put(out, 3, 4);
  out += "abc";
  out += '\0';  // Chunks begin at even places.
  out += "fmt ";
  put(out, 16, 4);
  put(out, static_cast<std::uint32_t>(coding), 2);
  put(out, static_cast<std::uint32_t>(channels), 2);
  put(out, rate, 4);
  put(out, 0, 4);
  put(out, 0, 2);
  put(out, static_cast<std::uint32_t>(bits), 2);
  out += "data";
  put(out, declared.value_or(static_cast<std::uint32_t>(data.size())), 4);
  return out + data;
}

/// The samples themselves, four of them.
std::vector<float> samples(const std::string& file) {
  auto features = compile("sample: audio\nsteps:\n  - audio: { sample_rate: 8000 }\n", input({1, 4}));
  EXPECT_TRUE(features) << failure(features);
  const auto count = features->prepare(bytes(file));
  EXPECT_TRUE(count) << failure(count);
  return count ? window(*features, 0, 4) : std::vector<float>();
}

std::string refusal(const std::string& file) {
  auto features = compile("sample: audio\nsteps:\n  - audio: { sample_rate: 8000 }\n", input({1, 4}));
  return failure(features->prepare(bytes(file)));
}

TEST(Sounds, AreReadInEveryCoding) {
  const std::vector<float> expected{0, 0.5F, -0.5F, -1};
  const auto near = [&] { return Pointwise(FloatNear(1e-6F), expected); };
  EXPECT_THAT(samples(wav(std::string("\x80\xC0\x40\x00", 4), 8)), near());
  EXPECT_THAT(samples(wav(std::string("\0\0\0\x40\0\xC0\0\x80", 8), 16)), near());
  EXPECT_THAT(samples(wav(std::string("\0\0\0\0\0\x40\0\0\xC0\0\0\x80", 12), 24)), near());
  EXPECT_THAT(samples(wav(std::string("\0\0\0\0\0\0\0\x40\0\0\0\xC0\0\0\0\x80", 16), 32)), near());
  std::string floats(16, '\0');
  std::memcpy(floats.data(), expected.data(), 16);
  EXPECT_THAT(samples(wav(floats, 32, 1, 3)), near());
  EXPECT_THAT(samples(wav(floats, 32, 1, 3, 8000, 0)), near()) << "a recorder that could not go back";
  EXPECT_THAT(samples(wav(std::string("\x80\x80\xC0\xC0\0\x80\0\0", 8), 8, 2)), near()) << "two channels, averaged";
}

TEST(Sounds, ThatAreNoneAreRefused) {
  EXPECT_THAT(refusal("RIFFxxxxWAVE"), HasSubstr("got a file without sound"));
  EXPECT_THAT(refusal(wav("1234", 12)), HasSubstr("coding 1 with 12 bits"));
  EXPECT_THAT(refusal(wav("1234", 16, 0)), HasSubstr("0 channels"));
  EXPECT_THAT(refusal(wav("1234", 16, 1, 85)), HasSubstr("coding 85"));
  EXPECT_THAT(refusal(wav("1234", 16, 1, 1, 5)), HasSubstr("a sample rate of 5"));
  EXPECT_THAT(refusal(wav("1234", 16, 1, 1, 8000, 5000)), HasSubstr("ends early: expected 5000 bytes of sound, got 4"));
  EXPECT_THAT(refusal(wav("1234", 8)), ::testing::StrEq("(no error)"));
  EXPECT_THAT(refusal(wav("12345", 8)), HasSubstr("expected exactly 4 rows of 1 values, which the model takes, got 5"));
}

TEST(Sounds, OfOneToneHaveOnePeak) {
  std::string data;
  for (int i = 0; i < 256; ++i) {
    const double value = 0.5 * std::cos(2 * std::numbers::pi * 32 * i / 256);
    put(data, static_cast<std::uint32_t>(std::lround(value * 32767)), 2);
  }
  auto features = compile(
      "sample: audio\nsteps:\n  - audio: { sample_rate: 8000 }\n  - spectrogram: { window: 256, stride: 256 }\n",
      input({1, 129}));
  ASSERT_TRUE(features);
  ASSERT_TRUE(features->prepare(bytes(wav(data, 16))));
  const auto spectrum = window(*features, 0, 129);
  // Half the amplitude of the window's sum (128) at the tone, half of that beside it.
  EXPECT_NEAR(spectrum[32], 32, 0.01);
  EXPECT_NEAR(spectrum[31], 16, 0.01);
  EXPECT_NEAR(spectrum[33], 16, 0.01);
  EXPECT_NEAR(spectrum[40], 0, 0.01);
}

TEST(Sounds, AreCutAndFilledToTheirLength) {
  auto features = compile(
      "sample: audio\nsteps:\n  - audio: { sample_rate: 1000, duration_ms: 4, peak_normalise: true }\n", input({1, 4}));
  ASSERT_TRUE(features) << failure(features);
  ASSERT_TRUE(features->prepare(bytes(wav(std::string("\xC0\x40", 2), 8, 1, 1, 1000))));
  EXPECT_THAT(window(*features, 0, 4), ::testing::ElementsAre(1, -1, 0, 0));
  ASSERT_TRUE(features->prepare(bytes(wav(std::string("\xC0\x40\xC0\x40\xFF", 5), 8, 1, 1, 1000))));
  EXPECT_THAT(window(*features, 0, 4), ::testing::ElementsAre(1, -1, 1, -1));
}

TEST(Windows, SlideOverRows) {
  auto features = compile(
      "sample: tensor\nsteps:\n  - normalise: { mean: [1, 0], std: [1, 2] }\n"
      "  - windows: { rows: 2, stride: 2 }\n",
      input({1, 4}));
  ASSERT_TRUE(features) << failure(features);
  const std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  const auto count = features->prepare(std::as_bytes(std::span(values)));
  ASSERT_TRUE(count) << failure(count);
  EXPECT_EQ(*count, 2U) << "the fifth row fills no window";
  EXPECT_THAT(window(*features, 1, 4), ::testing::ElementsAre(4, 3, 6, 4));
  EXPECT_THAT(failure(features->prepare(std::as_bytes(std::span(values).first(3)))),
              HasSubstr("expected whole rows of 2 float32 values (8 bytes), got 12 bytes"));
  EXPECT_THAT(failure(features->prepare(std::as_bytes(std::span(values).first(2)))), HasSubstr("at least 2 rows"));
  std::vector<float> out(4);
  const TensorView view{DataType::fp32, {}, reinterpret_cast<std::byte*>(out.data()), 16};
  EXPECT_THAT(failure(features->fill(0, view)), HasSubstr("VRG-FEA-015")) << "nothing is prepared any more";
}

}  // namespace
}  // namespace verge::processing
