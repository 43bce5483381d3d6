// Download policy: when updates may take the device's link, and how much of it.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>

#include "verge/base/error.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

/// What is about to be fetched, as far as it matters.
struct DownloadContent {
  bool is_delta = false;
  std::uint64_t bytes_there = 0;  ///< How much of it has come.
};

/// Used by one thread.
class DownloadPolicy {
 public:
  /// `file` keeps how much came today; `route` tells the interface of the default route.
  DownloadPolicy(wire::HubDownloads wanted, std::filesystem::path file, std::function<std::string()> route);

  /// Whether content may be fetched at this moment. Errors: unavailable (VRG-AGT-036 no window is open: when the next
  /// one opens; 037 today's bytes are used up; on a metered link 051 nothing may be fetched, 052 only deltas may, 053
  /// today's bytes are used up).
  Result<void> admit(std::time_t now, const DownloadContent& content);
  /// These many bytes have come. What is counted is on the disk once save() was called, or kSaveEvery_bytes more came.
  void count(std::uint64_t bytes, std::time_t now);
  void save();

  static constexpr std::uint64_t kSaveEvery_bytes = std::uint64_t{1} << 20U;
  /// What is no longer counts as a document, where only deltas may be fetched.
  static constexpr std::uint64_t kDocument_bytes = std::uint64_t{64} << 10U;

 private:
  void begin_day(std::time_t now);
  Result<void> admit_metered(const std::string& why, const DownloadContent& content) const;
  /// Why the link is metered, and until when; empty when it is not.
  const std::string& metered(std::time_t now);

  wire::HubDownloads wanted_;
  std::filesystem::path file_;
  std::function<std::string()> route_;
  std::string day_;  ///< Of the two counts, as 2026-11-27.
  std::uint64_t bytes_ = 0;
  std::uint64_t metered_bytes_ = 0;
  std::uint64_t saved_bytes_ = 0;
  std::time_t looked_ = 0;  ///< When the link was looked at; it is once a second.
  std::string metered_;
};

}  // namespace verge::agent
