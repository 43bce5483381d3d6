#include "hub_link.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <set>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "backoff.hpp"
#include "verge/base/file.hpp"
#include "verge/crypto/certificate.hpp"
#include "verge/crypto/random.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/package/agent_release.hpp"
#include "verge/wire/carried_bundle.hpp"

namespace verge::agent {
namespace {

constexpr int kHeld_s = 50;
constexpr std::int64_t kReportEvery_ms = 30'000;
constexpr std::int64_t kReportPause_ms = 100;
constexpr std::int64_t kHealthCheck_ms = 2000;
constexpr std::int64_t kRetryLongest_ms = 60'000;
constexpr std::int64_t kClockTolerance_ms = 300'000;
constexpr std::uint64_t kRootLimitBytes = 1U << 20U;
constexpr std::uint64_t kCarriedLimitBytes = 65536;
constexpr const char* kCarriedFile = "bundle.json";

std::int64_t wall_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::string date_text(std::int64_t ms) {
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(static_cast<std::time_t>(ms / 1000)));
}

bool has_ended(wire::UpdateState state) {
  return state == wire::UpdateState::committed || state == wire::UpdateState::rolled_back ||
         state == wire::UpdateState::refused || state == wire::UpdateState::failed;
}

}  // namespace

class HubLink::SystemClock final : public update::Clock {
 public:
  std::int64_t now_ms() override { return wall_ms(); }
  std::int64_t steady_ms() override {
    using namespace std::chrono;
    return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
  }
};

class HubLink::SystemRandom final : public update::Random {
 public:
  std::uint64_t next() override { return std::stoull(crypto::random_hex(8), nullptr, 16); }
};

HubLink::HubLink(Log& log, HubLinkOptions options, update::Files& files, Serving& serving, DeviceRuntime& runtime)
    : log_(log),
      options_(std::move(options)),
      serving_(serving),
      runtime_(runtime),
      files_{options_.state_directory / "identity"},
      clock_(std::make_unique<SystemClock>()),
      random_(std::make_unique<SystemRandom>()),
      disk_(files),
      hub_(options_.agent_version, options_.hub, options_.state_directory),
      instance_(crypto::random_hex(8)),
      started_ms_(wall_ms()) {}

HubLink::~HubLink() {
  stop();
}

/// The root to trust when none is stored yet. A device that is to join another hub forgets what it trusted.
Result<std::string> HubLink::first_root() {
  auto enrolment = read_enrolment(options_.hub.enrolment);
  const auto stored = read_text(options_.state_directory / "trust" / "root.json", kRootLimitBytes);
  if (!enrolment) {
    if (stored) return *stored;
    return std::move(enrolment).error();
  }
  if (identity_ && identity_->ca_certificate != enrolment->ca_certificate &&
      identity_->enrolled_with != crypto::sha256(enrolment->token)) {
    VERGE_TRY(disk_.remove("trust"));
    VERGE_TRY(disk_.sync(""));
  }
  return enrolment->trust_root;
}

Result<void> HubLink::start() {
  VERGE_ASSIGN(identity_, files_.read());
  VERGE_ASSIGN(const std::string root, first_root());
  if (identity_) {
    VERGE_ASSIGN(const auto key, files_.key());
    VERGE_TRY(hub_.use(*identity_, key));
  }
  hub_.stop_with(stop_.get_token());
  runtime_.stop_with(stop_.get_token());
  VERGE_ASSIGN(updater_, update::Updater::create({*clock_, *random_, disk_, network_, runtime_}, root));
  updater_->on_change([this] { wake(wake_reports_); });
  updater_->restore();
  carry_again();
  desired_thread_ = std::jthread([this] { run_desired(stop_.get_token()); });
  report_thread_ = std::jthread([this] { run_reports(stop_.get_token()); });
  update_thread_ = std::jthread([this] { run_updates(stop_.get_token()); });
  return {};
}

void HubLink::stop() {
  stop_.request_stop();
  changed_.notify_all();
  for (auto* thread : {&desired_thread_, &report_thread_, &update_thread_}) {
    if (thread->joinable()) thread->join();
  }
}

void HubLink::wake(std::atomic<bool>& woken) {
  {
    const std::lock_guard lock(mutex_);
    woken = true;
  }
  changed_.notify_all();
}

void HubLink::rest(std::int64_t ms, std::atomic<bool>& woken, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, std::chrono::milliseconds(ms), [&] { return woken.load(); });
  woken = false;
}

void HubLink::set_trouble(const std::string& what, const std::string& text) {
  {
    const std::lock_guard lock(mutex_);
    auto& present = troubles_[what];
    if (present == text) return;
    present = text;
  }
  if (text.empty()) {
    log_.info("the hub is in reach again", {{"for", what}});
  } else {
    log_.warning("trouble with the hub; what runs goes on", {{"for", what}, {"error", text}});
  }
}

Result<void> HubLink::adopt(wire::Identity identity, const crypto::PrivateKey& key) {
  VERGE_TRY(files_.write(identity));
  VERGE_TRY(hub_.use(identity, key));
  {
    const std::lock_guard lock(mutex_);
    identity_ = std::move(identity);
  }
  wake(wake_reports_);  // The hub compares what a device has before it asks anything of it.
  return {};
}

Result<void> HubLink::join(const wire::Enrolment& enrolment) {
  VERGE_ASSIGN(const auto key, files_.new_key());
  wire::CertificateRequest request;
  request.device = options_.device_name;
  request.token = enrolment.token;
  request.instance = instance_;
  request.request = crypto::make_request(key, options_.device_name);
  request.report = runtime_.device();
  std::string unattested;
  if (options_.measured) {
    auto attested = options_.measured->attest(request.request);
    if (attested) {
      request.attestation = std::move(*attested);
    } else {
      unattested = attested.error().text();
    }
  }
  VERGE_ASSIGN(const auto answer, hub_.certificate(enrolment.hub_url, enrolment.ca_certificate, request));
  wire::Identity identity;
  identity.version = 1;
  identity.hub_url = enrolment.hub_url;
  identity.device = answer.device;
  identity.ca_certificate = enrolment.ca_certificate;
  identity.certificate = answer.certificate;
  identity.enrolled_with = crypto::sha256(enrolment.token);
  VERGE_TRY(adopt(identity, key));
  ask_anew_ = true;  // What another hub, or one that was lost, has asked before says nothing about what this one asks.
  log_.info("joined the hub", {{"hub", identity.hub_url}, {"device", identity.device}});
  if (!unattested.empty()) log_.warning("it joined without an attestation key", {{"error", unattested}});
  return {};
}

Result<void> HubLink::renew(wire::Identity identity) {
  VERGE_ASSIGN(const auto key, files_.key());
  wire::CertificateRequest request;
  request.instance = instance_;
  request.request = crypto::make_request(key, identity.device);
  VERGE_ASSIGN(const auto answer, hub_.certificate(identity.hub_url, identity.ca_certificate, request));
  identity.certificate = answer.certificate;
  VERGE_TRY(adopt(std::move(identity), key));
  log_.info("the certificate is renewed");
  return {};
}

Result<void> HubLink::keep_identity() {
  const std::lock_guard exchange(exchange_);
  std::optional<wire::Identity> identity;
  {
    const std::lock_guard lock(mutex_);
    identity = identity_;
  }
  auto enrolment = read_enrolment(options_.hub.enrolment);
  if (enrolment && (!identity || identity->enrolled_with != crypto::sha256(enrolment->token))) return join(*enrolment);
  if (!identity) return std::move(enrolment).error();
  VERGE_ASSIGN(const auto certificate, crypto::read_certificate(identity->certificate));
  const auto now_s = wall_ms() / 1000;
  const auto due_s = certificate.not_before_s + (certificate.not_after_s - certificate.not_before_s) / 3 * 2;
  return now_s < due_s ? Result<void>{} : renew(std::move(*identity));
}

void HubLink::check_clock(std::int64_t hub_time_ms) {
  const auto now = wall_ms();
  std::string message;
  if (std::abs(now - hub_time_ms) > kClockTolerance_ms) {
    message = fmt::format(
        "this device's clock says {}, the hub's {}: set the clock (for example 'timedatectl set-ntp "
        "true'); until then signatures cannot be judged by their dates",
        date_text(now), date_text(hub_time_ms));
  }
  const std::lock_guard lock(mutex_);
  if (message.empty() != clock_message_.empty()) {
    message.empty() ? log_.info("the clock is right again") : log_.error("wrong clock", {{"error", message}});
  }
  clock_message_ = std::move(message);
}

/// A certificate that is not yet valid, or no longer, mostly means a wrong clock: the hub is asked for the time, over a
/// connection whose certificate is checked but for its dates.
void HubLink::explain_certificate_trouble(const Error& error) {
  if (error.id() != "VRG-HTC-003") return;
  std::string url;
  std::string authority;
  {
    const std::lock_guard lock(mutex_);
    if (identity_) {
      url = identity_->hub_url;
      authority = identity_->ca_certificate;
    }
  }
  if (url.empty()) {
    const auto enrolment = read_enrolment(options_.hub.enrolment);
    if (!enrolment) return;
    url = enrolment->hub_url;
    authority = enrolment->ca_certificate;
  }
  if (const auto time = hub_.hub_time_ms(url, authority)) check_clock(*time);
}

void HubLink::run_desired(const std::stop_token& stop) {
  Backoff backoff(kRetryLongest_ms);
  std::int64_t seen = updater_->desired_version();
  std::atomic<bool> never{false};
  bool reached = false;
  while (!stop.stop_requested()) {
    auto kept = keep_identity();
    if (ask_anew_.exchange(false)) seen = 0;
    // The first request is not held, so that a hub that is in reach again is known to be at once.
    auto desired = kept ? hub_.desired(seen, reached ? kHeld_s : 0)
                        : Result<std::optional<wire::DesiredState>>(std::move(kept).error());
    if (stop.stop_requested()) return;
    reached = desired.has_value();
    if (!desired) {
      explain_certificate_trouble(desired.error());
      set_trouble("desired state", desired.error().text());
      rest(backoff.next(random_->next()), never, stop);
      continue;
    }
    backoff.reset();
    set_trouble("desired state", "");
    wake(wake_reports_);
    if (!*desired) continue;
    seen = (*desired)->version;
    updater_->want(std::move(**desired));
    wake(wake_updates_);
  }
}

void HubLink::run_updates(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    take_bundle();
    auto wait = updater_->step();
    settle_bundle();
    update_log_.note(updater_->applications());
    if (is_to_end()) {
      options_.start_another();
      return;
    }
    if (serving_.isolates()) wait = std::min(wait, kHealthCheck_ms);
    if (wait > 0) rest(wait, wake_updates_, stop);
  }
}

bool HubLink::is_to_end() {
  auto& own = runtime_.own_release();
  const auto reported = updater_->applications();
  const auto found = std::ranges::find(reported, package::kAgentName, &wire::ReportedApplication::application);
  std::set<std::string> digests;
  std::string active;
  if (found != reported.end()) {
    if (found->active) digests.insert(active = found->active->digest);
    if (found->previous) digests.insert(found->previous->digest);
  }
  const bool under_way = found != reported.end() && found->update && !has_ended(found->update->state);
  if (!own.next()) {
    if (!under_way && std::exchange(releases_untidy_, false)) own.keep_only(digests);
    releases_untidy_ |= under_way;
    return false;
  }
  return options_.start_another && *own.next() == active;
}

std::string HubLink::device_name() {
  const std::lock_guard lock(mutex_);
  return identity_ ? identity_->device : options_.device_name;
}

Result<void> HubLink::apply_bundle(const std::filesystem::path& file) {
  VERGE_ASSIGN(auto carried, open_bundle(file, device_name()));
  const auto asked = updater_->desired_version();
  if (carried->desired.version < asked) {
    return Error(ErrorCode::failed_precondition, "VRG-AGT-047",
                 fmt::format("expected a bundle with version {} or newer of what this device should run, got version "
                             "{}; make it again with 'verge bundle create'",
                             asked, carried->desired.version));
  }
  wire::CarriedBundle kept;
  kept.file = file.string();
  VERGE_TRY(disk_.write(kCarriedFile, wire::write_json(wire::to_node(kept))));
  {
    const std::lock_guard lock(mutex_);
    handed_ = std::move(carried);
  }
  log_.info("updates come from a bundle", {{"file", file.string()}});
  wake(wake_updates_);
  return {};
}

/// After a start: goes on with the bundle that was carried.
void HubLink::carry_again() {
  const auto text = disk_.read(kCarriedFile, kCarriedLimitBytes);
  if (!text) return;
  const auto node = wire::parse_json(*text, kCarriedFile);
  const auto kept = node ? wire::read_carried_bundle(*node, wire::Place(kCarriedFile)) : node.error();
  if (!kept) return;
  const auto again = apply_bundle(kept->file);
  if (!again) log_.warning("the bundle cannot be gone on with; apply it again", {{"error", again.error().text()}});
}

std::shared_ptr<const CarriedNetwork::Carried> HubLink::bundle() {
  const std::lock_guard lock(mutex_);
  return handed_ ? handed_ : network_.carried();
}

/// Of the thread that updates, so that no step sees half of it.
void HubLink::take_bundle() {
  std::shared_ptr<const CarriedNetwork::Carried> next;
  {
    const std::lock_guard lock(mutex_);
    next = std::exchange(handed_, nullptr);
    if (!next) return;
    network_.carry(next);
  }
  updater_->try_again();
  if (next->desired.version >= updater_->desired_version()) updater_->want(next->desired);
}

void HubLink::settle_bundle() {
  const auto carried = network_.carried();
  if (!carried || updater_->desired_version() < carried->desired.version) return;
  const auto reported = updater_->applications();
  const auto is_done = [&](const wire::DesiredApplication& wanted) {
    const auto found = std::ranges::find(reported, wanted.application, &wire::ReportedApplication::application);
    if (found == reported.end() || !found->update || found->update->deployment != wanted.deployment) return false;
    return has_ended(found->update->state);
  };
  const bool newer = updater_->desired_version() > carried->desired.version;
  if (!newer && !std::ranges::all_of(carried->desired.applications, is_done)) return;
  if (!disk_.remove(kCarriedFile)) return;
  network_.drop();
  log_.info("done with the bundle", {{"file", carried->file.string()}});
}

wire::ReportedState HubLink::state() {
  wire::ReportedState state;
  state.version = 1;
  state.instance = instance_;
  state.agent_version = options_.agent_version;
  state.time_ms = std::max<std::int64_t>(wall_ms(), 0);
  state.started_ms = std::max<std::int64_t>(started_ms_, 0);
  state.desired_version = updater_->desired_version();
  state.device = runtime_.device();
  state.applications = updater_->applications();
  for (const auto& served : serving_.models()) {
    const auto counts = served->tally.counts();
    wire::ModelReport model;
    model.name = served->name;
    model.version = served->version();
    model.engine = served->workers->model().choice().engine;
    model.requests = counts.requests;
    model.failed = counts.failed;
    model.infer_p50_ms = counts.p50_ms;
    model.infer_p99_ms = counts.p99_ms;
    state.models.push_back(std::move(model));
  }
  state.messages = options_.messages;
  const std::lock_guard lock(mutex_);
  if (!clock_message_.empty()) state.messages.push_back(clock_message_);
  if (identity_) {
    state.sequence = identity_->sequence;
    state.continuation = identity_->continuation;
  }
  return state;
}

Result<void> HubLink::report() {
  const std::lock_guard exchange(exchange_);
  auto sent = state();
  sent.sequence += 1;
  if (options_.measured) sent.measured = options_.measured->report();
  VERGE_ASSIGN(const auto answer, hub_.report(sent));
  check_clock(answer.time_ms);
  if (answer.desired_version < updater_->desired_version()) ask_anew_ = true;
  if (options_.measured && options_.measured->take(answer)) wake(wake_reports_);
  wire::Identity identity;
  {
    const std::lock_guard lock(mutex_);
    identity_->sequence = sent.sequence;
    identity_->continuation = answer.continuation;
    identity = *identity_;
  }
  return files_.write(identity);
}

void HubLink::run_reports(const std::stop_token& stop) {
  Backoff backoff(kRetryLongest_ms);
  std::atomic<bool> never{false};
  while (!stop.stop_requested()) {
    bool joined = false;
    {
      const std::lock_guard lock(mutex_);
      joined = identity_.has_value();
    }
    if (!joined) {
      rest(kReportEvery_ms, wake_reports_, stop);
      continue;
    }
    const auto sent = report();
    if (stop.stop_requested()) return;
    if (!sent) {
      set_trouble("reports", sent.error().text());
      rest(backoff.next(random_->next()), never, stop);
      continue;
    }
    backoff.reset();
    runtime_.own_release().reached_hub();
    set_trouble("reports", "");
    rest(kReportPause_ms, never, stop);
    rest(kReportEvery_ms, wake_reports_, stop);
  }
}

std::string HubLink::status_json() {
  wire::Node node = wire::to_node(state());
  wire::Node link = wire::Node::map();
  {
    const std::lock_guard lock(mutex_);
    link.add("joined", wire::Node::boolean(identity_.has_value()));
    if (identity_) {
      link.add("url", wire::Node::string(identity_->hub_url));
      link.add("device", wire::Node::string(identity_->device));
    }
    wire::Node troubles = wire::Node::list();
    for (const auto& [what, text] : troubles_) {
      if (!text.empty()) troubles.items.push_back(wire::Node::string(fmt::format("{}: {}", what, text)));
    }
    link.add("troubles", std::move(troubles));
  }
  if (const auto carried = bundle()) link.add("bundle", wire::Node::string(carried->file.string()));
  node.add("hub", std::move(link));
  // Secrets of the link are nobody's business here.
  std::erase_if(node.members, [](const auto& member) { return member.first == "continuation"; });
  return wire::write_json(node);
}

}  // namespace verge::agent
