// Flatbuffer: a reader of FlatBuffers' wire format in which no offset is believed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace verge::engines::flatbuffer {

/// Throws Failure(CORRUPT) with "the file is damaged: …".
[[noreturn]] void throw_damaged(std::string_view what);

class Table;

/// A vector of N-byte elements, inside the file.
struct Elements {
  std::span<const std::byte> file;
  std::size_t position = 0;  ///< Of the first element.
  std::size_t count = 0;

  template <typename T>
  [[nodiscard]] T scalar(std::size_t index) const {
    T value;
    std::memcpy(&value, file.data() + position + index * sizeof(T), sizeof(T));
    return value;
  }
  /// Element of a vector of tables.
  [[nodiscard]] Table table(std::size_t index) const;
};

/// A table. Absent fields give zero, an empty vector or an empty text.
class Table {
 public:
  static Table root(std::span<const std::byte> file);
  Table(std::span<const std::byte> file, std::size_t position);

  template <typename T>
  [[nodiscard]] T scalar(unsigned field, T absent = T{}) const {
    const std::size_t at = find(field, sizeof(T));
    if (at == 0) return absent;
    T value;
    std::memcpy(&value, file_.data() + at, sizeof(T));
    return value;
  }
  [[nodiscard]] bool has(unsigned field) const { return find(field, 1) != 0; }
  template <typename T>
  [[nodiscard]] Elements scalars(unsigned field) const {
    return elements(field, sizeof(T));
  }
  [[nodiscard]] Elements tables(unsigned field) const { return elements(field, 4); }
  [[nodiscard]] std::string_view text(unsigned field) const;
  /// Table of a field; the field must be there.
  [[nodiscard]] Table table(unsigned field) const;

 private:
  /// Position of a field's value of so many bytes, 0 when absent.
  [[nodiscard]] std::size_t find(unsigned field, std::size_t size) const;
  /// Where the offset at `at` leads.
  [[nodiscard]] std::size_t follow(std::size_t at) const;
  [[nodiscard]] Elements elements(unsigned field, std::size_t element_size) const;

  std::span<const std::byte> file_;
  std::size_t position_ = 0;
  std::size_t vtable_ = 0;
  std::size_t vtable_size_ = 0;
  std::size_t table_size_ = 0;
};

}  // namespace verge::engines::flatbuffer
