// Preprocessor: the declared steps from a sample to the model's input tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/processing/image.hpp"
#include "verge/processing/placement.hpp"
#include "verge/processing/tensor.hpp"
#include "verge/wire/preprocessing.hpp"

namespace verge::processing {

/// A package's preprocessing, checked against the model and fused into one pass over the picture.
/// Cheap to make (microseconds): one for each worker. Used by one thread at a time, as it keeps its scratch memory.
class Preprocessor {
 public:
  /// Checks the definition against the model's input tensor. `origin` is the definition's file name, for messages.
  /// Errors: invalid_argument, each naming file, line and step, what was expected, what came and what to do:
  /// VRG-PRE-001 order of the steps, 002 shape or size, 003 channels, 004 element type or quantisation, 005 number of
  /// values for the channels, 006 a step that this kind of sample does not take.
  static Result<Preprocessor> compile(const wire::Preprocessing& definition, std::string_view origin,
                                      const TensorSpec& input);
  Preprocessor(Preprocessor&&) noexcept;
  Preprocessor& operator=(Preprocessor&&) noexcept;
  ~Preprocessor();

  /// A picture comes in: use run(). Else the tensor's values: use run_values().
  [[nodiscard]] bool takes_image() const noexcept;
  /// What the decoder should give; a picture of another format is converted.
  [[nodiscard]] PixelFormat colour() const noexcept;
  /// What to tell the decoder; 0 × 0 when the definition needs the whole picture.
  [[nodiscard]] ScaleHint scale_hint() const noexcept;
  /// Shape to give the model's input before run(): as in its TensorSpec with variable dimensions resolved (batch: 1).
  /// For samples that are tensors a variable dimension other than the first stays -1.
  [[nodiscard]] std::span<const std::int64_t> input_shape() const noexcept;

  /// Fills `input` with one sample. `source` is the picture's true size when it was decoded scaled, else its own size.
  /// `input` may be one sample's part of a batch: only its type and size in bytes are checked. Allocates nothing for a
  /// size of picture that it has seen. A definition with a custom step is not run here: VRG-PRE-013.
  /// Errors: invalid_argument (VRG-PRE-010 the picture is empty or too small for the
  /// crop, or not of the model's size and there is no resize step; VRG-PRE-011 `input` is not as compiled).
  Result<Placement> run(const ImageView& image, ImageSize source, const TensorView& input);
  /// Fills `input` from raw little-endian values: float32 when the definition has steps, the tensor's own type when it
  /// has none. Errors: invalid_argument (VRG-PRE-012 wrong number of bytes).
  Result<void> run_values(std::span<const std::byte> raw, const TensorView& input);

 private:
  struct State;
  explicit Preprocessor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace verge::processing
