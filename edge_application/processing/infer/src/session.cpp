#include <algorithm>
#include <utility>

#include "engine_errors.hpp"
#include "session_state.hpp"

namespace verge::processing {
namespace {

using Describe = verge_engine_status (*)(const verge_engine_session*, std::uint32_t, verge_engine_tensor_info*,
                                         verge_engine_error*);

Result<TensorSpec> describe_tensor(const Session::State& state, Describe describe, std::uint32_t index);

}  // namespace

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;

std::span<const TensorSpec> Session::inputs() const { return state_->inputs; }
std::span<const TensorSpec> Session::outputs() const { return state_->outputs; }
std::string_view Session::engine() const { return state_->api->name; }
std::string_view Session::engine_version() const { return state_->api->version; }

}  // namespace verge::processing
