// Download policy: when updates may take the device's link, and how much of it.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <string>

#include "verge/base/error.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

/// Used by one thread.
class DownloadPolicy {
 public:
  /// `file` keeps how much came today.
  DownloadPolicy(wire::HubDownloads wanted, std::filesystem::path file);

  /// Whether content may be fetched at this moment. Errors: unavailable (VRG-AGT-036 no window is open: when the next
  /// one opens; 037 today's bytes are used up).
  Result<void> admit(std::time_t now);
  /// These many bytes have come. What is counted is on the disk once save() was called, or kSaveEvery_bytes more came.
  void count(std::uint64_t bytes, std::time_t now);
  void save();

  static constexpr std::uint64_t kSaveEvery_bytes = std::uint64_t{1} << 20U;

 private:
  void begin_day(std::time_t now);

  wire::HubDownloads wanted_;
  std::filesystem::path file_;
  std::string day_;  ///< Of `bytes_`, as 2026-11-27.
  std::uint64_t bytes_ = 0;
  std::uint64_t saved_bytes_ = 0;
};

}  // namespace verge::agent
