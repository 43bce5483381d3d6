// Deploying: the rules by which a deployment changes what a device should run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core.hpp"

namespace verge::hub {

/// What is wanted of one device, before it is judged.
struct Wish {
  DeviceRecord device;
  std::string version;  ///< "": the application ends.
  std::string target;
  std::string digest;
  std::string skip_id;  ///< Set: the device is skipped, for this reason.
  std::string skip;
};

/// Whether the device can take the version: its own needs, and those of each model of an application.
/// Errors: those of package::check_fit.
Result<void> check_device_fit(Transaction& store, const VersionRecord& version, const DeviceRecord& device);
/// Errors: failed_precondition (VRG-HUB-030) when the version, or a model of it, is below its floor.
Result<void> check_floors(Transaction& store, const VersionRecord& version);
/// Errors: failed_precondition (VRG-TUF-014) when the version, or a model of it, waits for a signature.
Result<void> check_signatures(const Core& core, Transaction& store, const VersionRecord& version);

/// Records a deployment and does what can be done at once: skips, waits, or changes what devices should run.
/// With `dry_run` only judges. Gives the detail as it stands then.
Result<wire::DeploymentDetail> record_deployment(Core& core, Change& change, DeploymentRecord deployment,
                                                 const std::vector<Wish>& wishes, bool dry_run);
/// Judges those that wait, of one device or (empty) of all: for what they waited may have come.
void release_waiting(Core& core, Change& change, const std::string& device);

std::string deployment_id(std::int64_t number);
/// Errors: VRG-HUB-005.
Result<DeploymentRecord> find_deployment(Transaction& store, const std::string& id);
wire::DeploymentSummary summary_of(Transaction& store, const DeploymentRecord& deployment);
wire::DeploymentDevice status_of(const DeploymentDeviceRecord& row);
wire::DeploymentDetail detail_of(Transaction& store, const DeploymentRecord& deployment);
bool has_ended(std::string_view state);
/// Deploys as Hub::deploy() does, inside a transaction.
Result<wire::DeploymentDetail> deploy_in(Core& core, Change& change, const Principal& caller,
                                         const wire::DeploymentRequest& request);
/// The active version that the device reports of an application; nothing when it has none.
std::optional<wire::ReportedApplication> reported_application(const wire::ReportedState& report,
                                                              const std::string& application);

}  // namespace verge::hub
