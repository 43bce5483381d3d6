// Device sampler: how busy, full and hot this machine is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace verge::telemetry {

/// What cannot be read is absent.
struct DeviceSample {
  std::optional<std::int64_t> uptime_s;
  std::optional<double> processor_load;  ///< 0 to 1, of all cores, since the sample before.
  std::optional<std::int64_t> memory_available_bytes;
  std::optional<std::int64_t> disk_free_bytes;  ///< Where `store` lies.
  std::optional<double> temperature_c;          ///< Of the hottest thermal zone.
};

/// Used by one thread at a time.
class DeviceSampler {
 public:
  /// `root`: where /proc and /sys are found.
  explicit DeviceSampler(std::filesystem::path store, std::filesystem::path root = "/");
  [[nodiscard]] DeviceSample take();

 private:
  struct Ticks {
    std::uint64_t busy = 0;
    std::uint64_t all = 0;
  };
  [[nodiscard]] std::optional<Ticks> ticks() const;

  const std::filesystem::path store_;
  const std::filesystem::path root_;
  std::optional<Ticks> before_;
};

}  // namespace verge::telemetry
