#include "application_update.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "verge/package/agent_release.hpp"

namespace verge::update {
namespace {

constexpr std::uint64_t kRecordLimitBytes = 1U << 20U;
constexpr std::size_t kTimelineLimit = 64;
constexpr std::size_t kTextLimit = 1024;
constexpr std::int64_t kRetryFirstMs = 1000;
constexpr std::int64_t kRetryLongestMs = 300'000;
constexpr std::int64_t kWatchStepMs = 200;
constexpr std::int64_t kIdleMs = 60'000;

std::string_view digest_of(const std::optional<wire::DevicePointer>& pointer) {
  return pointer ? std::string_view(pointer->digest) : std::string_view();
}

}  // namespace

ApplicationUpdate::ApplicationUpdate(Ports& ports, ContentStore& store, trust::Client& trust, StoredMetadata& metadata,
                                     std::string name)
    : ports_(ports), store_(store), stages_{ports, store, trust, metadata}, name_(std::move(name)) {}

std::string ApplicationUpdate::folder() const {
  return fmt::format("{}/{}", kApplicationsFolder, name_);
}

std::string ApplicationUpdate::file(std::string_view which) const {
  return fmt::format("{}/{}.json", folder(), which);
}

Result<std::optional<wire::DevicePointer>> ApplicationUpdate::read_pointer(std::string_view which) {
  auto text = ports_.files.read(file(which), kRecordLimitBytes);
  if (!text && text.error().code() == ErrorCode::not_found) return std::optional<wire::DevicePointer>();
  if (!text) return std::move(text).error();
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(*text, which));
  VERGE_ASSIGN(wire::DevicePointer pointer, wire::read_device_pointer(node, wire::Place(which)));
  return std::optional(std::move(pointer));
}

Result<void> ApplicationUpdate::write_pointer(std::string_view which,
                                              const std::optional<wire::DevicePointer>& pointer) {
  if (pointer) {
    VERGE_TRY(ports_.files.write(file(which), wire::write_json(wire::to_node(*pointer))));
  } else {
    VERGE_TRY(ports_.files.remove(file(which)));
  }
  if (which == "active") active_ = pointer;
  if (which == "previous") previous_ = pointer;
  return {};
}

Result<void> ApplicationUpdate::write_record(const wire::UpdateRecord& record) {
  return ports_.files.write(file("update"), wire::write_json(wire::to_node(record)));
}

void ApplicationUpdate::note(wire::UpdateRecord& record, wire::UpdateState state, std::string text) const {
  if (text.size() > kTextLimit) text.resize(kTextLimit);
  auto& timeline = record.progress.timeline;
  if (!timeline.empty() && timeline.back().state == state && timeline.back().text == text) return;
  wire::TimelineEntry entry;
  entry.at_ms = std::max<std::int64_t>(ports_.clock.now_ms(), 0);
  entry.state = state;
  entry.text = std::move(text);
  timeline.push_back(std::move(entry));
  if (timeline.size() > kTimelineLimit) timeline.erase(timeline.begin() + 1);
}

void ApplicationUpdate::drop_tokens() {
  found_.reset();
  downloaded_.reset();
  verified_.reset();
  installed_.reset();
  tested_.reset();
  damaged_ = 0;
}

void ApplicationUpdate::put_off(wire::UpdateRecord& record) const {
  const auto shift = std::min<std::int64_t>(record.attempts, 12);
  const auto longest = std::min(kRetryLongestMs, kRetryFirstMs << shift);
  // From half to the whole of it, so that devices that failed together do not come back together.
  const auto wait =
      longest / 2 + static_cast<std::int64_t>(ports_.random.next() % static_cast<std::uint64_t>(longest / 2));
  record.attempts += 1;
  record.retry_at_ms = std::max<std::int64_t>(ports_.clock.now_ms(), 0) + wait;
}

bool ApplicationUpdate::advance(Outcome outcome) {
  if (outcome.event == Event::wait) return true;
  wire::UpdateRecord next = *record_;
  const auto from = next.step;
  next.step = next_step(from, outcome.event);
  next.progress.state = state_of(next.step);
  if (outcome.error) {
    wire::Reason reason;
    reason.id = outcome.error->id();
    reason.message = outcome.error->message().substr(0, 4096);
    // Why a version is rolled back stays the reason, whatever goes wrong meanwhile.
    if (from != wire::UpdateStep::rolling_back || !next.progress.reason) next.progress.reason = std::move(reason);
    if (outcome.text.empty()) outcome.text = outcome.error->text();
  } else if (outcome.event == Event::ok || outcome.event == Event::same) {
    if (next.step != wire::UpdateStep::rolled_back) next.progress.reason.reset();
  }
  note(next, next.progress.state, std::move(outcome.text));
  if (outcome.event == Event::retry || outcome.event == Event::damaged) {
    put_off(next);
  } else {
    next.attempts = 0;
    next.retry_at_ms = 0;
    doubts_ = 0;
  }
  if (!write_record(next)) {
    put_off(*record_);  // The disk does not write: the same step again, in a while.
    retry_steady_ms_ = ports_.clock.steady_ms() + kRetryFirstMs;
    return false;
  }
  record_ = std::move(next);
  retry_steady_ms_ = record_->retry_at_ms == 0 ? 0
                                               : ports_.clock.steady_ms() + record_->retry_at_ms -
                                                     std::max<std::int64_t>(ports_.clock.now_ms(), 0);
  changed();
  return true;
}

Result<std::optional<wire::UpdateRecord>> ApplicationUpdate::read_record() {
  const auto text = ports_.files.read(file("update"), kRecordLimitBytes);
  if (!text && text.error().code() == ErrorCode::not_found) return std::optional<wire::UpdateRecord>();
  if (!text) return text.error();
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(*text, "update.json"));
  VERGE_ASSIGN(wire::UpdateRecord record, wire::read_update_record(node, wire::Place("update.json")));
  return std::optional(std::move(record));
}

bool ApplicationUpdate::read_files() {
  auto active = read_pointer("active");
  auto previous = read_pointer("previous");
  auto record = read_record();
  const auto silent = [](const auto& result) { return !result && is_disk_trouble(result.error()); };
  if (silent(active) || silent(previous) || silent(record)) return false;
  // Written atomically, so what is there and cannot be understood was never written by us: as if nothing were known.
  active_ = std::move(active).value_or(std::nullopt);
  previous_ = std::move(previous).value_or(std::nullopt);
  record_ = std::move(record).value_or(std::nullopt);
  return true;
}

void ApplicationUpdate::restore() {
  ports_.files.remove_unfinished(folder());
  // What is acted on must be durable: the run before may have been killed between a rename and its sync.
  const auto synced = ports_.files.sync(folder());
  restored_ = (synced || synced.error().code() == ErrorCode::not_found) && read_files();
  // Nothing is decided without knowing what is there: step() asks again.
  if (!restored_) return;
  if (!record_) return run_active();
  const bool switched = active_ && active_->digest == record_->desired.digest;
  if (fell_back_untold()) {
    tell_lost_fall_back();
    return run_active();
  }
  const bool switching = record_->step == wire::UpdateStep::switching;
  if (switching || record_->step == wire::UpdateStep::watching) record_->starts += 1;
  // Cut off between the two pointers of a switch: the version before is not its own previous one.
  if (switching && !switched && digest_of(previous_) != digest_of(record_->before_previous)) {
    (void)write_pointer("previous", record_->before_previous).has_value();
  }
  // The active pointer is the moment of the switch: before it, the update begins again.
  record_->step = next_step(record_->step, switching && switched ? Event::ok : Event::restart);
  record_->progress.state = state_of(record_->step);
  record_->attempts = 0;
  record_->retry_at_ms = 0;
  if (!is_end(record_->step)) {
    note(*record_, record_->progress.state, "the agent started again");
    // Counted before the version is loaded: one that ends the agent while loading must not do so for ever.
    (void)write_record(*record_).has_value();
    changed();
  }
  if (record_->step == wire::UpdateStep::rolling_back) return;
  if (record_->step == wire::UpdateStep::watching && record_->starts >= kMaxStarts) {
    advance({Event::unhealthy,
             {},
             Error(ErrorCode::failed_precondition, "VRG-UPD-013",
                   fmt::format("the agent ended {} times while this version was watched", record_->starts))});
    return;
  }
  run_active();
}

Result<void> ApplicationUpdate::run_checked(const wire::DevicePointer& pointer) {
  VERGE_ASSIGN(VerifiedApplication checked, stages_.check_again(pointer));
  VERGE_TRY(ports_.runtime.switch_to(checked));
  running_ = std::move(checked);
  watch_since_ms_ = ports_.clock.steady_ms();
  return {};
}

void ApplicationUpdate::run_active() {
  if (!active_) return;
  const auto runs = run_checked(*active_);
  if (runs) return;
  // While it is watched, act_watching() judges it. A disk that does not answer now says nothing about the version:
  // repair() tries again.
  if (record_ && record_->step == wire::UpdateStep::watching) return;
  if (runs.error().code() != ErrorCode::unavailable && !is_disk_trouble(runs.error())) fall_back(runs.error());
}

void ApplicationUpdate::fall_back(const Error& why) {
  if (!record_ || (previous_ && !run_checked(*previous_))) return;
  // The agent of the system is always there; what is damaged is fetched again.
  if (!previous_ && !(is_agent() && why.code() == ErrorCode::failed_precondition)) return;
  fall_back_to_write_ =
      fmt::format("{} {} cannot run: {}; {} runs in its place", name_, active_->version, why.message(), in_its_place());
  if (!write_fall_back()) changed();  // It is told all the same.
}

bool ApplicationUpdate::is_agent() const {
  return name_ == package::kAgentName;
}

std::string ApplicationUpdate::in_its_place() const {
  return previous_ ? "version " + previous_->version : "the one that was installed with the system";
}

bool ApplicationUpdate::write_fall_back() {
  if (!fall_back_to_write_) return true;
  // Until then the version before runs, and the file may name either: a write that fails may have been made all the
  // same.
  if (!write_pointer("active", previous_)) return false;
  tell_fallen_back(*std::exchange(fall_back_to_write_, std::nullopt));
  return true;
}

bool ApplicationUpdate::leave_given_up() {
  // A model that is given up is no fault of an agent that has proved itself.
  if (is_agent() || !previous_ || previous_->digest == active_->digest) return false;
  for (const auto& live : ports_.runtime.live(name_)) {
    if (live.given_up.empty()) continue;
    const auto before = active_->digest;
    fall_back(
        Error(ErrorCode::failed_precondition, "VRG-UPD-017", fmt::format("model '{}' {}", live.model, live.given_up)));
    return active_->digest != before;
  }
  return false;
}

void ApplicationUpdate::tell_fallen_back(std::string message) {
  const Error why(ErrorCode::failed_precondition, "VRG-UPD-015", std::move(message));
  if (record_->step == wire::UpdateStep::committed) {
    advance({Event::unhealthy, {}, why});
    return;
  }
  // An update to another version is not to blame, and goes on, or stays as it has ended.
  note(*record_, record_->progress.state, why.text());
  (void)write_record(*record_).has_value();
  changed();
}

bool ApplicationUpdate::fell_back_untold() const {
  if (record_->step != wire::UpdateStep::committed) return false;
  // Of the agent there is always one: that of the system, which no pointer names.
  return active_ ? active_->digest != record_->desired.digest : is_agent();
}

std::string ApplicationUpdate::lost_fall_back() const {
  return fmt::format("{} {} could not run; {} runs in its place", name_, record_->desired.version,
                     active_ ? "version " + active_->version : "the one that was installed with the system");
}

bool ApplicationUpdate::tell_lost_fall_back() {
  tell_fallen_back(lost_fall_back());
  return !fell_back_untold();
}

std::int64_t ApplicationUpdate::repair() {
  wire::DesiredApplication desired;
  desired.application = name_;
  desired.version = active_->version;
  desired.target = active_->target;
  desired.digest = active_->digest;
  Traffic traffic;
  const auto fetch = [&]() -> Result<void> {
    VERGE_ASSIGN(const FoundTarget found, stages_.find(desired));
    VERGE_ASSIGN(const DownloadedTarget downloaded, stages_.download(found, traffic));
    return {};
  };
  auto runs = run_checked(*active_);
  if (!runs && fetch()) runs = run_checked(*active_);
  if (runs) {
    changed();
    return 0;
  }
  put_off(*record_);
  return record_->retry_at_ms - std::max<std::int64_t>(ports_.clock.now_ms(), 0);
}

void ApplicationUpdate::begin(const wire::DesiredApplication& desired) {
  wire::UpdateRecord record;
  record.version = 1;
  record.desired = desired;
  record.step = wire::UpdateStep::pending;
  record.progress.deployment = desired.deployment;
  record.progress.version = desired.version;
  record.progress.digest = desired.digest;
  record.progress.state = wire::UpdateState::pending;
  note(record, wire::UpdateState::pending,
       active_ ? fmt::format("version {} is wanted, {} runs", desired.version, active_->version)
               : fmt::format("version {} is wanted", desired.version));
  drop_tokens();
  if (!write_record(record)) {
    retry_steady_ms_ = ports_.clock.steady_ms() + kRetryFirstMs;
    return;
  }
  record_ = std::move(record);
  retry_steady_ms_ = 0;
  changed();
}

void ApplicationUpdate::forget_refusal() {
  refusal_forgotten_ =
      record_ && (record_->step == wire::UpdateStep::refused || record_->step == wire::UpdateStep::failed);
}

std::int64_t ApplicationUpdate::step(const wire::DesiredApplication& desired, bool frozen) {
  if (!restored_) {
    restore();
    if (!restored_) return kRetryFirstMs;
    changed();
  }
  if (!write_fall_back()) return kRetryFirstMs;
  if (const auto wait = retry_steady_ms_ - ports_.clock.steady_ms(); retry_steady_ms_ > 0 && wait > 0) {
    const bool waiting_for_old = record_ && record_->desired.deployment != desired.deployment;
    if (!waiting_for_old) return wait;
  }
  retry_steady_ms_ = 0;
  const bool anew = std::exchange(refusal_forgotten_, false);
  if (anew || !record_ || record_->desired.deployment != desired.deployment ||
      record_->desired.digest != desired.digest) {
    const auto step = record_ ? record_->step : wire::UpdateStep::pending;
    if (record_ && step == wire::UpdateStep::watching) {
      advance({Event::superseded,
               {},
               Error(ErrorCode::aborted, "VRG-UPD-014",
                     fmt::format("version {} is wanted before this one had proved itself", desired.version))});
      return 0;
    }
    // A switch and a rollback end before anything new begins.
    if (step != wire::UpdateStep::switching && step != wire::UpdateStep::rolling_back) {
      begin(desired);
      return record_ && record_->desired.deployment == desired.deployment ? 0 : kRetryFirstMs;
    }
  }
  if (fell_back_untold()) return tell_lost_fall_back() ? 0 : kRetryFirstMs;
  if (is_end(record_->step)) {
    // Nothing reads it any more: one that stays, or comes back with a loss of power, is dropped later.
    if (candidate_) candidate_ = !write_pointer("candidate", std::nullopt);
    if (running_ && leave_given_up()) return 0;
    if (!active_ || running_) return kIdleMs;
    const auto wait = repair();
    retry_steady_ms_ = ports_.clock.steady_ms() + wait;
    return wait;
  }
  Outcome outcome = act(frozen);
  const bool waits = outcome.event == Event::wait;
  if (!advance(std::move(outcome))) return kRetryFirstMs;
  if (waits) return record_->step == wire::UpdateStep::watching ? kWatchStepMs : kIdleMs;
  return std::max<std::int64_t>(retry_steady_ms_ - ports_.clock.steady_ms(), 0);
}

namespace {

/// What was moved to kRemovedFolder does not come back with a loss of power.
Result<void> keep_removed(Files& files) {
  for (const auto* folder : {kApplicationsFolder, kRemovedFolder}) {
    auto synced = files.sync(folder);
    if (!synced && synced.error().code() != ErrorCode::not_found) return synced;
  }
  return {};
}

}  // namespace

Result<void> clear_removed(Files& files) {
  VERGE_ASSIGN(const auto left, files.list(kRemovedFolder));
  if (!left.empty()) VERGE_TRY(keep_removed(files));
  return files.remove(kRemovedFolder);
}

Result<void> ApplicationUpdate::remove() {
  VERGE_TRY(clear_removed(ports_.files));
  // One rename: no crash leaves a version without the record that says whether it had proved itself.
  auto moved = ports_.files.rename(folder(), fmt::format("{}/{}", kRemovedFolder, name_));
  if (!moved && moved.error().code() != ErrorCode::not_found) return moved;
  // Nothing is left under its name: wanted anew, it begins anew, whether or not what follows succeeds.
  ports_.runtime.end(name_);
  running_.reset();
  record_.reset();
  drop_tokens();
  active_.reset();
  previous_.reset();
  fall_back_to_write_.reset();
  changed();
  // It is told to have ended from here on.
  VERGE_TRY(keep_removed(ports_.files));
  // What cannot be deleted now is deleted when the store is tidied.
  (void)ports_.files.remove(kRemovedFolder).has_value();
  return {};
}

wire::ReportedApplication ApplicationUpdate::report() const {
  const auto installed = [](const wire::DevicePointer& pointer) {
    wire::InstalledVersion version;
    version.version = pointer.version;
    version.digest = pointer.digest;
    version.target = pointer.target;
    return version;
  };
  wire::ReportedApplication report;
  report.application = name_;
  // What runs is told, and not what the disk does not take yet.
  const auto& runs = fall_back_to_write_ ? previous_ : active_;
  if (runs) report.active = installed(*runs);
  if (previous_) report.previous = installed(*previous_);
  if (record_) report.update = record_->progress;
  if (record_ && (fell_back_untold() || (fall_back_to_write_ && record_->step == wire::UpdateStep::committed))) {
    report.update->state = wire::UpdateState::rolled_back;
    wire::Reason reason;
    reason.id = "VRG-UPD-015";
    reason.message = fall_back_to_write_ ? *fall_back_to_write_ : lost_fall_back();
    report.update->reason = std::move(reason);
  }
  return report;
}

bool ApplicationUpdate::has_ended() const {
  return record_ && is_end(record_->step);
}

bool ApplicationUpdate::is_busy() const {
  return record_ && !is_end(record_->step) && record_->step != wire::UpdateStep::pending;
}

bool ApplicationUpdate::in_progress() const {
  return is_busy() && record_->step != wire::UpdateStep::watching;
}

Result<void> ApplicationUpdate::collect(std::set<std::string>& blobs, std::set<std::string>& packages) {
  if (!restored_) {
    return Error(ErrorCode::unavailable, "VRG-BAS-001", fmt::format("'{}' cannot be read now", folder()));
  }
  std::vector<std::optional<wire::DevicePointer>> pointers{active_, previous_};
  if (record_ && !is_end(record_->step)) {
    pointers.push_back(record_->before);
    pointers.push_back(record_->before_previous);
  }
  const auto add = [&](const Plan& plan) {
    for (const auto& blob : plan.blobs) blobs.insert(blob.digest);
    for (const auto& package : plan.packages) packages.insert(package.digest);
  };
  for (const auto& pointer : pointers) {
    if (!pointer) continue;
    VERGE_ASSIGN(const Plan plan, stages_.plan(*pointer));
    add(plan);
  }
  if (record_ && !is_end(record_->step)) {
    // What was fetched before a restart, as far as its documents came.
    if (const auto plan = stages_.plan(pointer_to(record_->desired))) add(*plan);
  }
  return {};
}

}  // namespace verge::update
