// What the processes of one model's custom steps share.
#pragma once

#include <mutex>

#include "verge/data_processing/custom_steps.hpp"
#include "verge/process/child_starter.hpp"
#include "verge/process/restart_budget.hpp"

namespace verge::data_processing {

struct StepsState {
  StepsState(StepOrder o, StepOptions s)
      : order(std::move(o)), options(std::move(s)), budget(options.max_restarts, options.restart_window) {}

  const StepOrder order;
  const StepOptions options;
  process::ChildStarter starter;
  mutable std::mutex mutex;  ///< Of what follows.
  process::RestartBudget budget;
  std::size_t restarts = 0;
  std::string last_end;  ///< How the last process ended, in words.
};

}  // namespace verge::data_processing
