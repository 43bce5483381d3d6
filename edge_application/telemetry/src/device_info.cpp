#include "verge/telemetry/device_info.hpp"

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <algorithm>
#include <fstream>

namespace verge::telemetry {
namespace {

/// Value of the first line of `path` that starts with `key`, behind `separator`, without quotes and blanks around it.
std::string value_of(const char* path, std::string_view key, char separator) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    auto value = line.substr(std::min(line.find(separator), line.size() - 1) + 1);
    std::erase(value, '"');
    value.erase(0, value.find_first_not_of(" \t"));
    return value;
  }
  return {};
}

}  // namespace

DeviceInfo read_device_info() {
  DeviceInfo info;
  utsname names{};
  if (::uname(&names) == 0) {
    info.host_name = names.nodename;
    info.kernel = names.release;
    info.architecture = names.machine;
  }
  info.operating_system = value_of("/etc/os-release", "PRETTY_NAME=", '=');
  info.processor = value_of("/proc/cpuinfo", "model name", ':');
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) info.cores = static_cast<unsigned>(CPU_COUNT(&set));
  const auto pages = ::sysconf(_SC_PHYS_PAGES);
  const auto page = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) info.memory_bytes = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page);
  return info;
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace verge::telemetry
