// verge-launcher: starts the agent, and the release of it that a device was given.
#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "supervisor.hpp"
#include "verge/wire/document.hpp"

namespace {

/// Without a word when the configuration cannot be read: the agent says why. No more of it is understood here, so that
/// an old launcher starts agents whose configuration has keys that it has never seen.
std::filesystem::path state_directory_of(const std::filesystem::path& configuration) {
  const auto document = verge::wire::read_document(configuration);
  if (!document) return {};
  const auto* named = document->find("state_directory");
  if (named == nullptr || named->text.empty()) return {};
  const std::filesystem::path folder = named->text;
  return (folder.is_absolute() ? folder : configuration.parent_path() / folder).lexically_normal();
}

std::filesystem::path beside_this_program(const char* name) {
  std::error_code failed;
  return std::filesystem::read_symlink("/proc/self/exe", failed).parent_path() / name;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Starts verge-agent and looks after it, so that the hub can update the agent itself: runs the release that the "
      "device was given last, and goes back to the one before when it does not start. Keeps the agent's listening "
      "sockets meanwhile, so that no client is turned away.\n\nExample:\n"
      "  verge-launcher --config /etc/verge/edge_config.yaml\n\n"
      "SIGHUP and SIGTERM go on to the agent.",
      "verge-launcher"};
  app.set_version_flag("--version", "verge-launcher " VERGE_VERSION);
  std::string configuration;
  verge::launcher::SupervisorOptions options;
  std::string agent = beside_this_program("verge-agent").string();
  int ready_s = static_cast<int>(options.ready_timeout.count());
  int watchdog_s = static_cast<int>(options.watchdog.count());
  app.add_option("--config", configuration, "edge_config.yaml")->required();
  app.add_option("--agent", agent, "The agent of the system, used as long as there is no release")
      ->capture_default_str();
  app.add_option("--ready-timeout", ready_s, "Seconds until an agent must be ready")
      ->capture_default_str()
      ->check(CLI::Range(1, 86400));
  app.add_option("--watchdog", watchdog_s, "Seconds that an agent may give no sign of life; 0: any")
      ->capture_default_str()
      ->check(CLI::Range(0, 86400));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::error_code failed;
  options.configuration = std::filesystem::absolute(configuration, failed);
  options.state_directory = state_directory_of(options.configuration);
  options.agent = agent;
  options.ready_timeout = std::chrono::seconds(ready_s);
  options.watchdog = std::chrono::seconds(watchdog_s);
  auto manager = verge::process::ServiceManager::from_environment();
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  verge::Log log;
  return verge::launcher::Supervisor(log, manager, std::move(options)).run();
}
