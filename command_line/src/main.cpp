// verge: the command line.
#include <csignal>
#include <cstdio>
#include <exception>

#include "commands.hpp"
#include "output.hpp"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app{"Run machine-learning models on edge devices.\n\nStart with:\n"
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
  verge::cli::add_completion_command(app, action);
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
