// Store: the hub's memory, in one SQLite file. Knows no rules and no HTTP.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/hub/records.hpp"

namespace verge::hub {

/// Everything inside one transaction. Used by one thread, inside Store::transaction() only. When the database fails,
/// a method throws what Store::transaction() turns into an error.
class Transaction {
 public:
  // Tokens, one-time tokens, events, settings.
  void add(const TokenRecord& token);
  std::vector<TokenRecord> tokens();
  std::optional<TokenRecord> token_by_hash(const std::string& hash);
  bool remove_token(const std::string& id);
  void put(const EnrolmentRecord& enrolment);
  std::vector<EnrolmentRecord> enrolments();
  std::optional<EnrolmentRecord> enrolment_by_hash(const std::string& hash);
  void add(const EventRecord& event);
  /// Older than `before` (0: from the newest on), newest first.
  std::vector<EventRecord> events(std::int64_t before, std::int64_t limit);
  std::string setting(const std::string& key);
  void set_setting(const std::string& key, const std::string& value);

  // Devices.
  void put(const DeviceRecord& device);
  std::optional<DeviceRecord> device(const std::string& name);
  std::optional<DeviceRecord> device_by_key(const std::string& key_fingerprint);
  std::vector<DeviceRecord> devices();
  void put(const MeasuredRecord& measured);
  std::optional<MeasuredRecord> measured(const std::string& device);
  std::vector<MeasuredRecord> all_measured();
  void remove_measured(const std::string& device);
  void add(const TelemetryRecord& sample);
  /// The newest of those that were taken at or after `since_ms`, newest first.
  std::vector<TelemetryRecord> telemetry(const std::string& device, std::int64_t since_ms, std::int64_t limit);
  /// Keeps the newest `most` of a device.
  void limit_telemetry(const std::string& device, std::int64_t most);
  /// Removes what was stored before, of all devices.
  void remove_telemetry_before(std::int64_t stored_ms);
  void put(const TelemetryStreamRecord& stream);
  /// Forgets all streams of a device but those that were stored to last.
  void limit_telemetry_streams(const std::string& device, std::int64_t most);
  std::optional<TelemetryStreamRecord> telemetry_stream(const std::string& device, const std::string& stream);
  std::vector<DesiredRecord> desired(const std::string& device);
  std::vector<DesiredRecord> all_desired();
  void put(const DesiredRecord& desired);
  void remove_desired(const std::string& device, const std::string& application);
  /// Raises the version of the device's desired state and gives it.
  std::int64_t raise_desired_version(const std::string& device);

  // Models and applications.
  void add(const VersionRecord& version);
  void remove_version(const std::string& kind, const std::string& name, const std::string& version);
  std::vector<VersionRecord> versions();
  std::vector<VersionRecord> versions_of(const std::string& name);
  std::optional<VersionRecord> version(const std::string& name, const std::string& version);
  std::optional<VersionRecord> version_by_digest(const std::string& name, const std::string& digest);
  std::map<std::string, std::string> floors();
  void set_floor(const std::string& name, const std::string& version);

  // Registry.
  void put(const ManifestRecord& manifest, const std::vector<std::string>& blobs);
  std::optional<ManifestRecord> manifest(const std::string& repository, const std::string& digest);
  std::vector<ManifestRecord> referrers(const std::string& repository, const std::string& subject);
  bool remove_manifest(const std::string& repository, const std::string& digest);
  void put_tag(const std::string& repository, const std::string& tag, const std::string& digest);
  std::string tag(const std::string& repository, const std::string& tag);
  bool remove_tag(const std::string& repository, const std::string& tag);
  std::vector<std::string> tags(const std::string& repository);
  /// Whether anything was ever pushed there.
  bool has_repository(const std::string& repository);
  void link_blob(const std::string& repository, const std::string& digest, std::int64_t size_bytes);
  bool has_blob(const std::string& repository, const std::string& digest);
  /// Whether any repository has it.
  bool has_blob(const std::string& digest);
  bool remove_blob(const std::string& repository, const std::string& digest);
  /// Whether any repository has it, a manifest names it, or it is itself a manifest, a version or what a device is to
  /// run.
  bool blob_in_use(const std::string& digest);
  /// Whether a manifest of the repository names it.
  bool blob_named(const std::string& repository, const std::string& digest);
  void add(const UploadRecord& upload);
  std::optional<UploadRecord> upload(const std::string& id);
  std::vector<UploadRecord> uploads();
  void remove_upload(const std::string& id);
  void use_upload(const std::string& id, std::int64_t now_ms);
  /// In a repository none of whose manifests names them.
  std::vector<BlobRecord> unnamed_blobs();
  /// Without a tag, in no index, about no subject that is there, no version and nothing that a device is to run.
  std::vector<ManifestRecord> unreachable_manifests();
  std::vector<BlobRecord> unmeasured_blobs();
  /// Digests of all that blob_in_use() is true for; some twice.
  std::vector<std::string> needed_content();
  /// Of all blobs and manifests, each counted once.
  std::int64_t registry_bytes();
  std::int64_t repository_bytes(const std::string& repository);
  std::vector<RepositoryRecord> repositories();

  // Deltas.
  void add(const DeltaRecord& delta);
  std::vector<DeltaRecord> deltas();
  std::vector<DeltaRecord> deltas_to(const std::string& package);
  void remove_deltas(const std::string& from_package, const std::string& to_package);

  // Deployments.
  std::int64_t add(const DeploymentRecord& deployment);
  std::optional<DeploymentRecord> deployment(std::int64_t number);
  /// Newest first; of one application when given.
  std::vector<DeploymentRecord> deployments(const std::string& application, std::int64_t limit);
  void put(const DeploymentDeviceRecord& device);
  std::vector<DeploymentDeviceRecord> deployment_devices(std::int64_t number);
  std::optional<DeploymentDeviceRecord> deployment_device(std::int64_t number, const std::string& device);
  /// Those of the device that have not ended, oldest first.
  std::vector<DeploymentDeviceRecord> open_deployments(const std::string& device);
  /// Those in state "waiting", oldest first.
  std::vector<DeploymentDeviceRecord> waiting();
  std::map<std::string, std::int64_t> deployment_counts(std::int64_t number);
  std::int64_t count(const std::string& table);
  /// The next deployment's number is above this one.
  void skip_deployment_numbers(std::int64_t number);

 private:
  friend class Store;
  struct State;
  explicit Transaction(State& state) : state_(state) {}
  State& state_;
};

/// Thread-safe: transactions follow one another. What has been committed survives a crash of program and machine.
class Store {
 public:
  /// Opens the file, makes it or brings it up to date. Errors: failed_precondition (VRG-HUB-002 made by a newer
  /// program), unavailable (VRG-HUB-001 the database fails).
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& file);
  /// What `file` holds at one moment, into a new file; another process may have it open and go on. Errors: VRG-HUB-001.
  static Result<void> copy(const std::filesystem::path& file, const std::filesystem::path& to);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Runs `work`; commits when it gives no error, else undoes everything. Must not be nested.
  Result<void> transaction(const std::function<Result<void>(Transaction&)>& work);

 private:
  explicit Store(std::unique_ptr<Transaction::State> state);
  std::unique_ptr<Transaction::State> state_;
};

}  // namespace verge::hub
