// Core: what all parts of the hub share.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "telemetry_gate.hpp"
#include "verge/base/log.hpp"
#include "verge/crypto/key.hpp"
#include "verge/hub/blobs.hpp"
#include "verge/hub/hub.hpp"
#include "verge/hub/registry.hpp"
#include "verge/hub/signing.hpp"
#include "verge/hub/store.hpp"
#include "verge/trust/repository.hpp"
#include "verge/wire/target_custom.hpp"
#include "waiting_room.hpp"

namespace verge::hub {

/// Ends a dry run's transaction, so that everything it did is undone.
inline constexpr std::string_view kDryRun = "VRG-HUB-000";

/// A transaction that tells afterwards what it touched.
struct Change {
  Transaction& store;
  std::set<std::string> devices{};  ///< Whose desired state changed.
  bool targets = false;             ///< Models, applications or floors changed.
};

struct Core {
  HubSetup setup;
  Log& log;
  std::unique_ptr<Store> store;
  Blobs blobs;
  std::mutex trust_mutex;  ///< Of `trust`. Never taken inside a transaction: publish() takes it first.
  trust::Repository trust;
  crypto::PrivateKey authority_key;
  std::string authority_certificate;
  std::string server_certificate;
  std::string server_key;
  std::string first_token;
  std::int64_t started_ms;
  WaitingRoom waiting;
  Registry registry{*this};
  Signing signing{*this};
  mutable std::mutex signed_mutex{};  ///< Of `signed_targets`, alone: may be taken inside a transaction.
  trust::SignedTargets signed_targets{};
  Deltas deltas{*this};
  std::mutex contacts_mutex;
  std::map<std::string, std::int64_t> contacts;  ///< When each device was last heard of since the start.
  TelemetryGate telemetry{};
  std::atomic<bool> publish_again{false};
  std::atomic<std::int64_t> next_care_ms{0};  ///< When old metadata is looked at next.

  [[nodiscard]] std::int64_t now() const { return setup.now_ms(); }
  void heard_of(const std::string& device);
  [[nodiscard]] std::int64_t last_contact(const std::string& device);

  template <typename T>
  Result<T> read(const std::function<Result<T>(Transaction&)>& work) {
    std::optional<T> value;
    VERGE_TRY(store->transaction([&](Transaction& transaction) -> Result<void> {
      VERGE_ASSIGN(value, work(transaction));
      return {};
    }));
    return std::move(*value);
  }
  /// After the commit: publishes targets that changed, then wakes the devices whose desired state changed.
  template <typename T>
  Result<T> change(const std::function<Result<T>(Change&)>& work) {
    std::optional<T> value;
    std::set<std::string> devices;
    bool targets = false;
    VERGE_TRY(store->transaction([&](Transaction& transaction) -> Result<void> {
      Change made{transaction};
      VERGE_ASSIGN(value, work(made));
      devices = std::move(made.devices);
      targets = made.targets;
      return {};
    }));
    if (targets) VERGE_TRY(publish());
    if (targets || !devices.empty()) deltas.look_again();
    wake(devices);
    return std::move(*value);
  }
  Result<void> change_only(const std::function<Result<void>(Change&)>& work);
  void event(Transaction& store, const Principal& caller, std::string action, std::string subject,
             std::string text = {}) const;
  /// Makes the TUF targets those of the database.
  Result<void> publish();
  /// Keeps which targets are signed, for check_signed(). Under `trust_mutex`.
  void note_signed();
  /// Whether devices will find the version. Errors: VRG-TUF-014.
  [[nodiscard]] Result<void> check_signed(const VersionRecord& version) const;
  void wake(const std::set<std::string>& devices);
  /// Removes the content from the disk when nothing needs it any more, as the database has it by now.
  void sweep(const std::string& digest);
};

/// Path of a version's TUF target.
std::string target_path(const VersionRecord& version);
/// Its custom field, with the floor of its name.
wire::TargetCustom custom_of(const VersionRecord& version, const std::map<std::string, std::string>& floors);
Error unknown(std::string_view what, std::string_view name);
/// A document that the hub wrote itself.
template <typename T, typename Read>
T read_own(const std::string& text, Read read) {
  const auto node = wire::parse_json(text, "hub.db");
  if (!node) return T{};
  auto value = read(*node, wire::Place("hub.db"));
  return value ? std::move(*value) : T{};
}
wire::ReportedState report_of(const DeviceRecord& device);
std::map<std::string, std::string> labels_of(const DeviceRecord& device, const wire::ReportedState& report);
std::map<std::string, std::string> hub_labels_of(const DeviceRecord& device);
bool frozen(Transaction& store);
/// The device of the caller, when its key is the one that the hub knows. Errors: VRG-HUB-012, 016, 017.
Result<DeviceRecord> calling_device(Transaction& store, const Principal& caller);
/// That two machines use one identity: VRG-HUB-018.
Error conflict(const std::string& text);
wire::DesiredState desired_of(Transaction& store, const DeviceRecord& device);
/// Devices that are not revoked and match. Errors: VRG-HUB-020, not_found (VRG-HUB-021) when there are none.
Result<std::vector<DeviceRecord>> select_devices(Transaction& store, const std::string& selector);
/// Newest version of a name; releases before pre-releases. Errors: VRG-HUB-005.
Result<VersionRecord> newest_version(Transaction& store, const std::string& name);
Result<wire::ApplicationVersionInfo> put_application(Core& core, Change& change, const Principal& caller,
                                                     const wire::Application& application, bool& added);
Result<void> put_floor(Core& core, Change& change, const Principal& caller, const std::string& name,
                       const std::string& version);
wire::ApplicationVersionInfo application_info(const VersionRecord& version,
                                              const std::map<std::string, std::string>& floors);
int compare(const std::string& a, const std::string& b);

}  // namespace verge::hub
