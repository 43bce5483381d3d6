#include "engine_errors.hpp"

namespace verge::processing {

Error engine_error(verge_engine_status status, std::string_view context, std::string_view message) {
  std::string text = std::string(context) + ": ";
  text += message.empty() ? "the engine gives no reason" : message;
  switch (status) {
    case VERGE_ENGINE_INVALID_ARGUMENT: return {ErrorCode::invalid_argument, "VRG-ENG-010", std::move(text)};
    case VERGE_ENGINE_UNSUPPORTED: return {ErrorCode::unimplemented, "VRG-ENG-011", std::move(text)};
    case VERGE_ENGINE_CORRUPT: return {ErrorCode::data_loss, "VRG-ENG-012", std::move(text)};
    case VERGE_ENGINE_UNAVAILABLE: return {ErrorCode::unavailable, "VRG-ENG-013", std::move(text)};
    case VERGE_ENGINE_OUT_OF_MEMORY: return {ErrorCode::resource_exhausted, "VRG-ENG-014", std::move(text)};
    case VERGE_ENGINE_CANCELLED: return {ErrorCode::cancelled, "VRG-ENG-015", std::move(text)};
    case VERGE_ENGINE_OK:
    case VERGE_ENGINE_FAILED: break;
  }
  return {ErrorCode::internal, "VRG-ENG-016", std::move(text)};
}

}  // namespace verge::processing
