// Definitions of samples that are no pictures: what is refused, and with which words.
#include "compiled.hpp"

namespace verge::processing {
namespace {

using test::compile;
using test::failure;
using test::input;
using ::testing::HasSubstr;

constexpr const char* kSound =
    "sample: audio\nsteps:\n  - audio: { sample_rate: 16000, duration_ms: 1000 }\n"
    "  - spectrogram: { window: 480, stride: 320 }\n";

TEST(FeatureDefinitions, AreCheckedAgainstTheInput) {
  EXPECT_TRUE(compile(kSound, input({1, 49, 257})));
  EXPECT_TRUE(compile(kSound, input({-1, 49, 257, 1})));
  EXPECT_THAT(failure(compile(kSound, input({1, 48, 257}))),
              HasSubstr("expected 48 rows for the input 'x' FP32[1,48,257], which 'duration_ms', 'window' and 'stride' "
                        "should make, got 49"));
  EXPECT_THAT(failure(compile(kSound, input({1, 49, 256}))), HasSubstr("to take whole rows of 257 values"));
  EXPECT_THAT(failure(compile(kSound, input({1, -1, 257}))), HasSubstr("expected an input of a fixed shape"));
  EXPECT_THAT(failure(compile(kSound, input({1, 49, 257}, DataType::bytes))), HasSubstr("VRG-FEA-004"));
  EXPECT_THAT(failure(compile(std::string(kSound) + "  - quantise:\n", input({1, 49, 257}))),
              HasSubstr("line 6: step 3 (quantise): expected an input with a scale and a zero point"));
}

TEST(FeatureDefinitions, HaveAnOrder) {
  EXPECT_THAT(failure(compile("sample: audio\nsteps: []\n", input({1, 4}))),
              HasSubstr("expected the step 'audio' first"));
  EXPECT_THAT(failure(compile("sample: table\nsteps: []\n", input({1, 4}))), HasSubstr("expected the step 'columns'"));
  EXPECT_THAT(failure(compile("sample: audio\nsteps:\n  - audio: { sample_rate: 8000 }\n  - dct: { coefficients: 3 }\n",
                              input({1, 3}))),
              HasSubstr("step 2 (dct): expected 'spectrogram' before 'dct'"));
  EXPECT_THAT(failure(compile("sample: audio\nsteps:\n  - log:\n  - audio: { sample_rate: 8000 }\n", input({1, 3}))),
              HasSubstr("got 'audio' after 'log'; move or remove it [VRG-FEA-001]"));
  EXPECT_THAT(failure(compile("sample: table\nsteps:\n  - resize: { width: 3, height: 3 }\n", input({1, 3}))),
              HasSubstr("'resize' works on pictures, and this is 'sample: table'"));
  EXPECT_THAT(failure(compile("sample: table\nsteps:\n  - windows: { rows: 3 }\n", input({1, 3}))),
              HasSubstr("'windows' does not go with 'sample: table'"));
}

TEST(FeatureDefinitions, HaveSensibleNumbers) {
  const std::string sound = "sample: audio\nsteps:\n  - audio: { sample_rate: 8000 }\n";
  EXPECT_THAT(failure(compile(sound + "  - spectrogram: { window: 400, stride: 1, fft: 256 }\n", input({1, 129}))),
              HasSubstr("expected an even 'fft' of at least the window 400, got 256"));
  EXPECT_THAT(failure(compile(sound + "  - spectrogram: { window: 256, stride: 1 }\n  - mel: { bands: 4, low_hz: 50, "
                                      "high_hz: 50 }\n",
                              input({1, 4}))),
              HasSubstr("expected 'high_hz' above 'low_hz' 50"));
  EXPECT_THAT(failure(compile(sound + "  - spectrogram: { window: 256, stride: 1 }\n  - mel: { bands: 4, low_hz: 5, "
                                      "high_hz: 50 }\n  - dct: { coefficients: 5 }\n",
                              input({1, 5}))),
              HasSubstr("expected at most 4 coefficients, got 5"));
  EXPECT_THAT(failure(compile("sample: tensor\nsteps:\n  - windows: { rows: 3 }\n", input({1, 7}))),
              HasSubstr("VRG-FEA-002"));
  EXPECT_THAT(failure(compile("sample: tensor\nsteps:\n  - normalise: { mean: [1, 2, 3] }\n  - windows: { rows: 3 }\n",
                              input({1, 6}))),
              HasSubstr("expected 1 or 2 values in 'mean' and 'std'"));
}

}  // namespace
}  // namespace verge::processing
