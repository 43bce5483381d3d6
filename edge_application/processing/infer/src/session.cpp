#include <string>
#include <utility>

#include "engine_errors.hpp"
#include "isolation/isolated_session.hpp"
#include "session_state.hpp"

namespace verge::processing {
namespace {

constexpr std::uint32_t kTensorLimit = 1024;

Error senseless(std::string_view context, const std::string& what) {
  return {ErrorCode::internal, "VRG-ENG-017",
          std::string(context) + ": the engine's answer makes no sense: " + what + "; update the engine's plug-in"};
}

}  // namespace

Result<void> Session::State::describe_side(std::string_view side, std::uint32_t count, Describe describe,
                                           std::vector<TensorSpec>& out) const {
  if (count > kTensorLimit) {
    return senseless(context, std::to_string(count) + " " + std::string(side) + "s, expected at most 1024");
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    verge_engine_tensor_info info{};
    info.struct_size = sizeof(info);
    verge_engine_error error{};
    if (const auto status = describe(session, i, &info, &error); status != VERGE_ENGINE_OK) {
      return engine_error(status, context, error.message);
    }
    const auto datatype = static_cast<unsigned>(info.datatype);
    if (info.name == nullptr || info.rank > VERGE_ENGINE_MAX_RANK || datatype > VERGE_ENGINE_BYTES) {
      return senseless(context, std::string(side) + " " + std::to_string(i) + " has no name, more than " +
                                    std::to_string(VERGE_ENGINE_MAX_RANK) + " dimensions or an unknown type");
    }
    TensorSpec& spec = out.emplace_back();
    spec.name = info.name;
    spec.datatype = static_cast<DataType>(datatype);
    spec.shape.assign(info.shape, info.shape + info.rank);
    if (info.is_quantised != 0) spec.quantisation = Quantisation{info.scale, info.zero_point};
  }
  return {};
}

Result<void> Session::State::describe_tensors() {
  VERGE_TRY(describe_side("input", api->input_count(session), api->input_info, inputs));
  VERGE_TRY(describe_side("output", api->output_count(session), api->output_info, outputs));
  return {};
}

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;

std::span<const TensorSpec> Session::inputs() const {
  return state_->inputs;
}
std::span<const TensorSpec> Session::outputs() const {
  return state_->outputs;
}
std::string_view Session::engine() const {
  return state_->api->name;
}
std::string_view Session::engine_version() const {
  return state_->api->version;
}

bool Session::isolated() const {
  return state_->isolated != nullptr;
}
std::size_t Session::restarts() const {
  return state_->isolated != nullptr ? state_->isolated->restarts() : 0;
}
bool Session::given_up() const {
  return state_->isolated != nullptr && state_->isolated->given_up();
}

}  // namespace verge::processing
