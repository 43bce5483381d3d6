// verge-agent: runs models on this device.
#include <malloc.h>

#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "trial.hpp"
#include "verge/agent/agent.hpp"

namespace {

/// Models come and go for years. An arena for each of many threads would keep a part of every one of them, and so would
/// the heap of large blocks, which the allocator prefers to fresh pages once it has seen some.
void keep_memory_small() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
}

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
  keep_memory_small();
  app.set_version_flag("--version", "verge-agent " VERGE_VERSION);
  auto* config_option = app.add_option("--config", config, "edge_config.yaml");
  app.add_flag("--check", check, "Check the configuration and stop");
  // How the agent runs itself to try out a candidate apart from traffic; nothing for people.
  verge::agent::TrialOrder trial;
  std::string trial_state;
  bool describe_engines = false;
  auto* try_out = app.add_option("--try-out", trial.folder)->group("");
  app.add_option("--digest", trial.digest)->group("")->needs(try_out);
  app.add_option("--model", trial.model)->group("")->needs(try_out);
  app.add_option("--engine", trial.engine)->group("")->needs(try_out);
  app.add_option("--threads", trial.threads)->group("")->needs(try_out);
  app.add_option("--state", trial_state)->group("")->needs(try_out);
  app.add_flag("--describe-engines", describe_engines)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  trial.state_directory = trial_state;
  if (*try_out) return verge::agent::run_trial(trial);
  if (describe_engines) return verge::agent::run_describe_engines();
  if (!*config_option) {
    std::fputs("verge-agent: --config is required; see 'verge-agent --help'\n", stderr);
    return 2;
  }
  return run(config, check);
}
