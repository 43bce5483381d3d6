// Hub: what the centre of a fleet does, for whoever has the right to ask. Knows no HTTP.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/base/log.hpp"
#include "verge/hub/deltas.hpp"
#include "verge/hub/principal.hpp"
#include "verge/hub/registry.hpp"
#include "verge/wire/application.hpp"
#include "verge/wire/application_detail.hpp"
#include "verge/wire/application_list.hpp"
#include "verge/wire/application_selection.hpp"
#include "verge/wire/certificate_answer.hpp"
#include "verge/wire/certificate_request.hpp"
#include "verge/wire/deployment_detail.hpp"
#include "verge/wire/deployment_explanation.hpp"
#include "verge/wire/deployment_list.hpp"
#include "verge/wire/deployment_request.hpp"
#include "verge/wire/desired_state.hpp"
#include "verge/wire/device_detail.hpp"
#include "verge/wire/device_labels.hpp"
#include "verge/wire/device_list.hpp"
#include "verge/wire/device_telemetry.hpp"
#include "verge/wire/endorsement_authorities.hpp"
#include "verge/wire/enrolment.hpp"
#include "verge/wire/enrolment_list.hpp"
#include "verge/wire/enrolment_request.hpp"
#include "verge/wire/event_list.hpp"
#include "verge/wire/fleet.hpp"
#include "verge/wire/fleet_answer.hpp"
#include "verge/wire/fleet_freeze.hpp"
#include "verge/wire/hub_status.hpp"
#include "verge/wire/measured_pin.hpp"
#include "verge/wire/measured_policy.hpp"
#include "verge/wire/model_detail.hpp"
#include "verge/wire/model_list.hpp"
#include "verge/wire/report_answer.hpp"
#include "verge/wire/reported_state.hpp"
#include "verge/wire/telemetry_answer.hpp"
#include "verge/wire/telemetry_batch.hpp"
#include "verge/wire/token_answer.hpp"
#include "verge/wire/token_list.hpp"
#include "verge/wire/token_request.hpp"
#include "verge/wire/version_floor.hpp"

namespace verge::hub {

struct Core;
class Signing;

/// How much telemetry is kept of each device: at most so many samples, for at most so many days.
struct TelemetrySetup {
  std::int64_t days = 30;
  std::int64_t most_samples = 50'000;
};

/// What a hub is made of.
struct HubSetup {
  std::filesystem::path folder;    ///< Of its data; made when absent.
  std::vector<std::string> names;  ///< Host names and addresses of its server certificate, besides the local ones.
  std::function<std::int64_t()> now_ms;  ///< Clock, in milliseconds since 1970; any thread.
  std::string version;
  RegistrySetup registry{};
  DeltaSetup deltas{};
  TelemetrySetup telemetry{};
};

/// Thread-safe. Each call checks the caller's rights first: VRG-HUB-010 (nobody known), 011 (a right is missing),
/// 012 (not a device), and gives not_found (VRG-HUB-005) for what it does not know. Documents come checked against
/// their schemas. What has been answered survives a crash.
class Hub {
 public:
  /// Opens the folder, or makes certificates, keys and an administrator's token in it. Errors: those of store, files
  /// and trust.
  static Result<std::unique_ptr<Hub>> open(HubSetup setup, Log& log);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  /// Secret of the administrator's token, until keep_login() was called; "" from the next start on.
  [[nodiscard]] const std::string& first_token() const noexcept;
  /// Writes how to sign in, with that token, into login.txt (mode 0600). A crash before makes another token.
  Result<void> keep_login(const std::string& line);
  [[nodiscard]] const std::string& authority_certificate() const noexcept;
  [[nodiscard]] const std::string& server_certificate() const noexcept;  ///< Followed by the authority's.
  [[nodiscard]] const std::string& server_key() const noexcept;
  [[nodiscard]] Registry& registry() noexcept;
  [[nodiscard]] Signing& signing() noexcept;
  [[nodiscard]] Deltas& deltas() noexcept;
  [[nodiscard]] std::int64_t now_ms() const;

  /// Who shows this token; nobody (an empty name) when it is not known.
  Result<Principal> authenticate(const std::string& token);
  Result<wire::HubStatus> status(const Principal& caller);
  /// Signs again what grows old, ends held requests whose time is up. To be called every second or so.
  void tick();
  /// Answers all held requests; none is held afterwards.
  void stop();

  // Access.
  Result<wire::TokenAnswer> create_token(const Principal& caller, const wire::TokenRequest& request);
  Result<wire::TokenList> list_tokens(const Principal& caller);
  Result<void> delete_token(const Principal& caller, const std::string& id);
  /// `url`: where the hub was reached, for the device to go to.
  Result<wire::Enrolment> create_enrolment(const Principal& caller, const wire::EnrolmentRequest& request,
                                           const std::string& url);
  Result<wire::EnrolmentList> list_enrolments(const Principal& caller);
  /// Joins or renews; needs no right. Errors: VRG-HUB-013 (token unknown, used, or for another name), 014 (expired),
  /// 015 (name taken), 016 (key not known: cannot renew), 017 (revoked).
  Result<wire::CertificateAnswer> certificate(const wire::CertificateRequest& request, const std::string& address);
  Result<wire::EventList> events(const Principal& caller, std::int64_t after, std::int64_t limit);

  // Devices.
  Result<wire::DeviceList> devices(const Principal& caller, const std::string& selector);
  Result<wire::DeviceDetail> device(const Principal& caller, const std::string& name);
  /// The newest `limit` samples of those that were taken at or after `since_ms`, oldest first.
  Result<wire::DeviceTelemetry> telemetry(const Principal& caller, const std::string& name, std::int64_t since_ms,
                                          std::int64_t limit);
  Result<void> revoke(const Principal& caller, const std::string& name);
  Result<wire::DeviceDetail> set_labels(const Principal& caller, const std::string& name,
                                        const wire::DeviceLabels& labels);
  Result<wire::DeviceDetail> resolve(const Principal& caller, const std::string& name);

  // What devices call. Errors: already_exists (VRG-HUB-018) when two machines use one identity.
  Result<wire::ReportAnswer> report(const Principal& caller, const wire::ReportedState& report);
  using DesiredAnswer = std::function<void(Result<std::optional<wire::DesiredState>>)>;
  /// Answers at once when the desired state is newer than `after`, else when it becomes so, or with nothing after
  /// `wait_ms`. The answer may come on any thread, before this returns too.
  void desired(const Principal& caller, std::int64_t after, std::int64_t wait_ms, const DesiredAnswer& answer);
  /// File and size of content that devices may fetch.
  struct Content {
    std::filesystem::path file;
    std::uint64_t size_bytes = 0;
  };
  Result<Content> device_blob(const Principal& caller, const std::string& digest);
  /// One transaction. `retry_after_s`: with VRG-HUB-081, when to try again. Errors beside the above: invalid_argument
  /// (VRG-HUB-082 numbers that do not go up), resource_exhausted (VRG-HUB-081 the device sends too often).
  Result<wire::TelemetryAnswer> store_telemetry(const Principal& caller, const wire::TelemetryBatch& batch,
                                                std::int64_t& retry_after_s);
  Result<wire::DeltaList> package_deltas(const Principal& caller, const std::string& digest);

  // Models and applications.
  Result<wire::ModelList> models(const Principal& caller);
  Result<wire::ModelDetail> model(const Principal& caller, const std::string& name);
  Result<void> delete_model_version(const Principal& caller, const std::string& name, const std::string& version);
  Result<wire::VersionFloor> set_floor(const Principal& caller, const std::string& name,
                                       const wire::VersionFloor& floor);
  struct AddedApplication {
    wire::ApplicationVersionInfo info;
    bool added = false;  ///< False when the same was there.
  };
  Result<AddedApplication> add_application(const Principal& caller, const wire::Application& application);
  Result<wire::ApplicationList> applications(const Principal& caller);
  Result<wire::ApplicationDetail> application(const Principal& caller, const std::string& name);

  // Trust: what anybody may fetch.
  Result<std::string> trust_metadata(const std::string& file);
  /// `path` as clients of consistent snapshots ask: folder/HASH.name.
  Result<std::string> trust_target(const std::string& path);

  // Deployments.
  Result<wire::DeploymentDetail> deploy(const Principal& caller, const wire::DeploymentRequest& request);
  Result<wire::DeploymentDetail> rollback_deployment(const Principal& caller, const std::string& deployment);
  Result<wire::DeploymentDetail> rollback(const Principal& caller, const wire::ApplicationSelection& request);
  Result<wire::DeploymentDetail> remove(const Principal& caller, const wire::ApplicationSelection& request);
  Result<wire::DeploymentList> deployments(const Principal& caller, const std::string& application, std::int64_t limit);
  Result<wire::DeploymentDetail> deployment(const Principal& caller, const std::string& deployment);
  Result<wire::DeploymentExplanation> explain(const Principal& caller, const std::string& deployment,
                                              const std::string& device);
  Result<wire::FleetFreeze> freeze(const Principal& caller);
  Result<wire::FleetFreeze> set_freeze(const Principal& caller, const wire::FleetFreeze& freeze);
  // Measured state: what devices must have booted. Errors: VRG-HUB-020; failed_precondition (VRG-HUB-076 a device has
  // no good quote to be pinned), not_found (VRG-HUB-079).
  Result<wire::MeasuredPolicy> measured_policy(const Principal& caller);
  Result<wire::MeasuredPolicy> set_measured_policy(const Principal& caller, const wire::MeasuredPolicy& policy);
  Result<wire::MeasuredPolicy> pin_measured(const Principal& caller, const wire::MeasuredPin& pin);
  /// Whose word counts that a TPM is a real one. Errors: invalid_argument (VRG-ATT-011 not certificates of
  /// authorities).
  Result<wire::EndorsementAuthorities> endorsement_authorities(const Principal& caller);
  Result<wire::EndorsementAuthorities> set_endorsement_authorities(const Principal& caller,
                                                                   const wire::EndorsementAuthorities& wanted);
  Result<wire::FleetAnswer> apply(const Principal& caller, const wire::Fleet& fleet, bool dry_run);

 private:
  explicit Hub(std::unique_ptr<Core> core);
  void forget_old_telemetry();
  std::unique_ptr<Core> core_;
};

}  // namespace verge::hub
