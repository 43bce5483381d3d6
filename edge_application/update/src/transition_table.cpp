#include "verge/update/transition_table.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace verge::update {
namespace {

using Step = wire::UpdateStep;

// After a restart nothing counts as checked: an update begins again, and finds in the store what it has fetched. Once
// the active pointer names the new version, the switch is made: a restart finds it done (ok) and goes on from there.
constexpr auto kTable = std::to_array<Transition>({
    // clang-format off
    {Step::pending,      Event::ok,         Step::downloading},
    {Step::pending,      Event::same,       Step::committed},
    {Step::pending,      Event::wait,       Step::pending},
    {Step::pending,      Event::retry,      Step::pending},
    {Step::pending,      Event::refuse,     Step::refused},
    {Step::pending,      Event::give_up,    Step::failed},
    {Step::pending,      Event::superseded, Step::pending},
    {Step::pending,      Event::restart,    Step::pending},

    {Step::downloading,  Event::ok,         Step::verifying},
    {Step::downloading,  Event::retry,      Step::downloading},
    {Step::downloading,  Event::refuse,     Step::refused},
    {Step::downloading,  Event::give_up,    Step::failed},
    {Step::downloading,  Event::superseded, Step::pending},
    {Step::downloading,  Event::restart,    Step::pending},

    {Step::verifying,    Event::ok,         Step::installing},
    {Step::verifying,    Event::damaged,    Step::downloading},
    {Step::verifying,    Event::retry,      Step::verifying},
    {Step::verifying,    Event::refuse,     Step::refused},
    {Step::verifying,    Event::give_up,    Step::failed},
    {Step::verifying,    Event::superseded, Step::pending},
    {Step::verifying,    Event::restart,    Step::pending},

    {Step::installing,   Event::ok,         Step::trying},
    {Step::installing,   Event::retry,      Step::installing},
    {Step::installing,   Event::refuse,     Step::refused},
    {Step::installing,   Event::give_up,    Step::failed},
    {Step::installing,   Event::superseded, Step::pending},
    {Step::installing,   Event::restart,    Step::pending},

    {Step::trying,       Event::ok,         Step::switching},
    {Step::trying,       Event::retry,      Step::trying},
    {Step::trying,       Event::refuse,     Step::refused},
    {Step::trying,       Event::give_up,    Step::failed},
    {Step::trying,       Event::superseded, Step::pending},
    {Step::trying,       Event::restart,    Step::pending},

    {Step::switching,    Event::ok,         Step::watching},
    {Step::switching,    Event::retry,      Step::switching},
    {Step::switching,    Event::unhealthy,  Step::rolling_back},
    {Step::switching,    Event::restart,    Step::pending},

    {Step::watching,     Event::ok,         Step::committed},
    {Step::watching,     Event::wait,       Step::watching},
    {Step::watching,     Event::retry,      Step::watching},
    {Step::watching,     Event::unhealthy,  Step::rolling_back},
    {Step::watching,     Event::superseded, Step::rolling_back},
    {Step::watching,     Event::restart,    Step::watching},

    {Step::rolling_back, Event::ok,         Step::rolled_back},
    {Step::rolling_back, Event::retry,      Step::rolling_back},
    {Step::rolling_back, Event::restart,    Step::rolling_back},

    {Step::committed,    Event::unhealthy,  Step::rolled_back},
    {Step::committed,    Event::superseded, Step::pending},
    {Step::committed,    Event::restart,    Step::committed},
    {Step::rolled_back,  Event::superseded, Step::pending},
    {Step::rolled_back,  Event::restart,    Step::rolled_back},
    {Step::refused,      Event::superseded, Step::pending},
    {Step::refused,      Event::restart,    Step::refused},
    {Step::failed,       Event::superseded, Step::pending},
    {Step::failed,       Event::restart,    Step::failed},
    // clang-format on
});

}  // namespace

std::span<const Transition> transition_table() {
  return kTable;
}

Step next_step(Step from, Event event) {
  const auto* row =
      std::ranges::find_if(kTable, [&](const Transition& t) { return t.from == from && t.event == event; });
  assert(row != kTable.end() && "an event without a row");
  return row->to;
}

wire::UpdateState state_of(Step step) noexcept {
  switch (step) {
    case Step::pending: return wire::UpdateState::pending;
    case Step::downloading: return wire::UpdateState::downloading;
    case Step::verifying: return wire::UpdateState::verifying;
    case Step::installing: return wire::UpdateState::installing;
    case Step::trying:
    case Step::switching:
    case Step::watching:
    case Step::rolling_back: return wire::UpdateState::testing;
    case Step::committed: return wire::UpdateState::committed;
    case Step::rolled_back: return wire::UpdateState::rolled_back;
    case Step::refused: return wire::UpdateState::refused;
    case Step::failed: return wire::UpdateState::failed;
  }
  return wire::UpdateState::failed;
}

bool is_end(Step step) noexcept {
  return step == Step::committed || step == Step::rolled_back || step == Step::refused || step == Step::failed;
}

}  // namespace verge::update
