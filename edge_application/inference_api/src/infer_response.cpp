#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "api.hpp"

namespace verge::inference_api {
namespace {

using processing::DataType;
using processing::TensorView;

void append_text(std::string_view text, std::string& out) {
  const auto plain = [](unsigned char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; };
  if (std::ranges::all_of(text, plain)) {  // Names of models and tensors nearly always are.
    out += '"';
    out += text;
    out += '"';
    return;
  }
  out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// "0," to "255,", each with its length: most tensors that come as text are pictures.
struct ByteText {
  std::array<char, 4> text{};
  std::uint8_t length = 0;
};
constexpr auto kByteTexts = [] {
  std::array<ByteText, 256> texts{};
  for (unsigned value = 0; value < texts.size(); ++value) {
    ByteText& entry = texts[value];
    for (const unsigned divisor : {100U, 10U, 1U}) {
      if (value >= divisor || divisor == 1) entry.text[entry.length++] = static_cast<char>('0' + value / divisor % 10);
    }
    entry.text[entry.length++] = ',';
  }
  return texts;
}();

void append_bytes(std::span<const std::uint8_t> values, std::string& out) {
  const auto start = out.size();
  out.resize(start + values.size() * sizeof(ByteText::text));
  char* at = out.data() + start;
  for (const auto value : values) {
    std::memcpy(at, kByteTexts[value].text.data(), sizeof(ByteText::text));
    at += kByteTexts[value].length;
  }
  out.resize(static_cast<std::size_t>(at - out.data()) - (values.empty() ? 0 : 1));
}

template <typename T>
void append_values(std::span<const T> values, std::string& out) {
  std::array<char, 32> text{};
  out.reserve(out.size() + values.size() * 10);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    if constexpr (std::is_floating_point_v<T>) {
      // JSON has no NaN or infinity; null is what clients read as "no number".
      if (!std::isfinite(values[i])) {
        out += "null";
        continue;
      }
    }
    const auto end = std::to_chars(text.data(), text.data() + text.size(), values[i]).ptr;
    out.append(text.data(), end);
  }
}

void append_data(const TensorView& tensor, std::string& out) {
  switch (tensor.datatype) {
    case DataType::fp32: return append_values<float>(tensor.as<float>(), out);
    case DataType::fp64: return append_values<double>(tensor.as<double>(), out);
    case DataType::uint8: return append_bytes(tensor.as<std::uint8_t>(), out);
    case DataType::uint16: return append_values<std::uint16_t>(tensor.as<std::uint16_t>(), out);
    case DataType::uint32: return append_values<std::uint32_t>(tensor.as<std::uint32_t>(), out);
    case DataType::uint64: return append_values<std::uint64_t>(tensor.as<std::uint64_t>(), out);
    case DataType::int8: return append_values<std::int8_t>(tensor.as<std::int8_t>(), out);
    case DataType::int16: return append_values<std::int16_t>(tensor.as<std::int16_t>(), out);
    case DataType::int32: return append_values<std::int32_t>(tensor.as<std::int32_t>(), out);
    case DataType::int64: return append_values<std::int64_t>(tensor.as<std::int64_t>(), out);
    case DataType::bool_:
      for (const auto value : tensor.as<std::uint8_t>())
        out += out.back() == '[' ? (value != 0 ? "true" : "false") : (value != 0 ? ",true" : ",false");
      return;
    case DataType::fp16: {
      std::vector<float> values;
      for (const auto half : tensor.as<std::uint16_t>()) values.push_back(processing::half_to_float(half));
      return append_values<float>(values, out);
    }
    case DataType::bf16:
    case DataType::bytes: return;  // No engine gives them to us.
  }
}

void append_destination(const SharedMemoryPart& part, std::string& out) {
  out += ",\"parameters\":{\"shared_memory_region\":";
  append_text(part.region, out);
  fmt::format_to(std::back_inserter(out), ",\"shared_memory_offset\":{},\"shared_memory_byte_size\":{}}}}}",
                 part.offset_bytes, part.size_bytes);
}

}  // namespace

http::Response write_infer_response(const InferCall& call, const ServedModel& model, InferAnswer answer) {
  http::Response response;
  std::string& out = response.body;
  out += "{\"model_name\":";
  append_text(model.name, out);
  out += ",\"model_version\":";
  append_text(model.version(), out);
  if (call.id) {
    out += ",\"id\":";
    append_text(*call.id, out);
  }
  out += ",\"outputs\":[";
  for (const auto& output : answer.outputs) {
    const TensorView& tensor = output.tensor;
    if (out.back() != '[') out += ',';
    out += "{\"name\":";
    append_text(output.spec->name, out);
    fmt::format_to(std::back_inserter(out), ",\"datatype\":\"{}\",\"shape\":{}", processing::name(tensor.datatype),
                   processing::describe(tensor.shape));
    if (output.destination) {
      append_destination(*output.destination, out);
    } else if (output.binary) {
      fmt::format_to(std::back_inserter(out), ",\"parameters\":{{\"binary_data_size\":{}}}}}", tensor.size_bytes);
      response.attached.push_back(tensor.bytes());
    } else {
      out += ",\"data\":[";
      append_data(tensor, out);
      out += "]}";
    }
  }
  out += "]}";
  if (response.attached.empty()) return response;
  response.keep = std::move(answer.turn);
  response.content_type = "application/octet-stream";
  response.headers.emplace_back("Inference-Header-Content-Length", std::to_string(out.size()));
  return response;
}

}  // namespace verge::inference_api
