#include "tensor_answer.hpp"

#include <cstring>

#include <fmt/format.h>

namespace verge::data_processing {
namespace {

constexpr auto kLastType = static_cast<std::uint32_t>(processing::DataType::bf16);

bool allows(std::span<const std::int64_t> declared, std::span<const std::int64_t> got) {
  if (declared.size() != got.size()) return false;
  for (std::size_t i = 0; i < declared.size(); ++i) {
    if (declared[i] < 0 ? got[i] < 1 : declared[i] != got[i]) return false;
  }
  return true;
}

Error wrong(const processing::TensorSpec& spec, const std::string& got) {
  return Error(
      ErrorCode::internal, "VRG-STP-006",
      fmt::format("the custom preprocessing step: expected {} for the input '{}', got {}; correct the function",
                  processing::describe(spec), spec.name, got));
}

}  // namespace

Result<void> read_tensors(std::span<const std::byte> content, std::span<const processing::TensorSpec> specs,
                          std::span<const std::byte> made, std::vector<StepTensor>& tensors,
                          std::vector<processing::TensorView>& views) {
  const std::size_t count = content.size() / sizeof(StepTensor);
  if (count != specs.size() || content.size() % sizeof(StepTensor) != 0) {
    return Error(ErrorCode::internal, "VRG-STP-006",
                 fmt::format("the custom preprocessing step: expected {} tensors, one for each input of the model, got "
                             "{}; correct the function",
                             specs.size(), count));
  }
  tensors.resize(count);
  views.resize(count);
  if (count > 0) std::memcpy(tensors.data(), content.data(), content.size());
  for (std::size_t i = 0; i < count; ++i) {
    const StepTensor& tensor = tensors[i];
    if (tensor.datatype > kLastType || tensor.rank > kMaxRank) return wrong(specs[i], "something that is no tensor");
    const auto type = static_cast<processing::DataType>(tensor.datatype);
    if (type != specs[i].datatype || !allows(specs[i].shape, tensor.dimensions())) {
      return wrong(specs[i], fmt::format("{}{}", processing::name(type), processing::describe(tensor.dimensions())));
    }
    const auto elements = processing::element_count(tensor.dimensions());
    std::size_t size = 0;
    if (!elements || __builtin_mul_overflow(*elements, processing::size_bytes(type), &size) ||
        size != tensor.size_bytes || tensor.offset_bytes > made.size() || size > made.size() - tensor.offset_bytes) {
      return wrong(specs[i], fmt::format("{} bytes at {} for {}{}", tensor.size_bytes, tensor.offset_bytes,
                                         processing::name(type), processing::describe(tensor.dimensions())));
    }
    // Only read through: the view has no other form.
    views[i] = {type, tensor.dimensions(), const_cast<std::byte*>(made.data()) + tensor.offset_bytes, size};
  }
  return {};
}

}  // namespace verge::data_processing
