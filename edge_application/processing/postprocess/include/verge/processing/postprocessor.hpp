// Postprocessor: the declared steps from the model's output tensors to a prediction.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/placement.hpp"
#include "verge/processing/prediction.hpp"
#include "verge/processing/tensor.hpp"
#include "verge/wire/postprocessing.hpp"

namespace verge::processing {

/// A package's postprocessing, checked against the model. Used by one thread at a time: it keeps its scratch memory.
class Postprocessor {
 public:
  /// Checks the definition against the model. `origin` is the definition's file name, for messages; `labels` are the
  /// lines of the label file (none: no labels); `model_input` is the tensor that the preprocessing fills.
  /// Errors: invalid_argument, each naming file, line and step, what was expected, what came and what to do:
  /// VRG-PST-001 order of the steps, 002 no such output, 003 shape of an output, 004 values that do not fit together,
  /// 005 fewer labels than classes.
  static Result<Postprocessor> compile(const wire::Postprocessing& definition, std::string_view origin,
                                       std::vector<std::string> labels, const TensorSpec& model_input,
                                       std::span<const TensorSpec> outputs);
  Postprocessor(Postprocessor&&) noexcept;
  Postprocessor& operator=(Postprocessor&&) noexcept;
  ~Postprocessor();

  [[nodiscard]] PredictionKind kind() const noexcept;
  [[nodiscard]] std::span<const std::string> labels() const noexcept;
  /// Label of a class, with the definition's label_offset; empty when there is none.
  [[nodiscard]] std::string_view label(int class_index) const noexcept;
  /// Colours of the first classes, as the definition gives them; further classes have palette_colour().
  [[nodiscard]] std::span<const Colour> palette() const noexcept;

  /// Makes the prediction of one sample. `outputs`: in the order of the model's specs, with variable dimensions
  /// resolved. For samples that are not pictures `placement` is ignored. Labels (and, for kind tensors, converted
  /// values) in `prediction` point into this object, which must outlive them; raw tensors point into `outputs`.
  /// Allocates nothing once `prediction` and the scratch memory have grown. Whatever the values (NaN, infinities), it
  /// neither fails nor loops. Errors: invalid_argument (VRG-PST-010 a tensor is not as the model said).
  /// A prediction of kind anomaly is made by run_window(); of kind custom by the package's own step (VRG-PST-012 here),
  /// which may make it any other kind.
  Result<void> run(std::span<const TensorView> outputs, const Placement& placement, Prediction& prediction);
  /// For kind anomaly: takes window number `window` of a sample (0 begins a new one) with what the model got and gave.
  /// After the last one the prediction is whole. Errors: as run().
  Result<void> run_window(const TensorView& input, std::span<const TensorView> outputs, std::size_t window,
                          Prediction& prediction);

 private:
  struct State;
  explicit Postprocessor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace verge::processing
