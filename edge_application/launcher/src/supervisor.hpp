// Supervisor: one agent at a time, started again when it ends.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "notices.hpp"
#include "verge/base/log.hpp"
#include "verge/launcher/releases.hpp"
#include "verge/process/child.hpp"
#include "verge/process/service_manager.hpp"

namespace verge::launcher {

struct SupervisorOptions {
  std::filesystem::path configuration;
  std::filesystem::path state_directory;  ///< Empty: there are no releases.
  std::filesystem::path agent;            ///< Of the system.
  /// Longest time until an agent is ready. One that follows another has five times what that one took, and at least
  /// thirty seconds: clients wait meanwhile.
  std::chrono::seconds ready_timeout{300};
  std::chrono::seconds watchdog{60};  ///< Longest time without a sign of life; zero: any.
};

/// Used by one thread, which has blocked SIGTERM, SIGINT, SIGHUP and SIGCHLD.
class Supervisor {
 public:
  /// `manager` is told what the agent tells. All must outlive the object.
  Supervisor(Log& log, const process::ServiceManager& manager, SupervisorOptions options);

  /// Runs agents until one has been told to end, or cannot be started at all. The exit status of this program.
  int run();

 private:
  enum class Outcome { ended_as_told, another, failed };
  /// How one start ended.
  struct Start {
    Outcome outcome = Outcome::failed;
    int exit_status = 1;
    bool was_ready = false;
    bool lasted = false;
    std::string reason;
  };

  Choice choose();
  Start start(const Choice& choice);
  Result<process::Child> spawn(const Choice& choice);
  /// Until the process ends or is to end.
  Start watch(process::Child& child, const Choice& choice);
  /// Lets it end by itself, at most for kPatience.
  process::Ending end(process::Child& child);
  /// Whether the agent of the system refuses the configuration: then no release is to blame.
  bool is_configuration_refused();
  void judge(const Choice& choice, const Start& start);
  /// False: told to end meanwhile.
  bool pause();

  Log& log_;
  const process::ServiceManager& manager_;
  SupervisorOptions options_;
  Releases releases_;
  Notices notices_;
  Descriptor signals_;
  bool told_to_end_ = false;
  bool anything_was_ready_ = false;
  bool follows_another_ = false;  ///< The agent before has asked for what starts now.
  std::chrono::steady_clock::duration last_ready_after_{std::chrono::hours(1)};
  int failures_ = 0;              ///< Of starts, one after the other.
  std::set<std::string> blamed_;  ///< Releases that failed since anything was ready.
};

}  // namespace verge::launcher
