// OpenVINO IR: <layer name="…" type="Const"> … <data element_type="f32" offset="64" size="3456" shape="…"/>.
#include <charconv>

#include "formats.hpp"

namespace verge::model_file {
namespace {

/// Value of an attribute of a tag; empty when it is not there.
std::string_view attribute(std::string_view tag, std::string_view name) {
  for (std::size_t at = 0; (at = tag.find(name, at)) != std::string_view::npos; at += name.size()) {
    if (at == 0 || tag[at - 1] != ' ' || tag.substr(at + name.size(), 2) != "=\"") continue;
    const auto begin = at + name.size() + 2;
    const auto end = tag.find('"', begin);
    return end == std::string_view::npos ? std::string_view() : tag.substr(begin, end - begin);
  }
  return {};
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc{} || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

ElementKind kind_of(std::string_view type) {
  if (type == "f32") return ElementKind::float32;
  if (type == "f16") return ElementKind::float16;
  if (type == "bf16") return ElementKind::bfloat16;
  if (type == "f64") return ElementKind::float64;
  if (type == "i64" || type == "u64") return ElementKind::int64;
  if (type == "i32" || type == "u32") return ElementKind::int32;
  if (type == "i16" || type == "u16") return ElementKind::int16;
  return ElementKind::int8;
}

}  // namespace

std::vector<FileTensor> find_ir_tensors(std::string_view xml, std::uint64_t bin_size_bytes) {
  std::vector<FileTensor> tensors;
  std::string_view layer;
  for (std::size_t at = 0; (at = xml.find('<', at)) != std::string_view::npos;) {
    const auto end = xml.find('>', at);
    if (end == std::string_view::npos) break;
    const auto tag = xml.substr(at, end - at);
    at = end;
    if (tag.starts_with("<layer ")) layer = attribute(tag, "type") == "Const" ? attribute(tag, "name") : "";
    if (!tag.starts_with("<data ") || layer.empty()) continue;
    const auto offset = number(attribute(tag, "offset"));
    const auto size = number(attribute(tag, "size"));
    if (!offset || !size) continue;
    add_tensor(tensors, bin_size_bytes,
               {std::string(layer.substr(0, 1024)), kind_of(attribute(tag, "element_type")), *offset, *size});
  }
  put_in_order(tensors);  // Layers may share their weights.
  return tensors;
}

}  // namespace verge::model_file
