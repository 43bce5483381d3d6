#include "verge/engines/flatbuffer.hpp"

#include <string>

#include "verge/engines/plugin.hpp"

namespace verge::engines::flatbuffer {
namespace {

template <typename T>
T read(std::span<const std::byte> file, std::size_t at) {
  if (at > file.size() || file.size() - at < sizeof(T)) throw_damaged("a value lies outside the file");
  T value;
  std::memcpy(&value, file.data() + at, sizeof(T));
  return value;
}

}  // namespace

void throw_damaged(std::string_view what) {
  throw Failure(VERGE_ENGINE_CORRUPT, "the file is damaged: " + std::string(what) + "; get it again");
}

Table Elements::table(std::size_t index) const {
  const std::size_t at = position + index * 4;
  return {file, at + read<std::uint32_t>(file, at)};
}

Table Table::root(std::span<const std::byte> file) {
  return {file, read<std::uint32_t>(file, 0)};
}

Table::Table(std::span<const std::byte> file, std::size_t position) : file_(file), position_(position) {
  if (position % 4 != 0) throw_damaged("a table is not aligned");
  const auto distance = static_cast<std::int64_t>(read<std::int32_t>(file, position));
  const std::int64_t vtable = static_cast<std::int64_t>(position) - distance;
  if (vtable < 0 || vtable % 2 != 0) throw_damaged("a table has no description");
  vtable_ = static_cast<std::size_t>(vtable);
  vtable_size_ = read<std::uint16_t>(file, vtable_);
  table_size_ = read<std::uint16_t>(file, vtable_ + 2);
  if (vtable_size_ < 4 || vtable_size_ % 2 != 0 || vtable_size_ > file.size() - vtable_ || table_size_ < 4 ||
      table_size_ > file.size() - position) {
    throw_damaged("a table lies outside the file");
  }
}

std::size_t Table::find(unsigned field, std::size_t size) const {
  const std::size_t slot = 4 + std::size_t{field} * 2;
  if (slot + 2 > vtable_size_) return 0;
  const std::size_t offset = read<std::uint16_t>(file_, vtable_ + slot);
  if (offset == 0) return 0;
  if (offset < 4 || offset + size > table_size_) throw_damaged("a field lies outside its table");
  return position_ + offset;
}

std::size_t Table::follow(std::size_t at) const {
  const std::size_t target = at + read<std::uint32_t>(file_, at);
  if (target <= at || target >= file_.size()) throw_damaged("an offset leads outside the file");
  return target;
}

Elements Table::elements(unsigned field, std::size_t element_size) const {
  const std::size_t at = find(field, 4);
  if (at == 0) return {};
  const std::size_t vector = follow(at);
  const std::size_t count = read<std::uint32_t>(file_, vector);
  const std::size_t first = vector + 4;
  if (count > (file_.size() - first) / element_size) throw_damaged("a list is longer than the file");
  return {file_, first, count};
}

std::string_view Table::text(unsigned field) const {
  const Elements characters = elements(field, 1);
  if (characters.count == 0) return {};
  // Readers hand the text to C functions: the zero behind it counts as part of it.
  if (read<char>(file_, characters.position + characters.count) != '\0') throw_damaged("a text has no end");
  return {reinterpret_cast<const char*>(file_.data()) + characters.position, characters.count};
}

Table Table::table(unsigned field) const {
  const std::size_t at = find(field, 4);
  if (at == 0) throw_damaged("a table is missing");
  return {file_, follow(at)};
}

}  // namespace verge::engines::flatbuffer
