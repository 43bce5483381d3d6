// Transition table: every way an update can go, in one place.
#pragma once

#include <span>

#include "verge/wire/update_record.hpp"

namespace verge::update {

/// How a step ended.
enum class Event {
  ok,          ///< Done.
  same,        ///< The wanted version is the active one already.
  wait,        ///< Not yet.
  retry,       ///< Something that may pass by itself went wrong: the same step, later.
  damaged,     ///< What was fetched is not what was signed: fetch it again.
  refuse,      ///< The version must not run here.
  give_up,     ///< The device could not do it.
  unhealthy,   ///< The new version runs, and not well.
  superseded,  ///< Another version is wanted by now.
  restart,     ///< The agent has started again in this step.
};

struct Transition {
  wire::UpdateStep from;
  Event event;
  wire::UpdateStep to;
};

/// All rows. An event that has no row for a step cannot happen there.
[[nodiscard]] std::span<const Transition> transition_table();
/// Where `event` leads from `from`. Asserts that there is a row.
[[nodiscard]] wire::UpdateStep next_step(wire::UpdateStep from, Event event);
/// The state, as reported, of a step.
[[nodiscard]] wire::UpdateState state_of(wire::UpdateStep step) noexcept;
/// Whether an update has ended.
[[nodiscard]] bool is_end(wire::UpdateStep step) noexcept;

}  // namespace verge::update
