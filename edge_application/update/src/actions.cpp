// What is done in each step. Every action may be done again: after a failure, or after a restart.
#include <algorithm>

#include <fmt/format.h>

#include "application_update.hpp"
#include "verge/base/text.hpp"

namespace verge::update {
namespace {

/// Attempts at what should not fail: a signature that is wrong, a digest that differs, a disk that does not write.
constexpr std::int64_t kMaxAttempts = 4;

std::string size_text(double bytes) {
  return human_bytes(bytes);
}

/// What an error of a step before the switch leads to. `doubts` counts those that should not be: what passes by itself
/// is waited for, however often it comes.
Outcome outcome_of(Error error, std::int64_t& doubts, bool verifying = false) {
  // What was fetched and is not there is fetched again, as what is damaged.
  const bool gone = verifying && error.code() == ErrorCode::not_found;
  const bool disk = error.id().starts_with("VRG-BAS") && !gone;
  const bool passes = passes_by_itself(error);
  if (disk || !passes) ++doubts;
  Event event = gone ? Event::give_up : Event::refuse;
  if (passes && !(disk && doubts >= kMaxAttempts)) {
    event = Event::retry;
  } else if (disk) {
    event = doubts < kMaxAttempts ? Event::retry : Event::give_up;
  } else if (error.code() == ErrorCode::not_found || error.code() == ErrorCode::data_loss ||
             error.code() == ErrorCode::unauthenticated || error.id().starts_with("VRG-TUF") ||
             error.id().starts_with("VRG-HTC")) {
    if (doubts < kMaxAttempts) event = verifying ? Event::damaged : Event::retry;
  }
  return {event, {}, std::move(error)};
}

void store_traffic(wire::UpdateReport& progress, const Traffic& traffic) {
  progress.bytes_total = static_cast<std::int64_t>(traffic.total_bytes);
  progress.bytes_reused = static_cast<std::int64_t>(traffic.reused_bytes);
  progress.bytes_fetched = static_cast<std::int64_t>(traffic.fetched_bytes);
  if (traffic.spared_bytes > 0) progress.bytes_spared = static_cast<std::int64_t>(traffic.spared_bytes);
}

}  // namespace

Outcome ApplicationUpdate::act(bool frozen) {
  switch (record_->step) {
    case wire::UpdateStep::pending: return act_pending(frozen);
    case wire::UpdateStep::downloading: return act_downloading();
    case wire::UpdateStep::verifying: return act_verifying();
    case wire::UpdateStep::installing: return act_installing();
    case wire::UpdateStep::trying: return act_trying();
    case wire::UpdateStep::switching: return act_switching();
    case wire::UpdateStep::watching: return act_watching();
    case wire::UpdateStep::rolling_back: return act_rolling_back();
    default: return {Event::wait, {}, {}};
  }
}

Outcome ApplicationUpdate::act_pending(bool frozen) {
  if (active_ && running_ && active_->digest == record_->desired.digest &&
      active_->version == record_->desired.version) {
    return {Event::same, "this version runs already", {}};
  }
  if (frozen) return {Event::wait, {}, {}};
  if (record_->starts >= kMaxStarts) {
    return {Event::refuse,
            {},
            Error(ErrorCode::failed_precondition, "VRG-UPD-013",
                  fmt::format("the agent ended {} times while it loaded this version", record_->starts))};
  }
  auto found = stages_.find(record_->desired);
  if (!found) return outcome_of(std::move(found).error(), doubts_);
  found_ = std::move(*found);
  return {Event::ok, "signatures checked, the device has what it needs", {}};
}

Outcome ApplicationUpdate::act_downloading() {
  auto& progress = record_->progress;
  Traffic traffic{static_cast<std::uint64_t>(progress.bytes_total.value_or(0)),
                  static_cast<std::uint64_t>(progress.bytes_reused.value_or(0)),
                  static_cast<std::uint64_t>(progress.bytes_fetched.value_or(0)),
                  static_cast<std::uint64_t>(progress.bytes_spared.value_or(0))};
  const auto start = ports_.clock.steady_ms();
  const auto fetched_before = traffic.fetched_bytes;
  auto downloaded = stages_.download(*found_, traffic);
  store_traffic(progress, traffic);
  if (!downloaded) {
    // A link that breaks often, and gets on all the same, is not waited for longer and longer.
    const bool gets_on = traffic.fetched_bytes > fetched_before && passes_by_itself(downloaded.error()) &&
                         !is_disk_trouble(downloaded.error());
    if (gets_on) record_->attempts = doubts_ = 0;
    return outcome_of(std::move(downloaded).error(), doubts_);
  }
  downloaded_ = std::move(*downloaded);
  const auto took = static_cast<double>(ports_.clock.steady_ms() - start);
  progress.numbers["download_ms"] += took;
  return {Event::ok,
          fmt::format("{} of {} downloaded in {:.0f} ms, {} were here already{}",
                      size_text(static_cast<double>(traffic.fetched_bytes)),
                      size_text(static_cast<double>(traffic.total_bytes)), took,
                      size_text(static_cast<double>(traffic.reused_bytes)),
                      traffic.spared_bytes == 0
                          ? std::string()
                          : ", deltas spared " + size_text(static_cast<double>(traffic.spared_bytes))),
          {}};
}

Outcome ApplicationUpdate::act_verifying() {
  auto verified = stages_.verify(*downloaded_);
  if (!verified) {
    doubts_ = std::max(doubts_, damaged_);
    auto outcome = outcome_of(std::move(verified).error(), doubts_, true);
    if (outcome.event == Event::damaged) ++damaged_;
    return outcome;
  }
  damaged_ = 0;
  verified_ = std::move(*verified);
  return {Event::ok, "every digest is right", {}};
}

Outcome ApplicationUpdate::act_installing() {
  candidate_ = true;
  if (auto written = write_pointer("candidate", pointer_to(record_->desired)); !written) {
    return outcome_of(std::move(written).error(), doubts_);
  }
  auto installed = stages_.install(*verified_);
  if (!installed) return outcome_of(std::move(installed).error(), doubts_);
  installed_ = std::move(*installed);
  return {Event::ok, "installed beside the running version", {}};
}

Outcome ApplicationUpdate::act_trying() {
  auto& numbers = record_->progress.numbers;
  for (const auto* key : {"golden_samples", "golden_passed", "latency_ms", "memory_bytes"}) numbers.erase(key);
  auto tested = stages_.try_out(*installed_, numbers);
  if (!tested) {
    auto outcome = outcome_of(std::move(tested).error(), doubts_);
    if (outcome.event == Event::retry && record_->attempts + 1 >= kMaxAttempts) outcome.event = Event::give_up;
    // The content is what was signed: an engine that cannot read it will not be able to later.
    if (outcome.error->code() == ErrorCode::data_loss) outcome.event = Event::refuse;
    return outcome;
  }
  tested_ = std::move(*tested);
  record_->before = active_;
  record_->before_previous = previous_;
  // Now and not in the next step: the new version must not be its own measure when that one is done again.
  record_->baseline = baseline_of(ports_.runtime.live(name_));
  return {Event::ok,
          fmt::format("{:.0f} golden samples right, inference {:.3f} ms, {} of memory", numbers["golden_samples"],
                      numbers["latency_ms"], size_text(numbers["memory_bytes"])),
          {}};
}

Outcome ApplicationUpdate::act_switching() {
  const auto& candidate = tested_->application();
  const auto start = ports_.clock.steady_ms();
  if (auto switched = ports_.runtime.switch_to(candidate); !switched) {
    return {Event::unhealthy, {}, std::move(switched).error()};
  }
  record_->progress.numbers["switch_ms"] = static_cast<double>(ports_.clock.steady_ms() - start);
  if (active_ && active_->digest != candidate.pointer().digest) {
    if (auto written = write_pointer("previous", active_); !written) {
      return {Event::retry, {}, std::move(written).error()};
    }
  }
  if (auto written = write_pointer("active", candidate.pointer()); !written) {
    return {Event::retry, {}, std::move(written).error()};
  }
  running_ = candidate;
  watch_since_ms_ = ports_.clock.steady_ms();
  return {Event::ok,
          record_->before ? fmt::format("traffic switched from {}", record_->before->version) : "traffic switched on",
          {}};
}

Outcome ApplicationUpdate::act_watching() {
  if (!running_) {
    auto runs = run_checked(*active_);
    const bool passes = !runs && (passes_by_itself(runs.error()) || is_disk_trouble(runs.error()));
    if (passes && record_->attempts + 1 < kMaxAttempts) {
      return {Event::retry, {}, std::move(runs).error()};
    }
    if (!runs) return {Event::unhealthy, {}, std::move(runs).error()};
  }
  const auto policy = record_->desired.watch.value_or(wire::WatchPolicy{});
  const auto live = ports_.runtime.live(name_);
  auto judged = judge_live(*running_, live, policy, record_->baseline, record_->progress.numbers);
  if (!judged) return {Event::unhealthy, {}, std::move(judged).error()};
  const double watched_s = static_cast<double>(ports_.clock.steady_ms() - watch_since_ms_) / 1000;
  if (watched_s < policy.duration_s) return {Event::wait, {}, {}};
  if (running_->is_agent()) {
    if (auto served = judge_served(live, record_->baseline); !served) {
      return {Event::unhealthy, {}, std::move(served).error()};
    }
    const auto proven = ports_.runtime.proven();
    if (!proven) return {Event::unhealthy, {}, proven.error()};
    if (!*proven) return {Event::wait, {}, {}};
  }
  return {Event::ok,
          fmt::format("watched for {:.1f} s: {:.0f} requests, {:.0f} failed, median {:.3f} ms", watched_s,
                      record_->progress.numbers["watched_requests"], record_->progress.numbers["watched_failed"],
                      record_->progress.numbers["watched_p50_ms"]),
          {}};
}

Outcome ApplicationUpdate::act_rolling_back() {
  const auto retry = [](Error error) { return Outcome{Event::retry, {}, std::move(error)}; };
  if (auto written = write_pointer("active", record_->before); !written) return retry(std::move(written).error());
  if (auto written = write_pointer("previous", record_->before_previous); !written) {
    return retry(std::move(written).error());
  }
  if (!record_->before || !record_->before_previous) {
    // What was removed must not come back once the record says that this has ended.
    if (auto synced = ports_.files.sync(folder()); !synced) return retry(std::move(synced).error());
  }
  running_.reset();
  if (!record_->before) {
    ports_.runtime.end(name_);
    return {Event::ok, "ended; there was no version before", {}};
  }
  auto checked = stages_.check_again(*record_->before);
  if (!checked && (passes_by_itself(checked.error()) || is_disk_trouble(checked.error()))) {
    return retry(std::move(checked).error());
  }
  auto switched = checked ? ports_.runtime.switch_to(*checked) : Result<void>(Error(checked.error()));
  if (!switched && passes_by_itself(switched.error())) return retry(std::move(switched).error());
  if (!switched) {
    ports_.runtime.end(name_);
    return {Event::ok, "nothing runs: the version before is not usable: " + switched.error().text(), {}};
  }
  running_ = std::move(*checked);
  return {Event::ok, fmt::format("version {} is back", record_->before->version), {}};
}

}  // namespace verge::update
