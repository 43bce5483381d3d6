// Golden tensors: every model of expected.json in every engine that reads it, bit patterns in, numbers out.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "verge/base/file.hpp"
#include "verge/processing/engine.hpp"
#include "verge/test_support/test_data.hpp"

namespace verge::processing {
namespace {

constexpr std::uint64_t kLimitBytes = std::uint64_t{64} << 20U;

/// What an engine refuses, and why: an entry that begins to work fails the test, so that the table stays true.
struct Refusal {
  std::string_view engine;
  std::string_view model;
  std::string_view reason;  ///< Part of the engine's message.
};
constexpr std::array<Refusal, 3> kRefusals{{
    {"openvino", "seg/selfie_segmentation.tflite", "Convolution2DTransposeBias"},
    {"openvino", "det/coco_ssd_mobilenet_v1_quant.tflite", "TFLite_Detection_PostProcess"},
    {"openvino", "seg/unet_person/unet_person_hybrid_quant.tflite", "marked UINT8"},
}};

/// What differs by design, with the tolerance that was measured and the reason.
struct Tolerance {
  std::string_view engine;
  std::string_view model;
  double absolute;
};
constexpr std::array<Tolerance, 1> kTolerances{{
    // Weights alone are quantised. TensorFlow Lite also quantises the input of each layer in every run; OpenVINO
    // computes with the exact input, so that its result is nearer to the model's before it was quantised.
    {"openvino", "seg/mobile_unet_portrait_hybrid.tflite", 0.08},
}};

std::string format_of(const std::string& model) {
  return model.ends_with(".onnx") ? "onnx" : "tflite";
}

const Refusal* refusal(const std::string& engine, const std::string& model) {
  const auto found = std::find_if(kRefusals.begin(), kRefusals.end(),
                                  [&](const Refusal& r) { return r.engine == engine && r.model == model; });
  return found == kRefusals.end() ? nullptr : &*found;
}

void write_input(const std::vector<std::byte>& content, const std::string& dtype, const TensorView& input) {
  if (dtype.find("cast to float32") == std::string::npos) {
    ASSERT_EQ(content.size(), input.size_bytes);
    std::memcpy(input.data, content.data(), content.size());
    return;
  }
  ASSERT_EQ(content.size() * sizeof(float), input.size_bytes);
  const auto values = input.as<float>();
  for (std::size_t i = 0; i < content.size(); ++i) values[i] = static_cast<float>(content[i]);
}

/// Median of the times of `count` runs.
double median_ms(Request& request, int count) {
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(request.run());
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  std::nth_element(times.begin(), times.begin() + count / 2, times.end());
  return times[static_cast<std::size_t>(count / 2)];
}

/// Largest difference; counts what lies outside the tolerance in `outside`.
double compare(const std::vector<std::byte>& expected, const TensorView& output, double quantised_limit,
               double float_limit, int& outside) {
  double largest = 0.0;
  const auto judge = [&](double got, double wanted, double limit) {
    const double difference = std::abs(got - wanted);
    if (!(difference <= limit)) ++outside;
    if (!(difference <= largest)) largest = difference;
  };
  if (expected.size() != output.size_bytes) {
    ADD_FAILURE() << "expected " << expected.size() << " bytes, got " << output.size_bytes;
    return -1.0;
  }
  for (std::size_t i = 0; i < expected.size() / size_bytes(output.datatype); ++i) {
    if (output.datatype == DataType::fp32) {
      float wanted = 0.0F;
      std::memcpy(&wanted, expected.data() + i * sizeof(float), sizeof(float));
      judge(output.as<float>()[i], wanted, float_limit + 1e-3 * std::abs(wanted));
    } else if (output.datatype == DataType::int8) {
      judge(output.as<std::int8_t>()[i], static_cast<std::int8_t>(expected[i]), quantised_limit);
    } else if (output.datatype == DataType::uint8) {
      judge(output.as<std::uint8_t>()[i], static_cast<double>(expected[i]), quantised_limit);
    } else {
      ADD_FAILURE() << "no comparison for " << name(output.datatype);
    }
  }
  return largest;
}

class Golden : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!catalogue_.info(GetParam())) GTEST_SKIP() << "this build has no engine '" << GetParam() << "'";
    VERGE_TEST_DATA_OR_SKIP(data);
    data_ = data;
    const auto text = read_text(data / "expected.json", kLimitBytes);
    ASSERT_TRUE(text);
    golden_ = nlohmann::json::parse(*text).at("golden");
  }

  Result<std::shared_ptr<Session>> load(const std::string& model, unsigned threads) {
    SessionOptions options;
    options.format = format_of(model);
    options.threads = threads;
    return catalogue_.load(GetParam(), data_ / "models" / model, options);
  }

  void run_entry(const nlohmann::json& entry) {
    const std::string model = entry.at("model");
    SCOPED_TRACE(model);
    const Refusal* refused = refusal(GetParam(), model);
    auto session = load(model, 1);
    if (refused != nullptr) {
      ASSERT_FALSE(session) << "it works now: take it out of kRefusals";
      EXPECT_EQ(session.error().code(), ErrorCode::unimplemented);
      EXPECT_NE(session.error().message().find(refused->reason), std::string::npos) << session.error().text();
      std::printf("%-9s %-52s refused: %s\n", GetParam().c_str(), model.c_str(), std::string(refused->reason).c_str());
      return;
    }
    ASSERT_TRUE(session) << session.error().text();
    auto request = (*session)->create_request();
    ASSERT_TRUE(request) << request.error().text();
    const nlohmann::json& input = entry.at("input");
    const auto content = read_file(data_ / input.at("file").get<std::string>(), kLimitBytes);
    ASSERT_TRUE(content);
    write_input(*content, input.at("dtype"), request->input(0));
    const auto ran = request->run();
    ASSERT_TRUE(ran) << ran.error().text();
    const std::string differences = check_outputs(entry, **session, *request);
    const double one_ms = median_ms(*request, 9);
    auto two = load(model, 2);
    ASSERT_TRUE(two);
    auto second = (*two)->create_request();
    ASSERT_TRUE(second);
    write_input(*content, input.at("dtype"), second->input(0));
    const double two_ms = median_ms(*second, 9);
    std::printf("%-9s %-52s %8.3f ms %8.3f ms  %s\n", GetParam().c_str(), model.c_str(), one_ms, two_ms,
                differences.c_str());
  }

  std::string check_outputs(const nlohmann::json& entry, const Session& session, const Request& request) {
    double float_limit = 1e-3;
    for (const Tolerance& known : kTolerances) {
      const bool applies = known.engine == GetParam() && known.model == entry.at("model").get<std::string>();
      if (applies) float_limit = known.absolute;
    }
    const double quantised_limit = entry.value("max_abs_diff_vs_builtin_kernels", 0.0) + 2.0;
    std::string text;
    const nlohmann::json& outputs = entry.at("outputs");
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto expected = read_file(data_ / outputs[i].at("file").get<std::string>(), kLimitBytes);
      if (!expected) {
        ADD_FAILURE() << expected.error().text();
        continue;
      }
      EXPECT_EQ(session.outputs()[i].datatype, request.output(i).datatype);
      int outside = 0;
      const double largest = compare(*expected, request.output(i), quantised_limit, float_limit, outside);
      EXPECT_EQ(outside, 0) << "output " << i << ", largest difference " << largest;
      text += (text.empty() ? "largest difference " : ", ") + std::to_string(largest);
    }
    return text.empty() ? "no golden output" : text;
  }

  EngineCatalogue catalogue_{default_engine_folder()};
  std::filesystem::path data_;
  nlohmann::json golden_;
};

TEST_P(Golden, EveryModel) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "every model takes minutes under ThreadSanitizer; conformance runs the engine's threads there";
#endif
  std::printf("%-9s %-52s %11s %11s\n", "engine", "model", "1 thread", "2 threads");
  for (const auto& entry : golden_) {
    const std::string model = entry.at("model");
    if (GetParam() == "litert" && format_of(model) != "tflite") continue;  // ONNX is not its format.
    run_entry(entry);
  }
}

// One package definition must mean the same in both engines that read its file.
TEST_P(Golden, TensorsAreThoseOfTheFile) {
  if (GetParam() != "openvino" || !catalogue_.info("litert")) GTEST_SKIP() << "compared once, with both engines";
  for (const auto& entry : golden_) {
    const std::string model = entry.at("model");
    if (format_of(model) != "tflite" || refusal("openvino", model) != nullptr) continue;
    SCOPED_TRACE(model);
    SessionOptions options;
    options.format = "tflite";
    auto openvino = catalogue_.load("openvino", data_ / "models" / model, options);
    auto litert = catalogue_.load("litert", data_ / "models" / model, options);
    ASSERT_TRUE(openvino && litert);
    for (const auto& [a, b] : {std::pair((*openvino)->inputs(), (*litert)->inputs()),
                               std::pair((*openvino)->outputs(), (*litert)->outputs())}) {
      ASSERT_EQ(a.size(), b.size());
      for (std::size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i], b[i]) << describe(a[i]) << " and " << describe(b[i]);
        const bool is_integer = a[i].datatype == DataType::uint8 || a[i].datatype == DataType::int8;
        EXPECT_EQ(a[i].quantisation.has_value(), is_integer) << a[i].name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, Golden, ::testing::Values("openvino", "litert"),
                         [](const auto& each) { return each.param; });

struct OtherFormat {
  std::string model;
  std::string format;
};

// Formats of which expected.json has no golden tensors: TensorFlow's frozen graph and SavedModel folder.
TEST(OtherFormats, OpenvinoReadsTensorflow) {
  VERGE_TEST_DATA_OR_SKIP(data);
  EngineCatalogue catalogue(default_engine_folder());
  if (!catalogue.info("openvino")) GTEST_SKIP() << "this build has no engine 'openvino'";
  for (const auto& [model, format] :
       {OtherFormat{"cls/resnet8_cifar10/tf_frozen/model.pb", "tensorflow"},
        OtherFormat{"seg/unet_person/model.pb", "tensorflow"}, OtherFormat{"audio/kws/saved_model", "tensorflow"}}) {
    SessionOptions options;
    options.format = format;
    auto session = catalogue.load("openvino", data / "models" / model, options);
    ASSERT_TRUE(session) << session.error().text();
    auto request = (*session)->create_request();
    ASSERT_TRUE(request) << request.error().text();
    const auto ran = request->run();
    ASSERT_TRUE(ran) << ran.error().text();
    std::printf("openvino  %-52s %s -> %s\n", model.c_str(), describe((*session)->inputs()[0]).c_str(),
                describe((*session)->outputs()[0]).c_str());
  }
}

}  // namespace
}  // namespace verge::processing
