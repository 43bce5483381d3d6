#include "plugin_under_test.hpp"

#include <cstring>

#include <dlfcn.h>

namespace verge::test {
namespace {

constexpr const char* kFakeModel = "verge-fake 1\ninput x FP32 [1,8]\noutput y FP32 [1,8]\nfunction identity\n";
constexpr const char* kFakeVariable = "verge-fake 1\ninput x FP32 [-1,8]\noutput y FP32 [-1,8]\nfunction identity\n";

verge_engine_tensor empty_tensor() {
  verge_engine_tensor tensor{};
  tensor.struct_size = sizeof(tensor);
  return tensor;
}

}  // namespace

const std::vector<EngineCase>& engine_cases() {
  static const std::vector<EngineCase> kCases{
      {"fake", "fake", kFakeModel, kFakeVariable, false},
      {"openvino", "onnx", "models/cls/mobilenet_v1_0.25_224_float.onnx",
       "models/cls/resnet8_cifar10/resnet8_cifar10.onnx", true},
      {"litert", "tflite", "models/cls/mobilenet_v1_0.25_224_quant.tflite",
       "models/cls/resnet8_cifar10/pretrainedResnet.tflite", true},
      // A program says how large its inputs may be, not which size varies.
      {"executorch", "executorch", "models/cls/efficientnet_lite0/efficientnet_lite0_int8.pte", "", true},
      {"torch", "torchscript", "models/cls/resnet8_cifar10/resnet8_cifar10.ptl",
       "models/cls/resnet8_cifar10/resnet8_cifar10.pt", true, "x FP32 [1,3,32,32]", "x FP32 [-1,3,32,32]"}};
  return kCases;
}

verge_engine_entry_function plugin_entry(const std::string& name) {
  const std::string path = std::string(VERGE_ENGINE_FOLDER) + "/libverge_engine_" + name + ".so";
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  return reinterpret_cast<verge_engine_entry_function>(::dlsym(library, "verge_engine_entry"));
}

const verge_engine_api* load_plugin(const std::string& name) {
  const auto entry = plugin_entry(name);
  return entry == nullptr ? nullptr : entry(VERGE_ENGINE_ABI_MAJOR);
}

verge_engine_tensor RequestHolder::input(std::uint32_t index) {
  verge_engine_tensor tensor = empty_tensor();
  api->request_input(request, index, &tensor, &error);
  return tensor;
}

verge_engine_tensor RequestHolder::output(std::uint32_t index) {
  verge_engine_tensor tensor = empty_tensor();
  api->request_output(request, index, &tensor, &error);
  return tensor;
}

verge_engine_load load_of(const std::string& path, const std::string& format) {
  verge_engine_load load{};
  load.struct_size = sizeof(load);
  load.model_path = path.c_str();
  load.format = format.c_str();
  load.threads = 1;
  load.max_requests = 2;
  return load;
}

void fill(const verge_engine_tensor& tensor, unsigned seed) {
  unsigned state = seed * 2654435761U + 1U;
  const auto next = [&state] { return (state = state * 1664525U + 1013904223U) >> 24U; };
  if (tensor.datatype == VERGE_ENGINE_FP32) {
    auto* values = static_cast<float*>(tensor.data);
    for (std::size_t i = 0; i < tensor.size_bytes / sizeof(float); ++i) values[i] = static_cast<float>(next()) / 256.0F;
    return;
  }
  auto* values = static_cast<unsigned char*>(tensor.data);
  for (std::size_t i = 0; i < tensor.size_bytes; ++i) values[i] = static_cast<unsigned char>(next());
}

std::vector<unsigned char> bytes_of(const verge_engine_tensor& tensor) {
  const auto* data = static_cast<const unsigned char*>(tensor.data);
  return {data, data + tensor.size_bytes};
}

}  // namespace verge::test
