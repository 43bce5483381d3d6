// Field numbers: onnx/onnx.proto (Apache-2.0). The wire format: protobuf.dev/programming-guides/encoding.
#include <algorithm>
#include "formats.hpp"

namespace verge::model_file {
namespace {

constexpr std::uint32_t kGraph = 7;            // Of ModelProto.
constexpr std::uint32_t kNode = 1;             // Of GraphProto,
constexpr std::uint32_t kInitializer = 5;      // and its constants.
constexpr std::uint32_t kAttribute = 5;        // Of NodeProto.
constexpr std::uint32_t kAttributeTensor = 5;  // Of AttributeProto.

/// The fields of one message, in turn.
class Fields {
 public:
  Fields(Bytes file, std::size_t from, std::size_t to) : file_(file), at_(from), end_(to) {}

  /// Goes to the next field. False at the end, and where the message makes no sense.
  bool next() {
    std::uint64_t key = 0;
    if (at_ >= end_ || !varint(key)) return false;
    number = static_cast<std::uint32_t>(key >> 3U);
    value = begin = size = 0;
    switch (key & 7U) {
      case 0: return varint(value);
      case 1: return pass(8);
      case 2: return varint(size_) && take();
      case 5: return pass(4);
      default: return false;
    }
  }
  [[nodiscard]] Fields inner() const { return {file_, begin, begin + size}; }
  [[nodiscard]] std::string text() const {
    return {reinterpret_cast<const char*>(file_.data()) + begin, std::min<std::size_t>(size, 1024)};
  }

  std::uint32_t number = 0;
  std::uint64_t value = 0;  ///< Of a number.
  std::size_t begin = 0;    ///< Of a text, bytes or a message.
  std::size_t size = 0;

 private:
  bool varint(std::uint64_t& out) {
    out = 0;
    for (unsigned shift = 0; shift < 64 && at_ < end_; shift += 7) {
      const auto byte = std::to_integer<std::uint64_t>(file_[at_++]);
      out |= (byte & 127U) << shift;
      if (byte < 128) return true;
    }
    return false;
  }
  bool pass(std::size_t count) {
    if (count > end_ - at_) return false;
    at_ += count;
    return true;
  }
  bool take() {
    begin = at_;
    if (size_ > end_ - at_) return false;
    size = static_cast<std::size_t>(size_);
    at_ += size;
    return true;
  }

  Bytes file_;
  std::size_t at_;
  std::size_t end_;
  std::uint64_t size_ = 0;
};

/// Of TensorProto.DataType.
std::optional<ElementKind> kind_of(std::uint64_t type) {
  switch (type) {
    case 1: return ElementKind::float32;
    case 2:
    case 3:
    case 9: return ElementKind::int8;
    case 4:
    case 5: return ElementKind::int16;
    case 6:
    case 12: return ElementKind::int32;
    case 7:
    case 13: return ElementKind::int64;
    case 10: return ElementKind::float16;
    case 11: return ElementKind::float64;
    case 16: return ElementKind::bfloat16;
    default: return std::nullopt;
  }
}

void read_tensor(Bytes file, Fields fields, std::vector<FileTensor>& tensors) {
  constexpr std::uint32_t kType = 2, kFloatData = 4, kName = 8, kRawData = 9;
  FileTensor tensor;
  std::uint64_t type = 0;
  bool floats = false;
  while (fields.next()) {
    if (fields.number == kType) type = fields.value;
    if (fields.number == kName) tensor.name = fields.text();
    if (fields.number == kRawData || fields.number == kFloatData) {
      floats = fields.number == kFloatData;
      tensor.offset_bytes = fields.begin;
      tensor.size_bytes = fields.size;
    }
  }
  const auto kind = floats ? ElementKind::float32 : kind_of(type);
  if (!kind || tensor.size_bytes == 0) return;
  tensor.kind = *kind;
  add_tensor(tensors, file.size(), std::move(tensor));
}

void read_node(Bytes file, Fields fields, std::vector<FileTensor>& tensors) {
  while (fields.next()) {
    if (fields.number != kAttribute) continue;
    for (Fields attribute = fields.inner(); attribute.next();) {
      if (attribute.number == kAttributeTensor) read_tensor(file, attribute.inner(), tensors);
    }
  }
}

}  // namespace

std::vector<FileTensor> onnx_tensors(Bytes file) {
  std::vector<FileTensor> tensors;
  for (Fields model(file, 0, file.size()); model.next();) {
    if (model.number != kGraph) continue;
    for (Fields graph = model.inner(); graph.next();) {
      if (graph.number == kInitializer) read_tensor(file, graph.inner(), tensors);
      if (graph.number == kNode) read_node(file, graph.inner(), tensors);
    }
  }
  return tensors;
}

}  // namespace verge::model_file
