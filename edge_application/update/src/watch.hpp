// Watch: how a new version proves itself on live traffic.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "verge/update/ports.hpp"
#include "verge/wire/desired_state.hpp"
#include "verge/wire/update_record.hpp"

namespace verge::update {

/// What the version before did, by model: clients that send rubbish must not be held against the new one.
using Baseline = std::map<std::string, wire::BaselineModel>;

[[nodiscard]] Baseline baseline_of(const std::vector<LiveModel>& models);

/// Judges what the new version has done so far, and writes it into `numbers`. Errors: failed_precondition (VRG-UPD-010
/// it does not run; 011 too many requests fail; 012 slower than its budget, or than the version before by more than
/// allowed).
Result<void> judge_live(const VerifiedApplication& application, const std::vector<LiveModel>& models,
                        const wire::WatchPolicy& policy, const Baseline& before,
                        std::map<std::string, double>& numbers);

/// What a new agent must serve at the end of its watch: every model of the baseline. Errors: VRG-UPD-010.
Result<void> judge_served(const std::vector<LiveModel>& models, const Baseline& before);

}  // namespace verge::update
