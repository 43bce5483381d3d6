// Element coder: the numbers of a tensor, as they differ from those of an older one, or as they are.
//
// A float is taken as the integer that has the same order; a training step moves weights of one size by similar
// amounts, so a difference in these integers is as long as the step's size less the weight's exponent. The length is
// coded in that context, with what the last differences were; the upper bits behind it too; the rest is noise, and
// written plain.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "binary_coder.hpp"
#include "verge/model_file/tensors.hpp"

namespace verge::delta {

using Bytes = std::span<const std::byte>;

[[nodiscard]] inline Bytes part(Bytes bytes, std::uint64_t offset, std::uint64_t size) {
  return bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
}

/// Keeps what it has learned from one call to the next. Encoding and decoding go through the same code, so that they
/// learn the same.
class ElementCoder {
 public:
  explicit ElementCoder(model_file::ElementKind kind);
  ~ElementCoder();
  ElementCoder(ElementCoder&&) noexcept;
  ElementCoder& operator=(ElementCoder&&) noexcept;

  /// `fresh` becomes what it was when the coder is a Decoder; its size is a multiple of the element's. `old`: of the
  /// same size; empty: there is none.
  void encode(Encoder& coder, Bytes old, Bytes fresh);
  void decode(Decoder& coder, Bytes old, std::span<std::byte> fresh);

 private:
  struct State;
  template <typename Coder>
  void code(Coder& coder, Bytes old, std::span<std::byte> fresh);
  std::unique_ptr<State> state_;
};

}  // namespace verge::delta
