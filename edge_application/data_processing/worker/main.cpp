// verge-step-worker: confines itself, then runs a package's custom steps: a plug-in itself, Python by becoming it.
// Started by Verge only.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <nlohmann/json.hpp>

#include "plugin_host.hpp"
#include "step_frame.hpp"
#include "verge/process/sandbox.hpp"

namespace verge::data_processing {
namespace {

using nlohmann::json;

constexpr int kErrorOutput = 4;

/// Nothing of the agent's terminal or log: what is written goes to the agent, or nowhere.
bool replace_standard_streams() {
  const int nothing = ::open("/dev/null", O_RDWR);
  return nothing >= 0 && ::dup2(nothing, STDIN_FILENO) >= 0 && ::dup2(kErrorOutput, STDOUT_FILENO) >= 0 &&
         ::dup2(kErrorOutput, STDERR_FILENO) >= 0 && ::close(kErrorOutput) == 0 && ::close(nothing) == 0;
}

[[noreturn]] void become(const std::vector<std::string>& program) {
  std::vector<char*> arguments;
  arguments.reserve(program.size() + 1);
  for (const auto& argument : program) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::execv(arguments.front(), arguments.data());
  std::fprintf(stderr, "cannot run '%s': %s\n", arguments.front(), std::strerror(errno));
  std::_Exit(EXIT_FAILURE);
}

int run() {
  process::Channel channel(Descriptor(kChannelNumber), kPacketLimitBytes);
  process::Packet packet;
  StepFrame frame;
  if (channel.receive(packet) != process::Channel::Outcome::received || packet.bytes.size() < sizeof(frame)) {
    std::fputs("verge-step-worker is started by Verge, not by hand\n", stderr);
    return EXIT_FAILURE;
  }
  const auto text = packet.bytes.subspan(sizeof(frame));
  const auto order = json::parse(std::string(reinterpret_cast<const char*>(text.data()), text.size()));
  process::Confinement confinement;
  for (const auto& path : order.at("readable")) confinement.readable.emplace_back(path.get<std::string>());
  confinement.memory_bytes = order.at("memory_bytes").get<std::uint64_t>();
  confinement.lenient = order.at("lenient").get<bool>();
  const auto program = order.at("program").get<std::vector<std::string>>();
  bool ready = replace_standard_streams() && ::chdir(order.at("package").get<std::string>().c_str()) == 0;
  std::string problem = ready ? "" : std::string("cannot enter the package's folder: ") + std::strerror(errno);
  Descriptor reports;
  if (ready) {
    auto confined = process::confine(confinement);
    ready = confined.has_value();
    if (ready) {
      reports = std::move(*confined);
    } else {
      problem = confined.error().message();
    }
  }
  const StepFrame answer{.status = ready ? StepStatus::ok : StepStatus::unusable};
  channel.send(std::as_bytes(std::span(&answer, 1)), std::as_bytes(std::span(problem)), reports.number());
  reports.reset();
  if (!ready) return EXIT_FAILURE;
  if (!program.empty()) {
    (void)::fcntl(kChannelNumber, F_SETFD, 0);
    become(program);
  }
  host_plugins(channel);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace verge::data_processing

int main() {
  // Of a terminal's Ctrl-C: who started it sees to its end.
  std::signal(SIGINT, SIG_IGN);
  // Not through destructors: a plug-in's own might do anything.
  std::_Exit(verge::data_processing::run());
}
