// Device information: what machine this is.
#pragma once

#include <cstdint>
#include <string>

namespace verge::telemetry {

struct DeviceInfo {
  std::string host_name;
  std::string operating_system;  ///< "Debian GNU/Linux 12 (bookworm)"
  std::string kernel;
  std::string architecture;  ///< "x86_64"
  std::string processor;
  unsigned cores = 0;  ///< That this process may use.
  std::uint64_t memory_bytes = 0;
};

/// Reads /proc, /etc/os-release and uname(); what is not there stays empty.
[[nodiscard]] DeviceInfo read_device_info();

/// Resident memory of this process, in bytes.
[[nodiscard]] std::uint64_t resident_bytes();

}  // namespace verge::telemetry
