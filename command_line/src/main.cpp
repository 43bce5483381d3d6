// verge: the command line.
#include <csignal>
#include <cstdio>
#include <exception>

#include "commands.hpp"
#include "hub/verbs.hpp"
#include "output.hpp"
#include "verge/base/text.hpp"

namespace {

/// What to say when the first word is no verb; empty when it is one, or an option.
std::string unknown_verb(const CLI::App& app, std::string_view word) {
  std::vector<std::string_view> verbs;
  for (const auto* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (verb->get_name() == word) return {};
    verbs.push_back(verb->get_name());
  }
  if (word.empty() || word.front() == '-') return {};
  const auto meant = verge::nearest(word, verbs);
  return "verge: expected " + verge::one_of(verbs) + ", got '" + std::string(word) + "'" +
         (meant.empty() ? "" : "; did you mean '" + std::string(meant) + "'?");
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app{
      "Run machine-learning models on edge devices.\n\nStart with:\n"
      "  verge run models/efficientnet_lite0 --image cat.jpg\n"
      "  verge package init model.onnx",
      "verge"};
  app.set_version_flag("--version", "verge " VERGE_VERSION);
  app.require_subcommand(1);
  app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    return "verge: " + std::string(error.what()) + "; see '" + failed->get_name() + " --help'\n";
  });
  verge::cli::Action action;
  verge::cli::add_run_command(app, action);
  verge::cli::add_package_commands(app, action);
  verge::cli::add_engines_command(app, action);
  verge::cli::add_bench_command(app, action);
  verge::cli::add_delta_commands(app, action);
  verge::cli::add_login_commands(app, action);
  verge::cli::add_model_commands(app, action);
  verge::cli::add_explain_command(app, action);
  verge::cli::add_application_commands(app, action);
  verge::cli::add_device_commands(app, action);
  verge::cli::add_deploy_commands(app, action);
  verge::cli::add_fleet_commands(app, action);
  verge::cli::add_measured_commands(app, action);
  verge::cli::add_telemetry_commands(app, action);
  verge::cli::add_trust_commands(app, action);
  verge::cli::add_bundle_commands(app, action);
  verge::cli::add_completion_command(app, action);
  if (const auto text = unknown_verb(app, argc > 1 ? argv[1] : ""); !text.empty()) {
    verge::cli::note(text);
    return 2;
  }
  try {
    app.parse(argc, argv);
    return action ? action() : 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    // Only a defect comes here: what can go wrong in operation is a Result.
    std::fprintf(stderr, "verge: internal error: %s; please report it\n", error.what());
    return verge::exit_status(verge::ErrorCode::internal);
  }
}
