#include "verge/update/updater.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "application_update.hpp"
#include "stored_metadata.hpp"

namespace verge::update {
namespace {

constexpr std::uint64_t kDesiredLimitBytes = 4U << 20U;
constexpr std::int64_t kIdleMs = 60'000;
constexpr std::int64_t kRetryMs = 1000;

}  // namespace

struct Updater::State {
  Ports ports;
  std::unique_ptr<StoredMetadata> metadata;  ///< Outlives `trust`.
  trust::Client trust;
  ContentStore store;
  std::map<std::string, std::unique_ptr<ApplicationUpdate>> applications;
  std::optional<wire::DesiredState> desired;  ///< Of the update thread.
  bool kept = false;                          ///< It is durable.
  bool met = false;                           ///< The applications that the disk has are known.
  bool tidy = true;
  std::function<void()> changed;

  mutable std::mutex mutex;
  std::optional<wire::DesiredState> wanted;         ///< Newest, not yet taken over.
  std::vector<wire::ReportedApplication> reported;  ///< As of the last change.
  std::int64_t desired_version = 0;
  bool again = false;  ///< What did not go well is to begin anew.

  State(Ports p, std::unique_ptr<StoredMetadata> m, trust::Client t)
      : ports(p), metadata(std::move(m)), trust(std::move(t)), store(ports.files) {}

  ApplicationUpdate& application(const std::string& name) {
    auto& found = applications[name];
    if (!found) found = std::make_unique<ApplicationUpdate>(ports, store, trust, *metadata, name);
    return *found;
  }

  /// Those that the disk has. `met` stays false when it does not answer.
  void meet_applications() {
    const auto names = ports.files.list(kApplicationsFolder);
    met = names.has_value();
    for (const auto& name : names.value_or(std::vector<std::string>{})) application(name).restore();
  }

  [[nodiscard]] std::uint64_t revision() const {
    std::uint64_t sum = 0;
    for (const auto& [name, application] : applications) sum += application->revision();
    return sum;
  }

  /// Whether an update is under way that `application` must not begin one beside.
  [[nodiscard]] bool is_busy_beside(const ApplicationUpdate& application) const {
    return std::ranges::any_of(applications, [&](const auto& entry) {
      const auto& other = *entry.second;
      return &other != &application && (other.is_agent() || application.is_agent()) && other.is_busy();
    });
  }

  void publish() {
    std::vector<wire::ReportedApplication> now;
    now.reserve(applications.size());
    for (const auto& [name, application] : applications) now.push_back(application->report());
    {
      const std::lock_guard lock(mutex);
      reported = std::move(now);
    }
    if (changed) changed();
  }

  /// Takes over what is wanted, once it is on the disk: after a restart the device knows it without a network.
  Result<void> take_over() {
    std::optional<wire::DesiredState> next;
    {
      const std::lock_guard lock(mutex);
      next = wanted;
    }
    if (!next) return {};
    VERGE_TRY(ports.files.write("desired.json", wire::write_json(wire::to_node(*next))));
    {
      const std::lock_guard lock(mutex);
      if (wanted && wanted->version == next->version) wanted.reset();
      desired_version = next->version;
    }
    desired = std::move(next);
    kept = true;
    return {};
  }

  bool take_again() {
    const std::lock_guard lock(mutex);
    return std::exchange(again, false);
  }

  /// What is acted on must be durable: the run before may have been killed before it could sync desired.json.
  Result<void> keep_desired() {
    if (!kept) VERGE_TRY(ports.files.sync(""));
    kept = true;
    return {};
  }

  /// Ends one application that is no longer wanted; true when there was one.
  bool remove_one() {
    for (auto& [name, application] : applications) {
      const auto& wanted_applications = desired->applications;
      if (std::ranges::find(wanted_applications, name, &wire::DesiredApplication::application) !=
          wanted_applications.end()) {
        continue;
      }
      if (!application->remove()) continue;
      applications.erase(name);
      tidy = true;
      return true;
    }
    return false;
  }

  void tidy_store() {
    if (!clear_removed(ports.files)) return;
    std::set<std::string> blobs;
    std::set<std::string> packages;
    for (const auto& [name, application] : applications) {
      if (application->in_progress() || !application->collect(blobs, packages)) return;
    }
    // What cannot be removed now is tried again in the next step.
    tidy = !store.keep_only(blobs, packages);
  }
};

Updater::Updater(std::unique_ptr<State> state) : state_(std::move(state)) {}
Updater::~Updater() = default;

Result<std::unique_ptr<Updater>> Updater::create(Ports ports, std::string_view trusted_root) {
  auto metadata = std::make_unique<StoredMetadata>(ports.files);
  VERGE_ASSIGN(auto trust, trust::Client::open(*metadata, trusted_root));
  return std::unique_ptr<Updater>(new Updater(std::make_unique<State>(ports, std::move(metadata), std::move(trust))));
}

void Updater::restore() {
  State& s = *state_;
  for (const auto* folder : {"", StoredMetadata::kFolder}) s.ports.files.remove_unfinished(folder);
  const auto text = s.ports.files.read("desired.json", kDesiredLimitBytes);
  if (text) {
    const auto node = wire::parse_json(*text, "desired.json");
    auto desired =
        node ? wire::read_desired_state(*node, wire::Place("desired.json")) : Result<wire::DesiredState>(node.error());
    if (desired) {
      s.desired = std::move(*desired);
      const std::lock_guard lock(s.mutex);
      s.desired_version = s.desired->version;
    }
  }
  (void)clear_removed(s.ports.files).has_value();  // What stays is cleared when the store is tidied.
  s.meet_applications();
  s.publish();
}

void Updater::want(wire::DesiredState desired) {
  const std::lock_guard lock(state_->mutex);
  state_->wanted = std::move(desired);
}

void Updater::try_again() {
  const std::lock_guard lock(state_->mutex);
  state_->again = true;
}

std::int64_t Updater::step() {
  State& s = *state_;
  const bool again = s.take_again();
  if (!s.met) {
    s.meet_applications();
    s.publish();
  }
  if (!s.met || !s.take_over()) return kRetryMs;
  if (!s.desired) return kIdleMs;
  if (!s.keep_desired()) return kRetryMs;
  const auto before = s.revision();
  std::int64_t wait = kIdleMs;
  if (!s.desired->frozen && s.remove_one()) {
    s.publish();
    return 0;
  }
  for (const auto& desired : s.desired->applications) {
    auto& application = s.application(desired.application);
    if (again) application.forget_refusal();
    const bool had_ended = application.has_ended();
    // The agent's own update ends this program, and tries the new one with the models that are here: nothing else
    // changes meanwhile.
    const bool held = s.is_busy_beside(application);
    wait = std::min(wait, application.step(desired, s.desired->frozen || held));
    if (held) wait = std::min(wait, kRetryMs);
    // From here on nothing needs what only the version before the previous one needed.
    if (!had_ended && application.has_ended()) s.tidy = true;
  }
  if (s.revision() != before) s.publish();
  if (s.tidy) s.tidy_store();
  return wait;
}

std::vector<wire::ReportedApplication> Updater::applications() const {
  const std::lock_guard lock(state_->mutex);
  return state_->reported;
}

std::int64_t Updater::desired_version() const {
  const std::lock_guard lock(state_->mutex);
  return state_->desired_version;
}

void Updater::on_change(std::function<void()> callback) {
  state_->changed = std::move(callback);
}

}  // namespace verge::update
