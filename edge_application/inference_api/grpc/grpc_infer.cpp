// ModelInfer's request and response.
#include <limits>

#include <fmt/format.h>

#include "grpc_service.hpp"

namespace verge::inference_api {
namespace {

using inference::InferTensorContents;
using Parameters = google::protobuf::Map<std::string, inference::InferParameter>;
using processing::DataType;
using processing::TensorSpec;
using processing::TensorView;

Error malformed(std::string_view id, std::string message) {
  return Error(ErrorCode::invalid_argument, id, std::move(message));
}

Result<std::uint64_t> count_of(const Parameters& parameters, const char* name) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) return std::uint64_t{0};
  const auto& value = found->second;
  if (value.parameter_choice_case() == inference::InferParameter::kUint64Param) return value.uint64_param();
  if (value.parameter_choice_case() == inference::InferParameter::kInt64Param && value.int64_param() >= 0) {
    return static_cast<std::uint64_t>(value.int64_param());
  }
  return malformed("VRG-API-014", fmt::format("expected the parameter '{}' as a whole number from 0 on", name));
}

/// Nothing when no region is named.
Result<std::optional<SharedMemoryPart>> part_of(const Parameters& parameters) {
  const auto found = parameters.find("shared_memory_region");
  if (found == parameters.end()) return std::optional<SharedMemoryPart>();
  SharedMemoryPart part;
  part.region = found->second.string_param();
  VERGE_ASSIGN(part.size_bytes, count_of(parameters, "shared_memory_byte_size"));
  VERGE_ASSIGN(part.offset_bytes, count_of(parameters, "shared_memory_offset"));
  return std::optional(std::move(part));
}

/// False when there are too many, too few, or one does not fit.
template <typename T, typename Values>
bool copy_values(const Values& values, const TensorView& tensor) {
  const auto out = tensor.as<T>();
  if (static_cast<std::size_t>(values.size()) != out.size()) return false;
  for (int i = 0; i < values.size(); ++i) {
    const auto value = values[i];
    if constexpr (std::is_integral_v<T> && sizeof(T) < sizeof(value)) {
      if (value < std::numeric_limits<T>::lowest() || value > std::numeric_limits<T>::max()) return false;
    }
    out[static_cast<std::size_t>(i)] = static_cast<T>(value);
  }
  return true;
}

bool copy_contents(const InferTensorContents& contents, const TensorView& tensor) {
  switch (tensor.datatype) {
    case DataType::bool_: return copy_values<std::uint8_t>(contents.bool_contents(), tensor);
    case DataType::int8: return copy_values<std::int8_t>(contents.int_contents(), tensor);
    case DataType::int16: return copy_values<std::int16_t>(contents.int_contents(), tensor);
    case DataType::int32: return copy_values<std::int32_t>(contents.int_contents(), tensor);
    case DataType::int64: return copy_values<std::int64_t>(contents.int64_contents(), tensor);
    case DataType::uint8: return copy_values<std::uint8_t>(contents.uint_contents(), tensor);
    case DataType::uint16: return copy_values<std::uint16_t>(contents.uint_contents(), tensor);
    case DataType::uint32: return copy_values<std::uint32_t>(contents.uint_contents(), tensor);
    case DataType::uint64: return copy_values<std::uint64_t>(contents.uint64_contents(), tensor);
    case DataType::fp32: return copy_values<float>(contents.fp32_contents(), tensor);
    case DataType::fp64: return copy_values<double>(contents.fp64_contents(), tensor);
    case DataType::fp16:
    case DataType::bf16:
    case DataType::bytes: return false;  // Only as raw bytes.
  }
  return false;
}

FillTensor fill_from(const InferTensorContents& contents) {
  return [&contents](const TensorSpec& spec, const TensorView& tensor) -> Result<void> {
    if (copy_contents(contents, tensor)) return {};
    const auto expected = processing::element_count(tensor.shape).value_or(0);
    return malformed(
        "VRG-API-013",
        fmt::format("input '{}': expected {} {} values in the field of 'contents' that is its type's, each "
                    "in its range, or {} bytes in 'raw_input_contents' (the only way for FP16)",
                    spec.name, expected, processing::name(spec.datatype), tensor.size_bytes));
  };
}

Result<void> read_inputs(const inference::ModelInferRequest& request, InferCall& call) {
  int next_raw = 0;
  const int raw_count = request.raw_input_contents_size();
  for (const auto& given : request.inputs()) {
    GivenInput& input = call.inputs.emplace_back();
    input.name = given.name();
    input.datatype = given.datatype();
    input.shape.assign(given.shape().begin(), given.shape().end());
    VERGE_ASSIGN(auto part, part_of(given.parameters()));
    if (part) {
      input.content = std::move(*part);
    } else if (raw_count == 0) {
      if (given.has_contents()) input.content = fill_from(given.contents());
    } else if (given.has_contents() || next_raw == raw_count) {
      return malformed(
          "VRG-API-014",
          fmt::format("input '{}': expected its bytes in 'raw_input_contents', which has one for each input "
                      "that is not in shared memory, and no 'contents' beside it; got {} for {} inputs",
                      input.name, raw_count, request.inputs_size()));
    } else {
      const auto& raw = request.raw_input_contents(next_raw++);
      input.content = std::as_bytes(std::span(raw));
    }
  }
  if (next_raw == raw_count) return {};
  return malformed("VRG-API-014", fmt::format("expected as many 'raw_input_contents' as inputs that are not in shared "
                                              "memory, {}, got {}",
                                              next_raw, raw_count));
}

void write_part(const SharedMemoryPart& part, Parameters& parameters) {
  parameters["shared_memory_region"].set_string_param(part.region);
  parameters["shared_memory_offset"].set_int64_param(static_cast<std::int64_t>(part.offset_bytes));
  parameters["shared_memory_byte_size"].set_int64_param(static_cast<std::int64_t>(part.size_bytes));
}

}  // namespace

Result<InferCall> read_infer_request(const inference::ModelInferRequest& request) {
  InferCall call;
  call.request_bytes = request.ByteSizeLong();
  if (!request.id().empty()) call.id = request.id();
  VERGE_ASSIGN(call.priority, count_of(request.parameters(), "priority"));
  VERGE_ASSIGN(call.timeout_us, count_of(request.parameters(), "timeout"));
  VERGE_TRY(read_inputs(request, call));
  for (const auto& wanted : request.outputs()) {
    WantedOutput& output = call.outputs.emplace_back();
    output.name = wanted.name();
    VERGE_ASSIGN(const auto classes, count_of(wanted.parameters(), "classification"));
    if (classes > 0) {
      return malformed("VRG-API-016",
                       "outputs as classes ('classification') are not served by infer; ask …/predict over HTTP, whose "
                       "answer has the labels, or leave the parameter out");
    }
    VERGE_ASSIGN(output.destination, part_of(wanted.parameters()));
  }
  return call;
}

void write_infer_response(const InferCall& call, const ServedModel& model, const InferAnswer& answer,
                          inference::ModelInferResponse& response) {
  response.set_model_name(model.name);
  response.set_model_version(model.version());
  if (call.id) response.set_id(*call.id);
  bool any_raw = false;
  for (const auto& output : answer.outputs) any_raw = any_raw || !output.destination;
  for (const auto& output : answer.outputs) {
    auto& tensor = *response.add_outputs();
    tensor.set_name(output.spec->name);
    tensor.set_datatype(std::string(processing::name(output.tensor.datatype)));
    tensor.mutable_shape()->Add(output.tensor.shape.begin(), output.tensor.shape.end());
    if (output.destination) write_part(*output.destination, *tensor.mutable_parameters());
    if (!any_raw) continue;
    auto& raw = *response.add_raw_output_contents();  // One for each output, so that clients count right.
    if (!output.destination) raw.assign(reinterpret_cast<const char*>(output.tensor.data), output.tensor.size_bytes);
  }
}

}  // namespace verge::inference_api
