// What is said to a client whose request is wrong.
#pragma once

#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/processing/tensor.hpp"

namespace verge::inference_api {

[[nodiscard]] inline Error malformed(std::string_view id, std::string message) {
  return Error(ErrorCode::invalid_argument, id, std::move(message));
}

/// An input of this kind as a client would write it.
[[nodiscard]] std::string example(const processing::TensorSpec& spec);
/// The same for all inputs of a model, as a whole request.
[[nodiscard]] std::string example(std::span<const processing::TensorSpec> specs);

}  // namespace verge::inference_api
