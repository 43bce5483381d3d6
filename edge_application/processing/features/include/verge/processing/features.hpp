// Features: samples that are no pictures — sound, rows of a table, frames of values — as the rows that a model takes.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/processing/tensor.hpp"
#include "verge/wire/preprocessing.hpp"

namespace verge::processing {

/// A package's preprocessing of such samples, checked against the model. Used by one thread at a time: it keeps its
/// scratch memory, and allocates nothing for a length of sample that it has seen.
class Features {
 public:
  /// Whether a definition is one for this class: sound, table rows, or tensors in windows.
  static bool needed(const wire::Preprocessing& definition) noexcept;

  /// `origin` is the definition's file name, for messages. Errors: invalid_argument, each naming file, line and step,
  /// what was expected, what came and what to do: VRG-FEA-001 order of the steps, 002 shape or size, 003 a step that
  /// this kind of sample does not take, 004 element type or quantisation.
  static Result<Features> compile(const wire::Preprocessing& definition, std::string_view origin,
                                  const TensorSpec& input);
  Features(Features&&) noexcept;
  Features& operator=(Features&&) noexcept;
  ~Features();

  /// Shape of the model's input for one window, the batch being 1.
  [[nodiscard]] std::span<const std::int64_t> input_shape() const noexcept;

  /// Reads one sample: a WAV file, a row (JSON object or array, or CSV with a header), or raw little-endian float32
  /// values. Gives the number of windows that it makes, at least 1. Errors: invalid_argument (VRG-FEA-010 not a WAV
  /// file that is supported, 011 the row does not fit the columns, 012 too short, or not a whole number of rows);
  /// data_loss (VRG-FEA-013 the file is damaged); resource_exhausted (VRG-FEA-014 too long).
  Result<std::size_t> prepare(std::span<const std::byte> content);
  /// Fills `input` with a window of the sample that was prepared. Errors: invalid_argument (VRG-FEA-015: not the
  /// tensor that compile() was given).
  Result<void> fill(std::size_t window, const TensorView& input) const;

 private:
  struct State;
  explicit Features(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace verge::processing
