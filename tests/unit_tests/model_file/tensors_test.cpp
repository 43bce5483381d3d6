// Tensors of real files and of made ones, and of files that are none.
#include <algorithm>
#include <cstring>
#include <random>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/model_file/tensors.hpp"
#include "verge/test_support/test_data.hpp"

namespace verge::model_file {
namespace {

using ::testing::SizeIs;

struct Real {
  const char* path;
  std::size_t tensors;  ///< At least so many.
  double part;          ///< Of the file, in tensors, at least.
  ElementKind of_largest;
};

class RealFile : public ::testing::TestWithParam<Real> {};

TEST_P(RealFile, MostOfItIsTensors) {
  VERGE_TEST_DATA_OR_SKIP(data);
  const auto file = read_file(data / "models" / GetParam().path, std::uint64_t{64} << 20U);
  ASSERT_TRUE(file) << file.error().text();
  const auto tensors = find_tensors(*file);
  EXPECT_GE(tensors.size(), GetParam().tensors);
  ASSERT_FALSE(tensors.empty());
  std::uint64_t sum = 0;
  std::uint64_t end = 0;
  for (const auto& tensor : tensors) {
    EXPECT_GE(tensor.offset_bytes, end) << tensor.name;
    EXPECT_EQ(tensor.size_bytes % size_bytes(tensor.kind), 0U);
    EXPECT_FALSE(tensor.name.empty());
    end = tensor.offset_bytes + tensor.size_bytes;
    sum += tensor.size_bytes;
  }
  EXPECT_LE(end, file->size());
  EXPECT_GE(static_cast<double>(sum), GetParam().part * static_cast<double>(file->size()));
  EXPECT_EQ(std::ranges::max(tensors, {}, &FileTensor::size_bytes).kind, GetParam().of_largest);
  // Half a file gives what can be told of it, and no more.
  for (const std::size_t part : {file->size() / 2, file->size() / 3, std::size_t{100}}) {
    for (const auto& tensor : find_tensors(std::span(*file).first(part))) {
      EXPECT_LE(tensor.offset_bytes + tensor.size_bytes, part);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, RealFile,
    ::testing::Values(Real{"cls/efficientnet_lite0/efficientnet_lite0.onnx", 50, 0.98, ElementKind::float32},
                      Real{"det/yolox_nano.onnx", 50, 0.95, ElementKind::float32},
                      Real{"cls/mobilenet_v1_0.25_224_float.tflite", 20, 0.95, ElementKind::float32},
                      Real{"cls/mobilenet_v2_1.0_224_quant.tflite", 50, 0.9, ElementKind::int8},
                      Real{"cls/efficientnet_lite0/efficientnet_lite0_fp32.pte", 1, 0.9, ElementKind::float32},
                      Real{"cls/efficientnet_lite0/efficientnet_lite0_int8.pte", 1, 0.8, ElementKind::int8}));

std::vector<std::byte> safetensors(const std::string& header, std::size_t content) {
  std::vector<std::byte> file(8 + header.size() + content);
  const std::uint64_t size = header.size();
  std::memcpy(file.data(), &size, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  return file;
}

TEST(Safetensors, AreReadFromTheirHeader) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[1024],"data_offsets":[4096,6144]},)"
      R"("a":{"dtype":"F32","shape":[32,32],"data_offsets":[0,4096]}})";
  const auto tensors = find_tensors(safetensors(header, 6144));
  ASSERT_THAT(tensors, SizeIs(2));
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_EQ(tensors[0].kind, ElementKind::float32);
  EXPECT_EQ(tensors[0].offset_bytes, 8 + header.size());
  EXPECT_EQ(tensors[1].kind, ElementKind::bfloat16);
  EXPECT_EQ(tensors[1].size_bytes, 2048U);
}

TEST(Safetensors, OffsetsAreNotBelieved) {
  for (const char* offsets : {"[0,99999999]", "[4096,0]", "[-1,2000]", "[0]", "[0,2000,3000]", "\"no\"",
                              "[9223372036854775807,9223372036854775807]", "[1e300,2]"}) {
    const auto header = std::string(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)") + offsets + "}}";
    EXPECT_THAT(find_tensors(safetensors(header, 4096)), SizeIs(0)) << offsets;
  }
  auto file = safetensors("{}", 10);
  file[7] = std::byte{0xFF};
  EXPECT_THAT(find_tensors(file), SizeIs(0));
}

TEST(OpenvinoIr, TellsOfItsWeights) {
  const std::string xml =
      R"(<net><layers><layer id="0" name="w" type="Const" version="opset1"><data element_type="f32" shape="32, 32" offset="64" size="4096"/>)"
      R"(</layer><layer id="1" name="again" type="Const"><data element_type="f32" shape="32, 32" offset="64" size="4096"/></layer>)"
      R"(<layer id="2" name="q" type="Const"><data element_type="i8" shape="2048" offset="4160" size="2048"/></layer>)"
      R"(<layer id="3" name="far" type="Const"><data element_type="f16" shape="1" offset="6000" size="18446744073709551615"/></layer>)"
      R"(<layer id="4" name="p" type="Parameter"><data element_type="f32" offset="0" size="4096" shape="1"/></layer></layers></net>)";
  const auto tensors = find_ir_tensors(xml, 8192);
  ASSERT_THAT(tensors, SizeIs(2));
  EXPECT_EQ(tensors[0].name, "w");
  EXPECT_EQ(tensors[0].kind, ElementKind::float32);
  EXPECT_EQ(tensors[1].kind, ElementKind::int8);
  EXPECT_EQ(tensors[1].offset_bytes, 4160U);
  EXPECT_THAT(find_ir_tensors(xml.substr(0, 100), 8192), SizeIs(0));
}

TEST(OtherFiles, HaveNoTensorsAndDoNoHarm) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::byte> file(random() % 300);
    for (auto& byte : file) byte = static_cast<std::byte>(random() & 255U);
    if (round % 4 == 1 && file.size() > 8) std::memcpy(file.data() + 4, "TFL3", 4);
    if (round % 4 == 2 && file.size() > 8) std::memcpy(file.data() + 4, "ET12", 4);
    if (round % 4 == 3 && file.size() > 9) file[8] = std::byte{'{'};
    EXPECT_THAT(find_tensors(file), SizeIs(0));
  }
}

}  // namespace
}  // namespace verge::model_file
