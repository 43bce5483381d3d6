// Telemetry gate: how often each device may send samples, whatever its program does.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace verge::hub {

/// Thread-safe.
class TelemetryGate {
 public:
  /// One after the other: 500 samples each, so that a day of samples of each second comes up in four minutes.
  static constexpr int kBatchesPerMinute = 60;

  /// 0: it may. Else after how many seconds it may try again.
  std::int64_t admit(const std::string& device, std::int64_t now_ms) {
    constexpr std::int64_t kWindow_ms = 60'000;
    const std::lock_guard lock(mutex_);
    if (now_ms - swept_ms_ > kWindow_ms || now_ms < swept_ms_) {
      std::erase_if(windows_, [&](const auto& one) { return now_ms - one.second.began_ms >= kWindow_ms; });
      swept_ms_ = now_ms;
    }
    auto& window = windows_[device];
    if (now_ms - window.began_ms >= kWindow_ms || now_ms < window.began_ms) window = {now_ms, 0};
    if (++window.batches <= kBatchesPerMinute) return 0;
    return (window.began_ms + kWindow_ms - now_ms + 999) / 1000;
  }

 private:
  struct Window {
    std::int64_t began_ms = 0;
    int batches = 0;
  };
  std::mutex mutex_;
  std::map<std::string, Window> windows_;
  std::int64_t swept_ms_ = 0;
};

}  // namespace verge::hub
