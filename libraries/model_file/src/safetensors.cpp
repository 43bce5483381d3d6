// github.com/huggingface/safetensors, "Format": eight bytes with the header's length, the header as JSON, the tensors.
#include <array>
#include <cstring>

#include "formats.hpp"
#include "verge/wire/json_reader.hpp"

namespace verge::model_file {
namespace {

constexpr std::uint64_t kMaxHeader_bytes = 100'000'000;  // The format's own limit.

std::optional<ElementKind> kind_of(std::string_view type) {
  struct Named {
    std::string_view name;
    ElementKind kind;
  };
  static constexpr std::array<Named, 13> kTypes{{{"F64", ElementKind::float64},
                                                 {"F32", ElementKind::float32},
                                                 {"F16", ElementKind::float16},
                                                 {"BF16", ElementKind::bfloat16},
                                                 {"I64", ElementKind::int64},
                                                 {"U64", ElementKind::int64},
                                                 {"I32", ElementKind::int32},
                                                 {"U32", ElementKind::int32},
                                                 {"I16", ElementKind::int16},
                                                 {"U16", ElementKind::int16},
                                                 {"I8", ElementKind::int8},
                                                 {"U8", ElementKind::int8},
                                                 {"BOOL", ElementKind::int8}}};
  for (const auto& entry : kTypes) {
    if (entry.name == type) return entry.kind;
  }
  return std::nullopt;
}

}  // namespace

std::vector<FileTensor> safetensors_tensors(Bytes file) {
  std::vector<FileTensor> tensors;
  std::uint64_t header = 0;
  if (file.size() < sizeof(header)) return tensors;
  std::memcpy(&header, file.data(), sizeof(header));
  if (header > file.size() - sizeof(header) || header > kMaxHeader_bytes) return tensors;
  const std::uint64_t base = sizeof(header) + header;
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + sizeof(header),
                              static_cast<std::size_t>(header));
  wire::JsonReader json(text);
  json.object([&](const std::string& name) {
    if (name == "__metadata__" || json.peek() != '{') {
      json.skip();
      return;
    }
    FileTensor tensor;
    tensor.name = name.substr(0, 1024);
    std::string type;
    std::array<std::int64_t, 2> range{};
    std::size_t count = 0;
    json.object([&](const std::string& key) {
      if (key == "dtype" && json.peek() == '"') {
        json.string(type);
      } else if (key == "data_offsets" && json.peek() == '[') {
        json.array([&] {
          const auto number = json.whole_number();
          if (count < range.size()) range.at(count) = number.value_or(-1);
          ++count;
        });
      } else {
        json.skip();
      }
    });
    const auto kind = kind_of(type);
    if (!kind || count != 2 || range[0] < 0 || range[1] < range[0]) return;
    const auto begin = static_cast<std::uint64_t>(range[0]);
    if (begin > file.size() - base) return;
    tensor.kind = *kind;
    tensor.offset_bytes = base + begin;
    tensor.size_bytes = static_cast<std::uint64_t>(range[1]) - begin;
    add_tensor(tensors, file.size(), std::move(tensor));
  });
  return tensors;
}

}  // namespace verge::model_file
