// verge-agent: runs models on this device.
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "keys_command.hpp"
#include "tokens.hpp"
#include "trial.hpp"
#include "verge/agent/agent.hpp"
#include "verge/launcher/releases.hpp"

namespace {

/// Models come and go for years. An arena for each of many threads would keep a part of every one of them, and so would
/// the heap of large blocks, which the allocator prefers to fresh pages once it has seen some.
void keep_memory_small() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
}

constexpr std::chrono::hours kForEver{24};

/// The next of these signals; 0: there was none for `patience`.
int next_signal(const sigset_t& signals, std::chrono::milliseconds patience) {
  timespec left{};
  left.tv_sec = patience.count() / 1000;
  left.tv_nsec = patience.count() % 1000 * 1'000'000;
  const int signal = ::sigtimedwait(&signals, nullptr, &left);
  return signal > 0 ? signal : 0;
}

int run(const std::string& path, bool check_only, const std::shared_ptr<verge::process::ServiceManager>& manager) {
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

  std::atomic<bool> another{false};
  const auto start_another = [&] {
    another = true;
    ::kill(::getpid(), SIGTERM);
  };
  const auto sign_of_life = manager->watchdog().count() > 0 ? manager->watchdog() : kForEver;
  verge::agent::Agent agent(log, {VERGE_VERSION, path, manager, start_another});
  if (const auto started = agent.start(*configuration); !started) return fail("not started", started.error());
  for (;;) {
    const int signal = next_signal(signals, sign_of_life);
    manager->notify("WATCHDOG=1");
    if (signal == SIGINT || signal == SIGTERM) {
      log.info("stopping", {{"signal", another ? "another release" : signal == SIGINT ? "SIGINT" : "SIGTERM"}});
      break;
    }
    if (signal != SIGHUP) continue;
    const auto next = verge::agent::read_configuration(path);
    const auto done = next ? agent.reload(*next) : verge::Result<void>(next.error());
    if (!done) log.error("the reload is refused; everything goes on as before", {{"error", done.error().text()}});
  }
  manager->notify("STOPPING=1");
  agent.stop();
  log.info("stopped");
  return another ? verge::launcher::kStartAnother : 0;
}

int change_keys(const std::string& path, verge::agent::KeysOrder order, const std::string& what) {
  const auto configuration = verge::agent::read_configuration(path);
  if (!configuration) {
    std::fprintf(stderr, "verge-agent: %s\n", configuration.error().text().c_str());
    return verge::exit_status(configuration.error().code());
  }
  order.what = what;
  return verge::agent::run_keys_command(*configuration, order);
}

/// The token goes to standard output, once; what is kept of it is a digest.
int print_token(const std::string& name, const std::string& file) {
  const auto made = verge::agent::make_token(name, file);
  if (!made) {
    std::fprintf(stderr, "verge-agent: %s\n", made.error().text().c_str());
    return verge::exit_status(made.error().code());
  }
  if (file.empty()) std::fprintf(stderr, "Line for the file 'api: tokens': %s", made->line.c_str());
  std::puts(made->token.c_str());
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
  const auto manager =
      std::make_shared<verge::process::ServiceManager>(verge::process::ServiceManager::from_environment());
  app.set_version_flag("--version", "verge-agent " VERGE_VERSION);
  auto* config_option = app.add_option("--config", config, "edge_config.yaml");
  app.add_flag("--check", check, "Check the configuration and stop");
  // How the agent runs itself to try out a candidate apart from traffic; nothing for people.
  std::string trial;
  std::string digest;
  std::string state;
  verge::agent::ServingOptions trial_options;
  bool describe_engines = false;
  auto* try_out = app.add_option("--try-out", trial)->group("");
  app.add_option("--digest", digest)->group("")->needs(try_out);
  app.add_option("--threads", trial_options.threads)->group("")->needs(try_out);
  app.add_option("--step-python", trial_options.custom_steps.python)->group("")->needs(try_out);
  app.add_flag("--no-custom-steps", trial_options.custom_steps.forbidden)->group("")->needs(try_out);
  app.add_flag("--steps-without-sandbox", trial_options.custom_steps.allow_without_sandbox)->group("")->needs(try_out);
  app.add_option("--state", state)->group("")->needs(try_out);
  app.add_flag("!--no-compiled", trial_options.keep_compiled)->group("")->needs(try_out);
  app.add_flag("--describe-engines", describe_engines)->group("");
  std::string token_name;
  std::string token_file;
  auto* token = app.add_subcommand("token", "Make a token for the API ('api: tokens') and print it");
  token->add_option("NAME", token_name, "Whose it is; one name, one token")->required();
  token->add_option("--file", token_file, "File to add it to; without, the line to add is printed");
  verge::agent::KeysOrder keys_order;
  auto* keys = app.add_subcommand("keys", "See and change the keys of encryption at rest, while the agent is stopped");
  keys->require_subcommand(1)->fallthrough();
  keys->add_subcommand("status", "Say where the key is and which data keys there are");
  keys->add_subcommand("rotate", "Make a new data key; the agent encrypts everything anew when it is started");
  keys->add_subcommand("suspend", "Bind the key to no register until the next boot, before the firmware changes");
  auto* reseal = keys->add_subcommand("reseal", "Seal the key anew, to the registers as they are or will be");
  reseal->add_option("--expect", keys_order.expected, "NUMBER=VALUE: what a register will be after the next boot");
  keys->add_subcommand("reset", "Throw away the keys and all that they have encrypted: the hub sends it again");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  trial_options.state_directory = state;
  if (*try_out) return verge::agent::run_trial(trial, digest, trial_options);
  if (*token) return print_token(token_name, token_file);
  if (describe_engines) return verge::agent::run_describe_engines();
  if (!*config_option) {
    std::fputs("verge-agent: --config is required; see 'verge-agent --help'\n", stderr);
    return 2;
  }
  if (*keys) return change_keys(config, keys_order, keys->get_subcommands().front()->get_name());
  return run(config, check, manager);
}
