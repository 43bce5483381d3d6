// Damaged real models: whatever is in a file, an engine answers with a status. Each try runs in a process of its own,
// because a crash inside a vendor's library must be seen as one.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <gtest/gtest.h>

#include "plugin_under_test.hpp"
#include "verge/base/file.hpp"
#include "verge/test_support/test_data.hpp"

namespace verge::test {
namespace {

struct DamageCase {
  std::string engine;
  std::string model;
  int tries;
  std::size_t edge_bytes = 16'384;  ///< Structure lies at the ends of these files, and weights between.
  std::string inputs = {};          ///< The option "inputs".
};

/// VERGE_DAMAGE_FACTOR (environment) multiplies the tries, for a long run with other damage; VERGE_DAMAGE_KEEP names a
/// folder for the files that crashed.
int factor() {
  const char* set = std::getenv("VERGE_DAMAGE_FACTOR");
  return set == nullptr ? 1 : std::max(1, std::atoi(set));
}

std::string format_of(const std::string& extension) {
  static const std::map<std::string, std::string> kOthers{
      {".pb", "tensorflow"}, {".pte", "executorch"}, {".pt", "torchscript"}, {".ptl", "torchscript"}};
  const auto found = kOthers.find(extension);
  return found == kOthers.end() ? extension.substr(1) : found->second;
}

void PrintTo(const DamageCase& damage, std::ostream* out) {
  *out << damage.engine << " " << damage.model;
}

class Damage : public ::testing::TestWithParam<DamageCase> {};

/// A damaged file may ask for any amount of memory: it is refused, and no other process pays for it.
void limit_memory() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit limit{rlim_t{8} << 30U, rlim_t{8} << 30U};
  ::setrlimit(RLIMIT_AS, &limit);
#endif
}

/// 0: loaded and ran; 10 + status: refused; 200: refused without a message; a signal's number + 128: crashed.
int try_model(const verge_engine_api* api, const std::string& path, const std::string& format,
              const std::string& inputs) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    limit_memory();
    verge_engine_load load = load_of(path, format);
    const verge_engine_option option{"inputs", inputs.c_str()};
    load.options = &option;
    load.option_count = inputs.empty() ? 0 : 1;
    verge_engine_session* session = nullptr;
    verge_engine_error error{};
    auto status = api->session_create(&load, &session, &error);
    verge_engine_request* request = nullptr;
    if (status == VERGE_ENGINE_OK) status = api->request_create(session, &request, &error);
    if (status == VERGE_ENGINE_OK) status = api->request_run(request, &error);
    if (status != VERGE_ENGINE_OK && error.message[0] == '\0') ::_exit(200);
    ::_exit(status == VERGE_ENGINE_OK ? 0 : 10 + status);
  }
  int result = 0;
  ::waitpid(child, &result, 0);
  return WIFSIGNALED(result) ? 128 + WTERMSIG(result) : WEXITSTATUS(result);
}

TEST_P(Damage, IsAnsweredWithAStatus) {
  VERGE_TEST_DATA_OR_SKIP(data);
  const verge_engine_api* api = load_plugin(GetParam().engine);
  if (api == nullptr) GTEST_SKIP() << "this build has no engine '" << GetParam().engine << "'";
  auto folder = TemporaryFolder::create("verge_damage");
  ASSERT_TRUE(folder);
  const std::string whole = *read_text(data / "models" / GetParam().model, std::uint64_t{1} << 30U);
  const std::string extension = std::filesystem::path(GetParam().model).extension();
  const std::string format = format_of(extension);
  const std::string path = folder->path() / ("model" + extension);
  std::mt19937 random(20261124);
  int ran = 0;
  int refused = 0;
  int crashed = 0;
  const int tries = GetParam().tries * factor();
  for (int i = 0; i < tries; ++i) {
    std::string content = whole;
    // A third of the tries cut the file.
    const std::size_t edge = std::min<std::size_t>(content.size() / 2, GetParam().edge_bytes);
    const int flips = 1 + static_cast<int>(random() % 8);
    for (int flip = 0; flip < flips; ++flip) {
      const std::size_t at = random() % edge;
      const std::size_t position = random() % 2 == 0 ? at : content.size() - 1 - at;
      content[position] = static_cast<char>(static_cast<unsigned char>(content[position]) ^ (1U << (random() % 8)));
    }
    if (i % 3 == 0) content.resize(random() % content.size());
    std::ofstream(path, std::ios::binary) << content;
    const int result = try_model(api, path, format, GetParam().inputs);
    EXPECT_NE(result, 200) << "refused without a message";
    if (result >= 128 && result != 200) {
      ++crashed;
      std::printf("  try %d: signal %d\n", i, result - 128);
      if (const char* keep = std::getenv("VERGE_DAMAGE_KEEP")) {
        std::filesystem::copy_file(path, std::filesystem::path(keep) / (std::to_string(i) + extension),
                                   std::filesystem::copy_options::overwrite_existing);
      }
    }
    ran += result == 0 ? 1 : 0;
    refused += result >= 10 && result < 128 ? 1 : 0;
  }
  std::printf("%-9s %-48s ran %d, refused %d, crashed %d of %d\n", GetParam().engine.c_str(), GetParam().model.c_str(),
              ran, refused, crashed, tries);
  EXPECT_EQ(crashed, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Engines, Damage,
    ::testing::Values(DamageCase{"litert", "audio/kws/kws_ref_model.tflite", 150},
                      DamageCase{"litert", "tabular/ad01/ad01_fp32.tflite", 60},
                      DamageCase{"litert", "cls/resnet8_cifar10/pretrainedResnet_quant.tflite", 150},
                      DamageCase{"litert", "det/coco_ssd_mobilenet_v1_quant.tflite", 40},
                      DamageCase{"openvino", "audio/kws/kws_ref_model.tflite", 60},
                      DamageCase{"openvino", "cls/mnist.onnx", 60},
                      DamageCase{"openvino", "cls/resnet8_cifar10/tf_frozen/model.pb", 40},
                      // 24 KiB of program, then 50 KiB of XNNPACK's graph.
                      DamageCase{"executorch", "cls/efficientnet_lite0/efficientnet_lite0_int8.pte", 100, 76'000},
                      // The lists of the archive and the code lie anywhere in it.
                      DamageCase{"torch", "cls/resnet8_cifar10/resnet8_cifar10.pt", 100, 180'000, "x FP32 [1,3,32,32]"},
                      DamageCase{"torch", "cls/resnet8_cifar10/resnet8_cifar10.ptl", 100, 180'000,
                                 "x FP32 [1,3,32,32]"}));

}  // namespace
}  // namespace verge::test
