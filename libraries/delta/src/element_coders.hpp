// One coder for each kind of elements, made when it is first needed.
#pragma once

#include <array>
#include <optional>

#include "element_coder.hpp"

namespace verge::delta {

class ElementCoders {
 public:
  ElementCoder& of(model_file::ElementKind kind) {
    auto& coder = coders_.at(static_cast<std::size_t>(kind));
    if (!coder) coder.emplace(kind);
    return *coder;
  }

 private:
  std::array<std::optional<ElementCoder>, model_file::kElementKinds> coders_;
};

}  // namespace verge::delta
