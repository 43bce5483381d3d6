// Boot state: what the firmware says of how this machine was booted.
#pragma once

#include <filesystem>
#include <string>

#include "verge/wire/measured_report.hpp"

namespace verge::telemetry {

struct BootState {
  wire::SecureBoot secure_boot = wire::SecureBoot::unknown;
  std::string event_log_digest;  ///< "sha256:…" of the log of the measured boot; empty: it cannot be read.
};

/// Reads the variables of EFI and the log below `sys`; what is not there, or not as it should be, stays unknown.
[[nodiscard]] BootState read_boot_state(const std::filesystem::path& sys = "/sys");

}  // namespace verge::telemetry
