// Every example of schemas/ through the generated readers; the same files are judged by a JSON Schema validator in
// tests/integration_tests/test_schemas.py, so that both agree.
#include <filesystem>

#include <gmock/gmock.h>

#include "verge/wire/agent_release.hpp"
#include "verge/wire/agent_starts.hpp"
#include "verge/wire/application.hpp"
#include "verge/wire/application_selection.hpp"
#include "verge/wire/at_rest_keys.hpp"
#include "verge/wire/attestation_key.hpp"
#include "verge/wire/bundle.hpp"
#include "verge/wire/carried_bundle.hpp"
#include "verge/wire/ceremony.hpp"
#include "verge/wire/certificate_request.hpp"
#include "verge/wire/custom_step.hpp"
#include "verge/wire/delta_list.hpp"
#include "verge/wire/deployment_detail.hpp"
#include "verge/wire/deployment_request.hpp"
#include "verge/wire/desired_state.hpp"
#include "verge/wire/device_labels.hpp"
#include "verge/wire/device_list.hpp"
#include "verge/wire/device_telemetry.hpp"
#include "verge/wire/edge_config.hpp"
#include "verge/wire/endorsement_authorities.hpp"
#include "verge/wire/enrolment_request.hpp"
#include "verge/wire/fleet.hpp"
#include "verge/wire/fleet_freeze.hpp"
#include "verge/wire/garbage_report.hpp"
#include "verge/wire/golden.hpp"
#include "verge/wire/installed_agent.hpp"
#include "verge/wire/measured_pin.hpp"
#include "verge/wire/measured_policy.hpp"
#include "verge/wire/measured_report.hpp"
#include "verge/wire/measured_verdict.hpp"
#include "verge/wire/metadata.hpp"
#include "verge/wire/postprocessing.hpp"
#include "verge/wire/preprocessing.hpp"
#include "verge/wire/registry_token.hpp"
#include "verge/wire/registry_usage.hpp"
#include "verge/wire/report_answer.hpp"
#include "verge/wire/reported_state.hpp"
#include "verge/wire/target_custom.hpp"
#include "verge/wire/telemetry_batch.hpp"
#include "verge/wire/token_request.hpp"
#include "verge/wire/trust_changes.hpp"
#include "verge/wire/trust_status.hpp"
#include "verge/wire/version_floor.hpp"

namespace verge::wire {
namespace {

using testing::HasSubstr;

/// Reads and writes back; the error, or the two texts.
template <typename T, typename Read>
Result<void> round_trip(const Node& node, const Place& place, Read read) {
  Result<T> value = read(node, place);
  if (!value) return std::move(value).error();
  const auto again = parse_json(write_json_line(to_node(*value)), "again");
  if (!again) return Error(again.error());
  Result<T> second = read(*again, place);
  if (!second) return std::move(second).error();
  EXPECT_EQ(write_json_line(to_node(*value)), write_json_line(to_node(*second)));
  return {};
}

Result<void> read_example(const std::filesystem::path& file) {
  VERGE_ASSIGN(const Node node, read_document(file, file.filename().string()));
  const std::string name = file.filename().string();
  const Place place(name);
  const std::string kind = name.substr(0, name.find('.'));
  if (kind == "metadata") return round_trip<Metadata>(node, place, read_metadata);
  if (kind == "preprocessing") return round_trip<Preprocessing>(node, place, read_preprocessing);
  if (kind == "postprocessing") return round_trip<Postprocessing>(node, place, read_postprocessing);
  if (kind == "custom_step") return round_trip<CustomStep>(node, place, read_custom_step);
  if (kind == "golden") return round_trip<Golden>(node, place, read_golden);
  if (kind == "edge_config") return round_trip<EdgeConfig>(node, place, read_edge_config);
  if (kind == "application") return round_trip<Application>(node, place, read_application);
  if (kind == "agent_release") return round_trip<AgentRelease>(node, place, read_agent_release);
  if (kind == "agent_starts") return round_trip<AgentStarts>(node, place, read_agent_starts);
  if (kind == "installed_agent") return round_trip<InstalledAgent>(node, place, read_installed_agent);
  if (kind == "at_rest_keys") return round_trip<AtRestKeys>(node, place, read_at_rest_keys);
  if (kind == "attestation_key") return round_trip<AttestationKeyFile>(node, place, read_attestation_key_file);
  if (kind == "ceremony") return round_trip<CeremonySettings>(node, place, read_ceremony_settings);
  if (kind == "endorsement_authorities") {
    return round_trip<EndorsementAuthorities>(node, place, read_endorsement_authorities);
  }
  if (kind == "report_answer") return round_trip<ReportAnswer>(node, place, read_report_answer);
  if (kind == "measured_pin") return round_trip<MeasuredPin>(node, place, read_measured_pin);
  if (kind == "measured_policy") return round_trip<MeasuredPolicy>(node, place, read_measured_policy);
  if (kind == "measured_report") return round_trip<MeasuredReport>(node, place, read_measured_report);
  if (kind == "measured_verdict") return round_trip<MeasuredVerdict>(node, place, read_measured_verdict);
  if (kind == "registry_token") return round_trip<RegistryToken>(node, place, read_registry_token);
  if (kind == "trust_changes") return round_trip<TrustChanges>(node, place, read_trust_changes);
  if (kind == "trust_status") return round_trip<TrustStatus>(node, place, read_trust_status);
  if (kind == "delta_list") return round_trip<DeltaList>(node, place, read_delta_list);
  if (kind == "bundle") return round_trip<Bundle>(node, place, read_bundle);
  if (kind == "carried_bundle") return round_trip<CarriedBundle>(node, place, read_carried_bundle);
  if (kind == "desired_state") return round_trip<DesiredState>(node, place, read_desired_state);
  if (kind == "reported_state") return round_trip<ReportedState>(node, place, read_reported_state);
  if (kind == "target_custom") return round_trip<TargetCustom>(node, place, read_target_custom);
  if (kind == "telemetry_batch") return round_trip<TelemetryBatch>(node, place, read_telemetry_batch);
  if (kind == "device_telemetry") return round_trip<DeviceTelemetry>(node, place, read_device_telemetry);
  if (kind == "certificate_request") return round_trip<CertificateRequest>(node, place, read_certificate_request);
  if (kind == "token_request") return round_trip<TokenRequest>(node, place, read_token_request);
  if (kind == "enrolment_request") return round_trip<EnrolmentRequest>(node, place, read_enrolment_request);
  if (kind == "deployment_request") return round_trip<DeploymentRequest>(node, place, read_deployment_request);
  if (kind == "application_selection") return round_trip<ApplicationSelection>(node, place, read_application_selection);
  if (kind == "fleet") return round_trip<Fleet>(node, place, read_fleet);
  if (kind == "device_labels") return round_trip<DeviceLabels>(node, place, read_device_labels);
  if (kind == "fleet_freeze") return round_trip<FleetFreeze>(node, place, read_fleet_freeze);
  if (kind == "version_floor") return round_trip<VersionFloor>(node, place, read_version_floor);
  if (kind == "deployment_detail") return round_trip<DeploymentDetail>(node, place, read_deployment_detail);
  if (kind == "garbage_report") return round_trip<GarbageReport>(node, place, read_garbage_report);
  if (kind == "registry_usage") return round_trip<RegistryUsage>(node, place, read_registry_usage);
  if (kind == "device_list") return round_trip<DeviceList>(node, place, read_device_list);
  return Error(ErrorCode::internal, "VRG-TST-002", "no reader for " + kind);
}

std::vector<std::filesystem::path> examples(const char* folder) {
  std::vector<std::filesystem::path> files;
  for (const char* part : {"package", "agent", "state", "hub"}) {
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(VERGE_SCHEMAS) / part / "examples" / folder)) {
      files.push_back(entry.path());
    }
  }
  return files;
}

TEST(Schemas, ValidExamplesAreRead) {
  const auto files = examples("valid");
  EXPECT_GE(files.size(), 20U);
  for (const auto& file : files) {
    const auto read = read_example(file);
    EXPECT_TRUE(read) << file << ": " << read.error().text();
  }
}

TEST(Schemas, InvalidExamplesAreRefusedWithFileAndLine) {
  const auto files = examples("invalid");
  EXPECT_GE(files.size(), 25U);
  for (const auto& file : files) {
    const auto read = read_example(file);
    ASSERT_FALSE(read) << file;
    EXPECT_THAT(read.error().message(), HasSubstr(file.filename().string() + " line ")) << file;
    EXPECT_THAT(read.error().id(), HasSubstr("VRG-DOC-")) << file;
  }
}

TEST(Schemas, AMisspeltKeyNamesTheNearest) {
  const auto node = parse_yaml("version: 1\nmodles: []\n", "edge_config.yaml");
  const auto read = read_edge_config(*node, Place("edge_config.yaml"));
  EXPECT_THAT(read.error().message(), HasSubstr("edge_config.yaml line 2: unknown key 'modles'"));
  EXPECT_THAT(read.error().message(), HasSubstr("did you mean 'models'?"));
}

TEST(Schemas, WrongTypesSayExpectedAndGot) {
  const auto refuse = [](const char* yaml) {
    const auto node = parse_yaml(yaml, "f");
    return read_edge_config(*node, Place("f")).error().message();
  };
  EXPECT_THAT(refuse("version: one"), HasSubstr("expected a whole number"));
  EXPECT_THAT(refuse("version: 1\nthreads: -1"), HasSubstr("expected a whole number from 0 to 1024"));
  EXPECT_THAT(refuse("version: 1\nlogging: { level: loud }"), HasSubstr("debug, info, warning or error"));
  EXPECT_THAT(refuse("version: 1\nmodels: {}"), HasSubstr("expected a list"));
  EXPECT_THAT(refuse("version: 1\nmodels: [{}]"), HasSubstr("'package' is missing"));
  EXPECT_THAT(refuse("- a"), HasSubstr("expected a map"));
}

}  // namespace
}  // namespace verge::wire
