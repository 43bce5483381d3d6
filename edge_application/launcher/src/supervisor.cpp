#include "supervisor.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

namespace verge::launcher {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::seconds kCheckTimeout{60};
constexpr std::chrono::seconds kLeastTime{30};
constexpr std::chrono::milliseconds kFirstPause{1000};
constexpr std::chrono::milliseconds kLongestPause{60'000};

/// What is said anew to each agent.
bool is_said_anew(std::string_view variable) {
  constexpr std::array<std::string_view, 6> kNames{
      "VERGE_LAUNCHER=", "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES="};
  return std::ranges::any_of(kNames, [&](std::string_view name) { return variable.starts_with(name); });
}

std::vector<std::string> environment_of_system() {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) variables.emplace_back(*entry);
  return variables;
}

int status_of(const process::Ending& ending) {
  return ending.signal == 0 ? ending.exit_status : 128 + ending.signal;
}

/// As long as `end` is away, for poll().
int left_ms(Clock::time_point end) {
  const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
}

}  // namespace

Supervisor::Supervisor(Log& log, const process::ServiceManager& manager, SupervisorOptions options)
    : log_(log), manager_(manager), options_(std::move(options)), releases_(options_.state_directory) {}

int Supervisor::run() {
  auto notices = Notices::open();
  if (!notices) {
    log_.error("not started", {{"error", notices.error().text()}});
    return exit_status(notices.error().code());
  }
  notices_ = std::move(*notices);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  signals_ = Descriptor(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  for (;;) {
    const auto choice = choose();
    const auto begun = start(choice);
    judge(choice, begun);
    if (begun.outcome == Outcome::ended_as_told || told_to_end_) return begun.exit_status;
    const bool at_once = follows_another_ && !begun.was_ready;  // The one before is good, and its clients wait.
    follows_another_ = begun.outcome == Outcome::another;
    if (follows_another_ || (at_once && !choice.digest.empty())) continue;
    if (!anything_was_ready_ && (choice.digest.empty() || is_configuration_refused())) {
      // Nothing starts here: what is wrong is not the release, and whoever started us is to know.
      for (const auto& digest : blamed_) releases_.forget_starts(digest);
      return begun.exit_status;
    }
    if (!pause()) return 0;
  }
}

Choice Supervisor::choose() {
  std::vector<std::string> told;
  std::optional<Choice> chosen;
  if (!options_.state_directory.empty()) chosen = releases_.choose(told);
  for (const auto& line : told) log_.warning("a release of the agent is not started", {{"reason", line}});
  return chosen.value_or(Choice{"", "", options_.agent});
}

Result<process::Child> Supervisor::spawn(const Choice& choice) {
  process::Program program{choice.program, {"--config", options_.configuration.string()}};
  auto variables = choice.digest.empty() ? environment_of_system() : environment_of_release();
  std::erase_if(variables, is_said_anew);
  variables.push_back("VERGE_LAUNCHER=" + choice.digest);
  variables.push_back("NOTIFY_SOCKET=" + notices_.name());
  if (options_.watchdog.count() > 0) {
    variables.push_back(fmt::format("WATCHDOG_USEC={}", std::chrono::microseconds(options_.watchdog).count()));
  }
  std::string names;
  for (const auto& [name, descriptor] : notices_.kept()) {
    names += names.empty() ? name : ":" + name;
    program.descriptors.emplace_back(descriptor.number(),
                                     process::kFirstHandedOver + static_cast<int>(program.descriptors.size()));
  }
  if (!program.descriptors.empty()) {
    variables.push_back(fmt::format("LISTEN_FDS={}", program.descriptors.size()));
    variables.push_back("LISTEN_FDNAMES=" + names);
  }
  program.environment = std::move(variables);
  return process::Child::start(program);
}

Supervisor::Start Supervisor::start(const Choice& choice) {
  log_.info("the agent starts", {{"release", choice.digest.empty() ? "of the system" : choice.release},
                                 {"program", choice.program.string()}});
  if (!choice.digest.empty()) releases_.note_start(choice.digest);
  auto child = spawn(choice);
  if (!child) {
    Start failed;
    failed.reason = child.error().message();
    return failed;
  }
  return watch(*child, choice);
}

process::Ending Supervisor::end(process::Child& child) {
  ::kill(child.id(), SIGTERM);
  if (const auto ended = child.wait(kPatience)) return *ended;
  log_.error("the agent does not end, and is killed", {{"after_s", static_cast<long long>(kPatience.count())}});
  return child.kill();
}

Supervisor::Start Supervisor::watch(process::Child& child, const Choice& choice) {
  Start seen;
  const auto begun = Clock::now();
  Clock::duration patience = options_.ready_timeout;
  if (follows_another_)
    patience = std::min<Clock::duration>(patience, std::max<Clock::duration>(kLeastTime, 5 * last_ready_after_));
  auto due = begun + patience;
  auto lasting = Clock::time_point::max();
  const auto fail = [&](std::string reason) {
    child.kill();
    seen.reason = std::move(reason);
    return seen;
  };
  for (;;) {
    std::array<pollfd, 2> waiting{pollfd{signals_.number(), POLLIN, 0}, pollfd{notices_.number(), POLLIN, 0}};
    ::poll(waiting.data(), waiting.size(), left_ms(std::min(due, lasting)));
    const auto news = notices_.take(child.id());
    if (news.ready && !seen.was_ready) {
      seen.was_ready = anything_was_ready_ = true;
      blamed_.clear();
      last_ready_after_ = Clock::now() - begun;
      lasting = Clock::now() + std::chrono::seconds(kLasting_s);
      manager_.notify("READY=1");
    }
    if (news.alive) manager_.notify("WATCHDOG=1");
    if (news.ready || news.alive) {
      due = options_.watchdog.count() > 0 ? Clock::now() + options_.watchdog : Clock::time_point::max();
    }
    for (signalfd_siginfo signal{}; ::read(signals_.number(), &signal, sizeof signal) == sizeof signal;) {
      if (signal.ssi_signo == SIGHUP) ::kill(child.id(), SIGHUP);
      if (signal.ssi_signo == SIGTERM || signal.ssi_signo == SIGINT) told_to_end_ = true;
    }
    if (told_to_end_) {
      manager_.notify("STOPPING=1");
      const auto ended = end(child);
      seen.outcome = Outcome::ended_as_told;
      seen.exit_status = status_of(ended);
      return seen;
    }
    if (const auto ended = child.wait(milliseconds(0))) {
      (void)notices_.take(child.id());  // Told with its last breath.
      seen.exit_status = status_of(*ended);
      seen.reason = ended->text();
      if (ended->signal == 0 && ended->exit_status == kStartAnother) seen.outcome = Outcome::another;
      if (ended->signal == 0 && ended->exit_status == 0) seen.outcome = Outcome::ended_as_told;
      return seen;
    }
    if (Clock::now() >= lasting) {
      seen.lasted = true;
      lasting = Clock::time_point::max();
      failures_ = 0;
      if (!choice.digest.empty()) releases_.forget_starts(choice.digest);
    }
    if (Clock::now() < due) continue;
    return fail(seen.was_ready ? fmt::format("gave no sign of life for {} s", options_.watchdog.count())
                               : fmt::format("was not ready within {} s",
                                             std::chrono::ceil<std::chrono::seconds>(patience).count()));
  }
}

void Supervisor::judge(const Choice& choice, const Start& start) {
  if (start.outcome != Outcome::failed) {
    failures_ = 0;
    if (!choice.digest.empty()) releases_.forget_starts(choice.digest);
    return;
  }
  ++failures_;
  log_.error("the agent ended",
             {{"release", choice.digest.empty() ? "of the system" : choice.release}, {"reason", start.reason}});
  if (choice.digest.empty() || start.lasted) return;
  // One that has never been ready, and was wanted just now, is not worth the time of a second attempt.
  releases_.note_failed(choice.digest, start.reason, follows_another_ && !start.was_ready ? kMostFailed : 1);
  blamed_.insert(choice.digest);
}

bool Supervisor::is_configuration_refused() {
  process::Program check{options_.agent, {"--check", "--config", options_.configuration.string()}};
  auto child = process::Child::start(check);
  if (!child) return false;
  const auto ended = child->wait(kCheckTimeout);
  return ended && ended->signal == 0 && ended->exit_status != 0;
}

bool Supervisor::pause() {
  const auto wait = std::min(kFirstPause * (1 << std::min(failures_ - 1, 6)), kLongestPause);
  for (const auto end = Clock::now() + wait; Clock::now() < end;) {
    pollfd waiting{signals_.number(), POLLIN, 0};
    ::poll(&waiting, 1, left_ms(end));
    for (signalfd_siginfo signal{}; ::read(signals_.number(), &signal, sizeof signal) == sizeof signal;) {
      if (signal.ssi_signo == SIGTERM || signal.ssi_signo == SIGINT) return false;
    }
  }
  return true;
}

}  // namespace verge::launcher
