#include "delta_child.hpp"

#include <sys/resource.h>

#include <cstdio>

#include <fmt/format.h>

#include "verge/process/child.hpp"

namespace verge::hub {
namespace {

using namespace std::chrono_literals;

/// Far behind those who ask the hub for something.
constexpr int kNice = 15;

}  // namespace

int make_delta_here(int argc, char** argv) {
  process::end_with_parent();
  (void)::setpriority(PRIO_PROCESS, 0, kNice);
  if (argc != 7) return exit_status(ErrorCode::invalid_argument);
  const auto made = delta::make_file({argv[2], argv[3]}, {argv[4], argv[5]}, argv[6]);
  if (made) return 0;
  std::fputs((made.error().text() + "\n").c_str(), stderr);
  return exit_status(made.error().code());
}

Result<void> make_delta_apart(const delta::DescribedFile& old, const delta::DescribedFile& fresh,
                              const std::filesystem::path& made, const std::stop_token& stop) {
  process::Program program;
  program.executable = "/proc/self/exe";
  program.arguments = {std::string(kMakeDelta), old.file.string(),          old.description.string(),
                       fresh.file.string(),     fresh.description.string(), made.string()};
  VERGE_ASSIGN(auto child, process::Child::start(program));
  while (!stop.stop_requested()) {
    const auto ended = child.wait(200ms);
    if (!ended) continue;
    if (ended->signal == 0 && ended->exit_status == 0) return {};
    return Error(ErrorCode::unavailable, "VRG-HUB-060",
                 fmt::format("the process that makes a delta {}; devices get the whole file", ended->text()));
  }
  child.kill();
  return Error(ErrorCode::unavailable, "VRG-HUB-060",
               "stopped while a delta was made; it is made after the next start");
}

}  // namespace verge::hub
