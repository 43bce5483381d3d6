// verge-agent: runs models on this device.
#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "verge/agent/agent.hpp"

namespace {

int run(const std::string& path, bool check_only) {
  verge::Log log;
  const auto fail = [&](const char* what, const verge::Error& error) {
    log.error(what, {{"error", error.text()}});
    return verge::exit_status(error.code());
  };
  const auto configuration = verge::agent::read_configuration(path);
  if (!configuration) return fail("the configuration is refused", configuration.error());
  if (check_only) {
    std::puts("valid");
    return 0;
  }
  // Blocked before any thread starts, so that only sigwait() below gets them.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  verge::agent::Agent agent(log, VERGE_VERSION);
  if (const auto started = agent.start(*configuration); !started) return fail("not started", started.error());
  for (int signal = 0; sigwait(&signals, &signal) == 0;) {
    if (signal != SIGHUP) {
      log.info("stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
      break;
    }
    const auto next = verge::agent::read_configuration(path);
    const auto done = next ? agent.reload(*next) : verge::Result<void>(next.error());
    if (!done) log.error("the reload is refused; everything goes on as before", {{"error", done.error().text()}});
  }
  agent.stop();
  log.info("stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Runs models on this device: the local inference API and pipelines.\n\nExample:\n"
      "  verge-agent --config infrastructure/config/edge_config.yaml\n\n"
      "SIGHUP reloads the configuration; SIGTERM stops gracefully.",
      "verge-agent"};
  std::string config;
  bool check = false;
  app.set_version_flag("--version", "verge-agent " VERGE_VERSION);
  app.add_option("--config", config, "edge_config.yaml")->required();
  app.add_flag("--check", check, "Check the configuration and stop");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return run(config, check);
}
