// Field numbers: tensorflow/lite/schema/schema.fbs and executorch/schema/program.fbs (Apache-2.0, BSD-3-Clause).
#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "formats.hpp"
#include "verge/engines/flatbuffer.hpp"
#include "verge/engines/plugin.hpp"

namespace verge::model_file {
namespace {

using engines::flatbuffer::Elements;
using engines::flatbuffer::Table;

/// Of the schema's TensorType.
ElementKind tflite_kind(std::uint8_t type) {
  switch (type) {
    case 0: return ElementKind::float32;
    case 1: return ElementKind::float16;
    case 2:
    case 15: return ElementKind::int32;
    case 4:
    case 12: return ElementKind::int64;
    case 7:
    case 16: return ElementKind::int16;
    case 10: return ElementKind::float64;
    case 18: return ElementKind::bfloat16;
    default: return ElementKind::int8;
  }
}

void read_tflite(Bytes file, std::vector<FileTensor>& tensors) {
  constexpr unsigned kSubgraphs = 2, kBuffers = 4, kTensors = 0, kType = 1, kBuffer = 2, kName = 3;
  const Table model = Table::root(file);
  std::map<std::uint32_t, Table> users;  // The first tensor of each buffer says what it is.
  const Elements subgraphs = model.tables(kSubgraphs);
  for (std::size_t i = 0; i < subgraphs.count && i < kMaxTensors; ++i) {
    const Elements all = subgraphs.table(i).tables(kTensors);
    for (std::size_t j = 0; j < all.count && users.size() < kMaxTensors; ++j) {
      const Table tensor = all.table(j);
      users.emplace(tensor.scalar<std::uint32_t>(kBuffer), tensor);
    }
  }
  const Elements buffers = model.tables(kBuffers);
  for (const auto& [index, tensor] : users) {
    if (index >= buffers.count) continue;
    const Table buffer = buffers.table(index);
    const Elements data = buffer.scalars<std::uint8_t>(0);
    FileTensor found;
    found.name = std::string(tensor.text(kName).substr(0, 1024));
    found.kind = tflite_kind(tensor.scalar<std::uint8_t>(kType));
    found.offset_bytes = data.count > 0 ? data.position : buffer.scalar<std::uint64_t>(1);  // Behind the flatbuffer.
    found.size_bytes = data.count > 0 ? data.count : buffer.scalar<std::uint64_t>(2);
    add_tensor(tensors, file.size(), std::move(found));
  }
}

/// What a segment holds is not told: the kind that its bytes look like.
ElementKind guess_kind(Bytes bytes) {
  // The upper byte of a float has few values, those of the same place in integers of 8 bits all.
  std::array<std::array<bool, 256>, 4> seen{};
  const std::size_t count = std::min<std::size_t>(bytes.size(), 65536);
  for (std::size_t i = 0; i < count; ++i) seen.at(i % 4).at(std::to_integer<std::size_t>(bytes[i])) = true;
  const auto values = [&](std::size_t place) { return std::ranges::count(seen.at(place), true); };
  return values(3) * 2 < values(0)   ? ElementKind::float32
         : values(1) * 2 < values(0) ? ElementKind::float16
                                     : ElementKind::int8;
}

void read_executorch(Bytes file, std::vector<FileTensor>& tensors) {
  constexpr unsigned kSegments = 4, kNamedData = 7;
  constexpr std::size_t kBaseAt = 24;
  const Table program = Table::root(file);
  std::uint64_t base = 0;
  if (file.size() >= kBaseAt + sizeof(base)) std::memcpy(&base, file.data() + kBaseAt, sizeof(base));
  std::map<std::uint32_t, std::string> names;
  const Elements named = program.tables(kNamedData);
  for (std::size_t i = 0; i < named.count && i < kMaxTensors; ++i) {
    names.emplace(named.table(i).scalar<std::uint32_t>(1), std::string(named.table(i).text(0).substr(0, 1024)));
  }
  const Elements segments = program.tables(kSegments);
  for (std::size_t i = 0; i < segments.count && i < kMaxTensors; ++i) {
    const Table segment = segments.table(i);
    const auto offset = segment.scalar<std::uint64_t>(0);
    const auto size = segment.scalar<std::uint64_t>(1);
    if (base > file.size() || offset > file.size() - base || size > file.size() - base - offset) continue;
    FileTensor found;
    found.offset_bytes = base + offset;
    found.size_bytes = size;
    const auto name = names.find(static_cast<std::uint32_t>(i));
    found.name = name == names.end() ? "segment " + std::to_string(i) : name->second;
    found.kind = guess_kind(file.subspan(static_cast<std::size_t>(base + offset), static_cast<std::size_t>(size)));
    add_tensor(tensors, file.size(), std::move(found));
  }
}

template <typename Read>
std::vector<FileTensor> as_far_as_it_goes(Bytes file, Read read) {
  std::vector<FileTensor> tensors;
  try {
    read(file, tensors);
  } catch (const engines::Failure&) {
    // Damaged: what was found before that is right all the same.
  }
  return tensors;
}

}  // namespace

std::vector<FileTensor> tflite_tensors(Bytes file) {
  return as_far_as_it_goes(file, read_tflite);
}

std::vector<FileTensor> executorch_tensors(Bytes file) {
  return as_far_as_it_goes(file, read_executorch);
}

}  // namespace verge::model_file
