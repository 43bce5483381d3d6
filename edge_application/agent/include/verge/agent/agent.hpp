// Agent: what runs on a device: models, the local API, pipelines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "verge/base/error.hpp"
#include "verge/base/log.hpp"
#include "verge/process/service_manager.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

/// Reads and checks edge_config.yaml; relative paths in it are made absolute from the file's own folder. Errors name
/// file, line and key (VRG-DOC-…, and VRG-AGT-001 two models or pipelines of one name, 002 a hub without a state
/// directory).
Result<wire::EdgeConfig> read_configuration(const std::filesystem::path& file);

/// What an agent was started as.
struct AgentSetup {
  std::string version;
  std::filesystem::path configuration{};  ///< The file, where there is one.
  /// Who looks after this process.
  std::shared_ptr<process::ServiceManager> manager = std::make_shared<process::ServiceManager>();
  std::function<void()> start_another{};  ///< Called once, from any thread: end, for another release of this program.
};

/// Used by one thread, the one that handles signals.
class Agent {
 public:
  /// `log` must outlive the agent.
  Agent(Log& log, AgentSetup setup);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Opens the API at once, then loads the models and starts the pipelines. Clients of the agent before, which a
  /// service manager has kept waiting, are let in when the models are there. A model that does not load is logged and
  /// left out: the others serve. With a hub, runs what was active before, and joins it in the background. Errors: the
  /// API's address; the hub's enrolment file.
  Result<void> start(const wire::EdgeConfig& configuration);
  /// Loads what changed, keeps what did not, then switches. Requests under way end on the model that they found.
  /// Errors, leaving everything as it was: failed_precondition (VRG-AGT-003) when a model does not load.
  Result<void> reload(const wire::EdgeConfig& configuration);
  /// Ends pipelines and requests, at most ten seconds.
  void stop();

  [[nodiscard]] std::uint16_t port() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace verge::agent
