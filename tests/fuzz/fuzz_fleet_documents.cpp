// Any text as a document between hub, device and people: what is read can be written and read again.
#include <cstdint>
#include <string_view>

#include "documents.hpp"
#include "verge/wire/agent_release.hpp"
#include "verge/wire/agent_starts.hpp"
#include "verge/wire/application.hpp"
#include "verge/wire/certificate_request.hpp"
#include "verge/wire/deployment_request.hpp"
#include "verge/wire/desired_state.hpp"
#include "verge/wire/device_labels.hpp"
#include "verge/wire/device_pointer.hpp"
#include "verge/wire/enrolment.hpp"
#include "verge/wire/enrolment_request.hpp"
#include "verge/wire/fleet.hpp"
#include "verge/wire/identity.hpp"
#include "verge/wire/installed_agent.hpp"
#include "verge/wire/report_answer.hpp"
#include "verge/wire/reported_state.hpp"
#include "verge/wire/target_custom.hpp"
#include "verge/wire/telemetry_answer.hpp"
#include "verge/wire/telemetry_batch.hpp"
#include "verge/wire/token_request.hpp"
#include "verge/wire/update_record.hpp"

using namespace verge;
using namespace verge::wire;

namespace {

void use(const Node& node) {
  fuzz::read_and_write(node, read_agent_release);
  fuzz::read_and_write(node, read_agent_starts);
  fuzz::read_and_write(node, read_application);
  fuzz::read_and_write(node, read_certificate_request);
  fuzz::read_and_write(node, read_deployment_request);
  fuzz::read_and_write(node, read_desired_state);
  fuzz::read_and_write(node, read_device_labels);
  fuzz::read_and_write(node, read_device_pointer);
  fuzz::read_and_write(node, read_enrolment);
  fuzz::read_and_write(node, read_enrolment_request);
  fuzz::read_and_write(node, read_fleet);
  fuzz::read_and_write(node, read_identity);
  fuzz::read_and_write(node, read_installed_agent);
  fuzz::read_and_write(node, read_report_answer);
  fuzz::read_and_write(node, read_reported_state);
  fuzz::read_and_write(node, read_target_custom);
  fuzz::read_and_write(node, read_telemetry_answer);
  fuzz::read_and_write(node, read_telemetry_batch);
  fuzz::read_and_write(node, read_token_request);
  fuzz::read_and_write(node, read_update_record);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const std::string_view text(reinterpret_cast<const char*>(data), size_bytes);
  if (const auto node = parse_yaml(text, "fuzz.yaml")) use(*node);
  if (const auto node = parse_json(text, "fuzz.json")) use(*node);
  return 0;
}
