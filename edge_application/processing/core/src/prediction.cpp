#include "verge/processing/prediction.hpp"

#include <cmath>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

namespace verge::processing {
namespace {

void append_number(double value, std::string& out) {
  if (std::isfinite(value)) {
    fmt::format_to(std::back_inserter(out), "{:.6g}", value);
  } else {
    out += "null";  // JSON has no infinities.
  }
}

void append_label(int class_index, std::string_view label, std::string& out) {
  fmt::format_to(std::back_inserter(out), "\"class\":{}", class_index);
  if (!label.empty()) {
    out += ",\"label\":";
    append_json_string(label, out);
  }
}

template <typename T>
void append_values(const TensorView& tensor, std::string& out) {
  bool first = true;
  for (const T value : tensor.as<const T>()) {
    if (!first) out += ',';
    first = false;
    if constexpr (std::is_floating_point_v<T>) {
      append_number(static_cast<double>(value), out);
    } else {
      fmt::format_to(std::back_inserter(out), "{}", value);
    }
  }
}

void append_tensor(const TensorView& tensor, std::string_view tensor_name, std::string& out) {
  out += "{\"name\":";
  append_json_string(tensor_name, out);
  fmt::format_to(std::back_inserter(out), ",\"datatype\":\"{}\",\"shape\":[", name(tensor.datatype));
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    fmt::format_to(std::back_inserter(out), "{}{}", i == 0 ? "" : ",", tensor.shape[i]);
  }
  out += "],\"data\":[";
  switch (tensor.datatype) {
    case DataType::bool_:
    case DataType::uint8: append_values<std::uint8_t>(tensor, out); break;
    case DataType::uint16: append_values<std::uint16_t>(tensor, out); break;
    case DataType::uint32: append_values<std::uint32_t>(tensor, out); break;
    case DataType::uint64: append_values<std::uint64_t>(tensor, out); break;
    case DataType::int8: append_values<std::int8_t>(tensor, out); break;
    case DataType::int16: append_values<std::int16_t>(tensor, out); break;
    case DataType::int32: append_values<std::int32_t>(tensor, out); break;
    case DataType::int64: append_values<std::int64_t>(tensor, out); break;
    case DataType::fp32: append_values<float>(tensor, out); break;
    case DataType::fp64: append_values<double>(tensor, out); break;
    case DataType::fp16:
    case DataType::bf16:
    case DataType::bytes: break;  // Given by the binary extension only.
  }
  out += "]}";
}

/// Length of the valid UTF-8 sequence at the start of `text`; 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::size_t length = 0;
  if (byte(0) < 0x80) return 1;
  if (byte(0) >= 0xc2 && byte(0) < 0xe0) length = 2;
  if (byte(0) >= 0xe0 && byte(0) < 0xf0) length = 3;
  if (byte(0) >= 0xf0 && byte(0) < 0xf5) length = 4;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return 0;
  }
  if (length == 3 && ((byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xed && byte(1) >= 0xa0))) return 0;
  if (length == 4 && ((byte(0) == 0xf0 && byte(1) < 0x90) || (byte(0) == 0xf4 && byte(1) >= 0x90))) return 0;
  return length;
}

}  // namespace

std::string_view name(PredictionKind kind) noexcept {
  switch (kind) {
    case PredictionKind::tensors: return "tensors";
    case PredictionKind::classes: return "classes";
    case PredictionKind::boxes: return "boxes";
    case PredictionKind::mask: return "mask";
    case PredictionKind::anomaly: return "anomaly";
    case PredictionKind::values: return "values";
    case PredictionKind::custom: return "custom";
  }
  return "tensors";
}

Colour palette_colour(int class_index) noexcept {
  // The PASCAL VOC development kit spreads the bits of the class number over the three channels.
  Colour colour;
  auto bits = static_cast<unsigned>(class_index);
  for (unsigned shift = 7; bits != 0 && shift < 8; --shift, bits >>= 3U) {
    colour.red = static_cast<std::uint8_t>(colour.red | ((bits & 1U) << shift));
    colour.green = static_cast<std::uint8_t>(colour.green | (((bits >> 1U) & 1U) << shift));
    colour.blue = static_cast<std::uint8_t>(colour.blue | (((bits >> 2U) & 1U) << shift));
  }
  return colour;
}

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\xef\xbf\xbd";
      text.remove_prefix(1);
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  out += '"';
}

namespace {

void append_anomaly(const Anomaly& anomaly, std::string& out) {
  out += "{\"error\":";
  append_number(static_cast<double>(anomaly.error), out);
  out += ",\"threshold\":";
  append_number(static_cast<double>(anomaly.threshold), out);
  fmt::format_to(std::back_inserter(out), ",\"found\":{},\"windows\":{}}}", anomaly.found, anomaly.windows);
}

void append_named_values(const std::vector<NamedValue>& values, std::string& out) {
  out += '{';
  for (const auto& [name, value] : values) {
    if (out.back() != '{') out += ',';
    append_json_string(name, out);
    out += ':';
    append_number(static_cast<double>(value), out);
  }
  out += '}';
}

}  // namespace

void append_json(const Prediction& prediction, std::string& out) {
  fmt::format_to(std::back_inserter(out), "\"kind\":\"{0}\",\"{0}\":", name(prediction.kind));
  if (prediction.kind == PredictionKind::anomaly) return append_anomaly(prediction.anomaly, out);
  if (prediction.kind == PredictionKind::values) return append_named_values(prediction.values, out);
  if (prediction.kind == PredictionKind::custom) {
    out += prediction.custom;
    return;
  }
  const char* separator = "";
  const auto open_item = [&] {
    out += separator;
    out += '{';
    separator = ",";
  };
  switch (prediction.kind) {
    case PredictionKind::tensors:
      out += '[';
      for (std::size_t i = 0; i < prediction.tensors.size(); ++i) {
        if (i > 0) out += ',';
        append_tensor(prediction.tensors[i], prediction.tensor_specs[i].name, out);
      }
      break;
    case PredictionKind::classes:
      out += '[';
      for (const auto& entry : prediction.classes) {
        open_item();
        append_label(entry.class_index, entry.label, out);
        out += ",\"score\":";
        append_number(static_cast<double>(entry.score), out);
        out += '}';
      }
      break;
    case PredictionKind::boxes:
      out += '[';
      for (const auto& box : prediction.boxes) {
        open_item();
        append_label(box.class_index, box.label, out);
        out += ",\"score\":";
        append_number(static_cast<double>(box.score), out);
        fmt::format_to(std::back_inserter(out), ",\"box\":[{:.1f},{:.1f},{:.1f},{:.1f}]}}", box.x0, box.y0, box.x1,
                       box.y1);
      }
      break;
    case PredictionKind::mask:
      fmt::format_to(std::back_inserter(out), "{{\"width\":{},\"height\":{}}},\"areas\":[", prediction.mask.width,
                     prediction.mask.height);
      for (const auto& area : prediction.areas) {
        open_item();
        append_label(area.class_index, area.label, out);
        out += ",\"fraction\":";
        append_number(static_cast<double>(area.fraction), out);
        out += '}';
      }
      break;
    case PredictionKind::anomaly:
    case PredictionKind::values:
    case PredictionKind::custom: break;  // Written above.
  }
  out += ']';
}

}  // namespace verge::processing
