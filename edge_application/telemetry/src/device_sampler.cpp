#include "verge/telemetry/device_sampler.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <string>

namespace verge::telemetry {
namespace {

std::optional<double> hottest(const std::filesystem::path& zones) {
  constexpr double kMost = 1000;  // Sensors that are not there say what they like.
  constexpr double kLeast = -273.15;
  std::optional<double> highest;
  std::error_code failed;
  for (const auto& zone : std::filesystem::directory_iterator(zones, failed)) {
    if (!zone.path().filename().string().starts_with("thermal_zone")) continue;
    std::ifstream file(zone.path() / "temp");
    double thousandths = 0;
    if (!(file >> thousandths)) continue;
    const double degrees = thousandths / 1000;
    if (degrees >= kLeast && degrees <= kMost) highest = std::max(highest.value_or(kLeast), degrees);
  }
  return highest;
}

std::optional<std::int64_t> available_memory(const std::filesystem::path& file) {
  std::ifstream lines(file);
  std::string key;
  std::int64_t kilobytes = 0;
  std::string unit;
  while (lines >> key >> kilobytes) {
    std::getline(lines, unit);
    if (key == "MemAvailable:") return kilobytes * 1024;
  }
  return std::nullopt;
}

}  // namespace

DeviceSampler::DeviceSampler(std::filesystem::path store, std::filesystem::path root)
    : store_(std::move(store)), root_(std::move(root)), before_(ticks()) {}

/// Of the line "cpu  user nice system idle iowait irq softirq steal …".
std::optional<DeviceSampler::Ticks> DeviceSampler::ticks() const {
  std::ifstream file(root_ / "proc/stat");
  std::string name;
  std::array<std::uint64_t, 8> times{};
  if (!(file >> name) || name != "cpu") return std::nullopt;
  for (auto& time : times) {
    if (!(file >> time)) return std::nullopt;
  }
  constexpr std::size_t kIdle = 3;
  constexpr std::size_t kWaiting = 4;
  Ticks ticks;
  for (const auto time : times) ticks.all += time;
  ticks.busy = ticks.all - times[kIdle] - times[kWaiting];
  return ticks;
}

DeviceSample DeviceSampler::take() {
  DeviceSample sample;
  std::ifstream uptime(root_ / "proc/uptime");
  if (double seconds = 0; uptime >> seconds) sample.uptime_s = static_cast<std::int64_t>(seconds);
  const auto now = ticks();
  if (now && before_ && now->all > before_->all && now->busy >= before_->busy) {
    const auto busy = static_cast<double>(now->busy - before_->busy) / static_cast<double>(now->all - before_->all);
    sample.processor_load = std::min(busy, 1.0);
  }
  before_ = now;
  sample.memory_available_bytes = available_memory(root_ / "proc/meminfo");
  std::error_code failed;
  const auto space = std::filesystem::space(store_, failed);
  if (!failed) sample.disk_free_bytes = static_cast<std::int64_t>(space.available);
  sample.temperature_c = hottest(root_ / "sys/class/thermal");
  return sample;
}

}  // namespace verge::telemetry
