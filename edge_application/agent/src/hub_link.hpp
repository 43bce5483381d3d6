// Hub link: joins the hub, brings down what is desired, reports what is, and updates.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "carried_network.hpp"
#include "device_runtime.hpp"
#include "hub_client.hpp"
#include "measured_state.hpp"
#include "update_log.hpp"
#include "verge/update/ports.hpp"
#include "verge/update/updater.hpp"

namespace verge::agent {

struct HubLinkOptions {
  std::filesystem::path state_directory;
  wire::Hub hub;
  std::string device_name;
  std::string agent_version;
  std::vector<std::string> messages{};        ///< To be reported each time.
  std::shared_ptr<MeasuredState> measured{};  ///< Null: nothing is said of what was booted.
  std::function<void()> start_another{};      ///< Called once, when another release of the agent is to run.
};

/// Three threads: one asks for the desired state, one reports, one updates. Without a hub in reach everything that runs
/// goes on, and what was desired last is brought about as far as the store allows.
class HubLink {
 public:
  /// `files`: the state directory. All must outlive the object.
  HubLink(Log& log, HubLinkOptions options, update::Files& files, Serving& serving, DeviceRuntime& runtime);
  ~HubLink();
  HubLink(const HubLink&) = delete;
  HubLink& operator=(const HubLink&) = delete;

  /// Runs what was active before, then starts the threads. Errors: neither an identity nor an enrolment file can be
  /// read.
  Result<void> start();
  void stop();
  /// Takes updates from a bundle in place of the hub, until they have ended; a restart does not change that. Errors:
  /// those of open_bundle(); failed_precondition (VRG-AGT-047 something newer has been asked of the device).
  Result<void> apply_bundle(const std::filesystem::path& file);
  [[nodiscard]] HubClient& client() noexcept { return hub_; }
  /// The bundle that updates come from, or will next; null when there is none.
  [[nodiscard]] std::shared_ptr<const CarriedNetwork::Carried> bundle();
  [[nodiscard]] std::string device_name();
  [[nodiscard]] std::vector<wire::ReportedApplication> applications() const { return updater_->applications(); }
  [[nodiscard]] std::int64_t desired_version() const { return updater_->desired_version(); }
  /// What is reported, with the link's own state, as JSON.
  [[nodiscard]] std::string status_json();

 private:
  class SystemClock;
  class SystemRandom;

  Result<std::string> first_root();
  void run_desired(const std::stop_token& stop);
  void run_reports(const std::stop_token& stop);
  void run_updates(const std::stop_token& stop);
  /// Whether this program is to end for another release of it, and the store says so.
  [[nodiscard]] bool is_to_end();
  /// Joins, joins anew, or renews, where that is due.
  Result<void> keep_identity();
  Result<void> join(const wire::Enrolment& enrolment);
  Result<void> renew(wire::Identity identity);
  Result<void> adopt(wire::Identity identity, const crypto::PrivateKey& key);
  [[nodiscard]] wire::ReportedState state();
  Result<void> report();
  void check_clock(std::int64_t hub_time_ms);
  /// Logs an error of the link once, and keeps it for the status; an empty one means that all is well.
  void carry_again();
  void take_bundle();
  /// Ends with the bundle when all that it asks for has ended.
  void settle_bundle();
  void set_trouble(const std::string& what, const std::string& text);
  void explain_certificate_trouble(const Error& error);
  /// Sleeps for `ms`, or until woken or stopped.
  void rest(std::int64_t ms, std::atomic<bool>& woken, const std::stop_token& stop);
  void wake(std::atomic<bool>& woken);

  Log& log_;
  HubLinkOptions options_;
  Serving& serving_;
  DeviceRuntime& runtime_;
  IdentityFiles files_;
  std::unique_ptr<SystemClock> clock_;
  std::unique_ptr<SystemRandom> random_;
  update::Files& disk_;
  HubClient hub_;
  CarriedNetwork network_{hub_};
  std::unique_ptr<update::Updater> updater_;
  std::string instance_;
  std::int64_t started_ms_ = 0;

  bool releases_untidy_ = true;  ///< Of the update thread: some may lie there that nothing needs.
  std::mutex exchange_;          ///< Held while the identity is used up and written: by a report, a join, a renewal.
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<wire::Identity> identity_;
  UpdateLog update_log_{log_};  ///< Of the update thread.
  std::map<std::string, std::string> troubles_;
  std::string clock_message_;
  std::shared_ptr<const CarriedNetwork::Carried> handed_;  ///< A bundle that is to be carried.
  std::atomic<bool> wake_updates_{false};
  std::atomic<bool> wake_reports_{false};
  std::atomic<bool> ask_anew_{false};
  std::stop_source stop_;
  std::jthread desired_thread_;
  std::jthread report_thread_;
  std::jthread update_thread_;
};

}  // namespace verge::agent
