#include <charconv>
#include <cstring>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "api.hpp"

namespace verge::inference_api {
namespace {

using nlohmann::json;
using processing::DataType;
using processing::TensorView;

constexpr int kDepthLimit = 16;  // A tensor has at most 8 dimensions.

Error malformed(std::string_view id, std::string message) {
  return Error(ErrorCode::invalid_argument, id, std::move(message));
}

/// Refuses documents that nest too deep before the parser builds them.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDepthLimit) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

std::string example(const processing::TensorSpec& spec) {
  auto shape = spec.shape;
  for (auto& dimension : shape) dimension = dimension < 0 ? 1 : dimension;
  return fmt::format(R"({{"name":"{}","datatype":"{}","shape":{},"data":[…]}})", spec.name,
                     processing::name(spec.datatype), processing::describe(shape));
}

template <typename T>
bool put_number(const json& value, T& out) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
    if (!value.is_number()) return false;
    out = static_cast<T>(value.get<double>());
    return true;
  } else {
    if (value.is_number_unsigned()) {
      const auto number = value.get<std::uint64_t>();
      if (number > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) return false;
      out = static_cast<T>(number);
      return true;
    }
    if (value.is_number_integer()) {
      const auto number = value.get<std::int64_t>();
      if (number < static_cast<std::int64_t>(std::numeric_limits<T>::lowest())) return false;
      out = static_cast<T>(number);
      return true;
    }
    return false;
  }
}

/// Writes nested or flat numbers row by row; false on a wrong element or too many.
template <typename T>
bool put_numbers(const json& data, std::span<T> out, std::size_t& at) {
  for (const auto& item : data) {
    if (item.is_array()) {
      if (!put_numbers(item, out, at)) return false;
    } else if (at == out.size() || !put_number(item, out[at])) {
      return false;
    } else {
      ++at;
    }
  }
  return true;
}

bool put_booleans(const json& data, std::span<std::uint8_t> out, std::size_t& at) {
  for (const auto& item : data) {
    if (item.is_array()) {
      if (!put_booleans(item, out, at)) return false;
    } else if (at == out.size() || !(item.is_boolean() || item == 0 || item == 1)) {
      return false;
    } else {
      out[at++] = (item.is_boolean() ? item.get<bool>() : item == 1) ? 1 : 0;
    }
  }
  return true;
}

bool put_halves(const json& data, std::span<std::uint16_t> out, std::size_t& at) {
  for (const auto& item : data) {
    if (item.is_array()) {
      if (!put_halves(item, out, at)) return false;
    } else if (at == out.size() || !item.is_number()) {
      return false;
    } else {
      out[at++] = processing::float_to_half(item.get<float>());
    }
  }
  return true;
}

Result<void> put_json_data(const json& data, const processing::TensorSpec& spec, const TensorView& tensor) {
  std::size_t at = 0;
  bool fits = false;
  const auto put = [&]<typename T>(T) { fits = put_numbers(data, tensor.as<T>(), at); };
  switch (tensor.datatype) {
    case DataType::fp32: put(float{}); break;
    case DataType::fp64: put(double{}); break;
    case DataType::uint8: put(std::uint8_t{}); break;
    case DataType::uint16: put(std::uint16_t{}); break;
    case DataType::uint32: put(std::uint32_t{}); break;
    case DataType::uint64: put(std::uint64_t{}); break;
    case DataType::int8: put(std::int8_t{}); break;
    case DataType::int16: put(std::int16_t{}); break;
    case DataType::int32: put(std::int32_t{}); break;
    case DataType::int64: put(std::int64_t{}); break;
    case DataType::bool_: fits = put_booleans(data, tensor.as<std::uint8_t>(), at); break;
    case DataType::fp16: fits = put_halves(data, tensor.as<std::uint16_t>(), at); break;
    default: break;
  }
  const auto expected = processing::element_count(tensor.shape).value_or(0);
  if (fits && at == expected) return {};
  return malformed("VRG-API-013",
                   fmt::format("input '{}': expected {} {} values in 'data', got {}{}; for example {}", spec.name,
                               expected, processing::name(spec.datatype), at,
                               fits ? "" : " and then one that does not fit (too many, too large, or of another type)",
                               example(spec)));
}

struct BinaryPart {
  std::span<const std::byte> rest;
  std::size_t request_bytes = 0;  ///< Of the whole request.
};

Result<std::vector<std::int64_t>> read_shape(const json& input, const processing::TensorSpec& spec) {
  const auto found = input.find("shape");
  std::vector<std::int64_t> shape;
  bool valid = found != input.end() && found->is_array() && found->size() <= 8;
  for (std::size_t i = 0; valid && i < found->size(); ++i) {
    valid = (*found)[i].is_number_integer() && (*found)[i].get<std::int64_t>() >= 0 &&
            (*found)[i].get<std::int64_t>() <= (std::int64_t{1} << 31);
    if (valid) shape.push_back((*found)[i].get<std::int64_t>());
  }
  if (valid) return shape;
  return malformed("VRG-API-012",
                   fmt::format("input '{}': expected 'shape' as a list of whole numbers, got {}; for "
                               "example {}",
                               spec.name, found == input.end() ? "none" : found->dump().substr(0, 80), example(spec)));
}

Result<void> read_input(const json& input, std::size_t index, processing::Worker& worker, BinaryPart& binary) {
  const auto& spec = worker.model().inputs()[index];
  const auto given_type = input.find("datatype");
  const auto type =
      given_type != input.end() && given_type->is_string() ? given_type->get<std::string>() : std::string();
  if (type != processing::name(spec.datatype)) {
    return malformed("VRG-API-011", fmt::format("input '{}': expected datatype {}, got '{}'; for example {}", spec.name,
                                                processing::name(spec.datatype), type, example(spec)));
  }
  VERGE_ASSIGN(const auto shape, read_shape(input, spec));
  // A variable dimension is the client's word: memory is taken only for what the request can hold (a byte a value).
  const auto elements = processing::element_count(shape);
  const bool variable = !processing::element_count(spec.shape);
  if (variable && (!elements || *elements > binary.request_bytes)) {
    return malformed("VRG-API-012",
                     fmt::format("input '{}': the shape {} holds more values than the request's {} bytes", spec.name,
                                 processing::describe(shape), binary.request_bytes));
  }
  auto tensor = worker.input(index, shape);
  if (!tensor) {
    return malformed("VRG-API-012", fmt::format("{}; for example {}", tensor.error().message(), example(spec)));
  }
  const auto parameters = input.find("parameters");
  if (parameters != input.end() && parameters->is_object() && parameters->contains("binary_data_size")) {
    const auto& given = (*parameters)["binary_data_size"];
    const auto size = given.is_number_unsigned() ? given.get<std::uint64_t>() : ~std::uint64_t{0};
    if (size != tensor->size_bytes || size > binary.rest.size()) {
      return malformed(
          "VRG-API-014",
          fmt::format("input '{}': expected 'binary_data_size' {} and as many bytes behind the JSON, got {} "
                      "and {}",
                      spec.name, tensor->size_bytes, given.dump(), binary.rest.size()));
    }
    std::memcpy(tensor->data, binary.rest.data(), tensor->size_bytes);
    binary.rest = binary.rest.subspan(tensor->size_bytes);
    return {};
  }
  const auto data = input.find("data");
  if (data == input.end() || !data->is_array()) {
    return malformed("VRG-API-013",
                     fmt::format("input '{}': expected 'data' as a list; for example {}", spec.name, example(spec)));
  }
  return put_json_data(*data, spec, *tensor);
}

Result<void> read_inputs(const json& body, processing::Worker& worker, BinaryPart& binary) {
  const auto specs = worker.model().inputs();
  const auto inputs = body.find("inputs");
  if (inputs == body.end() || !inputs->is_array() || inputs->size() != specs.size()) {
    return malformed("VRG-API-010", fmt::format("expected 'inputs' as a list of {} tensor(s), got {}; for example "
                                                R"({{"inputs":[{}]}})",
                                                specs.size(),
                                                inputs == body.end() ? "none"
                                                : inputs->is_array() ? std::to_string(inputs->size())
                                                                     : std::string(inputs->type_name()),
                                                example(specs.front())));
  }
  std::vector<bool> given(specs.size());
  for (const auto& input : *inputs) {
    if (!input.is_object()) return malformed("VRG-API-010", "expected each of 'inputs' to be an object");
    const auto name = input.contains("name") && input["name"].is_string() ? input["name"].get<std::string>() : "";
    std::size_t index = 0;
    while (index < specs.size() && specs[index].name != name) ++index;
    if (index == specs.size() || given[index]) {
      std::string names;
      for (const auto& spec : specs) names += (names.empty() ? "'" : ", '") + spec.name + "'";
      return malformed("VRG-API-010", fmt::format("expected inputs called {}, each once, got '{}'", names, name));
    }
    given[index] = true;
    VERGE_TRY(read_input(input, index, worker, binary));
  }
  if (!binary.rest.empty()) {
    return malformed("VRG-API-014", fmt::format("{} bytes are left behind the last binary tensor", binary.rest.size()));
  }
  return {};
}

bool flag(const json& object, const char* name, bool otherwise) {
  const auto parameters = object.find("parameters");
  if (parameters == object.end() || !parameters->is_object()) return otherwise;
  const auto found = parameters->find(name);
  return found == parameters->end() ? otherwise : found->is_boolean() && found->get<bool>();
}

Result<InferCall> read_wanted(const json& body, const processing::LoadedModel& model) {
  InferCall call;
  if (const auto id = body.find("id"); id != body.end()) {
    if (!id->is_string()) return malformed("VRG-API-010", "expected 'id' to be a text");
    call.id = id->get<std::string>();
  }
  const bool binary = flag(body, "binary_data_output", false);
  const auto outputs = body.find("outputs");
  if (outputs == body.end() || outputs->empty()) {
    for (std::size_t i = 0; i < model.outputs().size(); ++i) call.outputs.push_back({i, binary});
    return call;
  }
  if (!outputs->is_array()) return malformed("VRG-API-010", "expected 'outputs' to be a list");
  for (const auto& output : *outputs) {
    const auto name = output.is_object() && output.contains("name") && output["name"].is_string()
                          ? output["name"].get<std::string>()
                          : std::string();
    std::size_t index = 0;
    std::string names;
    while (index < model.outputs().size() && model.outputs()[index].name != name) {
      names += (names.empty() ? "'" : ", '") + model.outputs()[index++].name + "'";
    }
    if (index == model.outputs().size()) {
      return malformed("VRG-API-010", fmt::format("the model has no output '{}'; it has {}", name, names));
    }
    call.outputs.push_back({index, flag(output, "binary_data", binary)});
  }
  return call;
}

/// Raw request: no JSON at all, the body is the one input's content.
Result<InferCall> read_raw(const http::Request& request, processing::Worker& worker) {
  const auto specs = worker.model().inputs();
  if (specs.size() != 1) {
    return malformed("VRG-API-015",
                     fmt::format("a raw request needs a model with one input, this one has {}", specs.size()));
  }
  auto shape = specs[0].shape;
  for (auto& dimension : shape) dimension = dimension < 0 ? 1 : dimension;
  VERGE_ASSIGN(const TensorView tensor, worker.input(0, shape));
  if (tensor.size_bytes != request.body.size()) {
    return malformed("VRG-API-015", fmt::format("expected {} bytes for input '{}' ({}), got {}", tensor.size_bytes,
                                                specs[0].name, processing::describe(specs[0]), request.body.size()));
  }
  std::memcpy(tensor.data, request.body.data(), tensor.size_bytes);
  InferCall call;
  for (std::size_t i = 0; i < worker.model().outputs().size(); ++i) call.outputs.push_back({i, true});
  return call;
}

}  // namespace

Result<InferCall> read_infer_request(const http::Request& request, processing::Worker& worker) {
  std::size_t json_size = request.body.size();
  if (const auto header = request.header("Inference-Header-Content-Length"); !header.empty()) {
    const auto parsed = std::from_chars(header.data(), header.data() + header.size(), json_size);
    if (parsed.ec != std::errc{} || parsed.ptr != header.data() + header.size() || json_size > request.body.size()) {
      return malformed("VRG-API-014", fmt::format("expected 'Inference-Header-Content-Length' from 0 to the body's {} "
                                                  "bytes, got '{}'",
                                                  request.body.size(), header));
    }
    if (json_size == 0) return read_raw(request, worker);
  }
  const std::string_view text(reinterpret_cast<const char*>(request.body.data()), json_size);
  if (too_deep(text)) return malformed("VRG-API-010", "the request nests deeper than a tensor can");
  json body;
  try {
    body = json::parse(text.begin(), text.end());
    if (!body.is_object()) return malformed("VRG-API-010", "expected a JSON object with 'inputs'");
    BinaryPart binary{request.body.subspan(json_size), request.body.size()};
    VERGE_TRY(read_inputs(body, worker, binary));
    return read_wanted(body, worker.model());
  } catch (const json::exception& error) {
    return malformed("VRG-API-010", fmt::format("the request is not valid JSON: {}", error.what()));
  }
}

}  // namespace verge::inference_api
