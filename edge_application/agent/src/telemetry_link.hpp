// Telemetry link: samples of this device and its models, on their way to the hub.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "hub_client.hpp"
#include "serving.hpp"
#include "verge/spool/spool.hpp"
#include "verge/telemetry/device_sampler.hpp"

namespace verge::agent {

/// Two threads: one takes samples into the spool, one delivers them, oldest first, each until the hub has said that it
/// has it.
class TelemetryLink {
 public:
  /// References must outlive the object.
  TelemetryLink(Log& log, std::chrono::seconds interval, const std::filesystem::path& state_directory,
                const Serving& serving, HubClient& hub, std::shared_ptr<spool::Spool> spool);
  ~TelemetryLink();
  TelemetryLink(const TelemetryLink&) = delete;
  TelemetryLink& operator=(const TelemetryLink&) = delete;

  [[nodiscard]] spool::Counts counts() const { return spool_->counts(); }

 private:
  struct Before {
    std::int64_t requests = 0;
    std::int64_t failed = 0;
  };
  void run_samples(const std::stop_token& stop);
  void run_deliveries(const std::stop_token& stop);
  [[nodiscard]] std::string sample();
  /// Fills `batch_` with what there is, up to `most`; false: stopped.
  bool fill(std::size_t most, const std::stop_token& stop);
  [[nodiscard]] std::string batch_text() const;
  /// Whether the batch is done with, for good or ill.
  bool deliver(const std::stop_token& stop);
  void set_trouble(const std::string& text);

  Log& log_;
  const std::chrono::seconds interval_;
  const Serving& serving_;
  HubClient& hub_;
  const std::shared_ptr<spool::Spool> spool_;
  telemetry::DeviceSampler sampler_;
  std::map<std::string, Before> before_;  ///< By name and version.
  std::vector<spool::Record> batch_;      ///< Taken, and not marked yet.
  std::size_t most_ = 0;                  ///< Samples of the next batch.
  std::string trouble_;
  std::jthread sample_thread_;
  std::jthread delivery_thread_;
};

}  // namespace verge::agent
