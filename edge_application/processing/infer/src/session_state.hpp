// What Session, Request and EngineCatalogue share of a loaded model.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "verge/engines/abi.h"
#include "verge/processing/engine.hpp"

namespace verge::processing {

namespace isolation {
class IsolatedSession;
}

struct Session::State {
  const verge_engine_api* api = nullptr;
  verge_engine_session* session = nullptr;
  std::string context;  ///< "engine 'litert', model /a/b.tflite"
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  const isolation::IsolatedSession* isolated = nullptr;  ///< `session`, when it runs in a process of its own.

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (session != nullptr) api->session_destroy(session);
  }

  /// Asks the engine for its tensors. Errors: the engine's, internal (VRG-ENG-017) for an answer that makes no sense.
  Result<void> describe_tensors();

 private:
  using Describe = decltype(verge_engine_api::input_info);
  Result<void> describe_side(std::string_view side, std::uint32_t count, Describe describe,
                             std::vector<TensorSpec>& out) const;
};

}  // namespace verge::processing
