#include "bench_sample.hpp"

#include <algorithm>

#include "verge/base/file.hpp"

namespace verge::cli {
namespace {

constexpr std::uint64_t kSampleLimitBytes = std::uint64_t{256} << 20U;

std::vector<std::int64_t> smallest(const processing::TensorSpec& spec) {
  auto shape = spec.shape;
  std::ranges::replace_if(
      shape, [](std::int64_t size) { return size < 0; }, 1);
  return shape;
}

Result<void> read_golden(const package::ModelPackage& package, BenchSample& sample) {
  for (const auto& golden : package.golden.samples) {
    if (golden.image && sample.is_image) {
      VERGE_ASSIGN(const auto path, package.file("golden", *golden.image));
      VERGE_ASSIGN(sample.content, read_file(path, kSampleLimitBytes));
      sample.name = *golden.image;
      return {};
    }
    if (golden.tensors.empty() || sample.is_image) continue;
    for (const auto& tensor : golden.tensors) {
      VERGE_ASSIGN(const auto path, package.file("golden", tensor));
      VERGE_ASSIGN(auto content, read_file(path, kSampleLimitBytes));
      sample.inputs.push_back(std::move(content));
    }
    sample.name = golden.name;
    return {};
  }
  return {};
}

}  // namespace

Result<BenchSample> bench_sample(processing::Worker& worker, const std::string& image) {
  const auto& model = worker.model();
  BenchSample sample;
  sample.is_image = model.takes_image();
  if (!image.empty()) {
    VERGE_ASSIGN(sample.content, read_file(image, kSampleLimitBytes));
    sample.name = image;
  } else {
    VERGE_TRY(read_golden(model.package(), sample));
  }
  if (sample.is_image && sample.content.empty()) {
    return Error(ErrorCode::invalid_argument, "VRG-CLI-030",
                 "this model takes pictures and its package has no golden one; give --image FILE");
  }
  if (sample.is_image) VERGE_TRY(worker.predict_encoded(sample.content));
  if (sample.inputs.empty()) {
    for (std::size_t i = 0; i < model.inputs().size(); ++i) {
      VERGE_ASSIGN(const auto tensor, worker.input(i, smallest(model.inputs()[i])));
      sample.inputs.emplace_back(tensor.data, tensor.data + tensor.size_bytes);
    }
    if (sample.name.empty()) sample.name = "zeros";
  }
  if (!sample.is_image) sample.content = sample.inputs.front();
  return sample;
}

Result<void> predict(processing::Worker& worker, const BenchSample& sample) {
  if (sample.is_image) {
    VERGE_TRY(worker.predict_encoded(sample.content));
  } else {
    VERGE_TRY(worker.predict_tensors(sample.inputs));
  }
  return {};
}

}  // namespace verge::cli
