#include "verge/update/updater.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "application_update.hpp"

namespace verge::update {
namespace {

constexpr std::uint64_t kDesiredLimitBytes = 4U << 20U;
constexpr std::int64_t kIdleMs = 60'000;
constexpr std::int64_t kRetryMs = 1000;

/// Trusted metadata among the device's files.
class StoredMetadata final : public trust::MetadataStore {
 public:
  explicit StoredMetadata(Files& files) : files_(files) {}
  Result<std::string> read(std::string_view role) override {
    return files_.read(name(role), trust::kTargetsLimitBytes);
  }
  Result<void> write(std::string_view role, std::string_view content) override {
    return files_.write(name(role), content);
  }

 private:
  static std::string name(std::string_view role) {
    // Names of delegated roles come from outside: nothing in them may lead elsewhere.
    std::string safe = "trust/";
    for (const char c : role) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
      if (plain) {
        safe += c;
      } else {
        constexpr std::string_view kDigits = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(c);
        safe += '%';
        safe += kDigits[byte >> 4U];
        safe += kDigits[byte & 15U];
      }
    }
    return safe + ".json";
  }
  Files& files_;
};

}  // namespace

struct Updater::State {
  Ports ports;
  std::unique_ptr<StoredMetadata> metadata;  ///< Outlives `trust`.
  trust::Client trust;
  ContentStore store;
  std::map<std::string, std::unique_ptr<ApplicationUpdate>> applications;
  std::optional<wire::DesiredState> desired;  ///< Of the update thread.
  bool tidy = true;
  std::function<void()> changed;

  mutable std::mutex mutex;
  std::optional<wire::DesiredState> wanted;         ///< Newest, not yet taken over.
  std::vector<wire::ReportedApplication> reported;  ///< As of the last change.
  std::int64_t desired_version = 0;

  State(Ports p, std::unique_ptr<StoredMetadata> m, trust::Client t)
      : ports(p), metadata(std::move(m)), trust(std::move(t)), store(ports.files) {}

  ApplicationUpdate& application(const std::string& name) {
    auto& found = applications[name];
    if (!found) found = std::make_unique<ApplicationUpdate>(ports, store, trust, name);
    return *found;
  }

  [[nodiscard]] std::uint64_t revision() const {
    std::uint64_t sum = 0;
    for (const auto& [name, application] : applications) sum += application->revision();
    return sum;
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
    std::set<std::string> blobs;
    std::set<std::string> packages;
    for (const auto& [name, application] : applications) {
      if (application->in_progress() || !application->collect(blobs, packages)) return;
    }
    store.keep_only(blobs, packages);
    tidy = false;
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
  (void)s.ports.files.remove(kRemovedFolder).has_value();  // Left by a crash; if it stays, the next removal clears it.
  for (const auto& name : s.ports.files.list("applications").value_or(std::vector<std::string>{})) {
    s.application(name).restore();
  }
  s.publish();
}

void Updater::want(wire::DesiredState desired) {
  const std::lock_guard lock(state_->mutex);
  state_->wanted = std::move(desired);
}

std::int64_t Updater::step() {
  State& s = *state_;
  if (!s.take_over()) return kRetryMs;
  if (!s.desired) return kIdleMs;
  const auto before = s.revision();
  std::int64_t wait = kIdleMs;
  if (s.remove_one()) {
    s.publish();
    return 0;
  }
  for (const auto& desired : s.desired->applications) {
    auto& application = s.application(desired.application);
    const bool was_busy = application.in_progress();
    wait = std::min(wait, application.step(desired, s.desired->frozen));
    if (was_busy && !application.in_progress()) s.tidy = true;
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
