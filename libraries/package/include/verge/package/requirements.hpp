// Requirements: what a package needs against what a device has, with the same words on the hub and on the device.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/wire/agent_release.hpp"
#include "verge/wire/metadata.hpp"
#include "verge/wire/reported_state.hpp"
#include "verge/wire/target_custom.hpp"

namespace verge::package {

/// -1, 0 or 1: order of two versions. Semantic versions by https://semver.org (a pre-release comes before its release;
/// what is behind '+' does not count); versions with fewer or more numbers are compared number by number.
[[nodiscard]] int compare_versions(std::string_view a, std::string_view b);

/// Whether the device can take the target. Errors: failed_precondition (VRG-FIT-001) with everything that is missing:
/// "needs openvino>=2026.2 and 310.0 MiB of memory; has litert 2.3 and 190.0 MiB"; (VRG-FIT-002) when its version is
/// below the floor.
Result<void> check_fit(const wire::TargetCustom& target, const wire::DeviceReport& device);

/// What a model package says of itself for its TUF target. `disk_bytes`: size of all its files.
[[nodiscard]] wire::TargetCustom target_custom(const wire::Metadata& metadata, std::uint64_t disk_bytes);
/// The same of a release of the agent.
[[nodiscard]] wire::TargetCustom target_custom(const wire::AgentRelease& release, std::uint64_t disk_bytes);

}  // namespace verge::package
