#include "trial.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "verge/launcher/releases.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/process/child.hpp"
#include "verge/processing/golden_replay.hpp"
#include "verge/processing/loaded_model.hpp"
#include "verge/telemetry/device_info.hpp"

namespace verge::agent {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr int kNice = 15;
constexpr std::int64_t kPollMs = 100;
constexpr auto kLastWords = std::chrono::seconds(5);
constexpr int kLatencyRuns = 20;
constexpr auto kLatencyTime = std::chrono::seconds(2);
constexpr std::size_t kAnswerLimitBytes = 1U << 20U;
constexpr std::size_t kComplaintBytes = 1024;

Error trial_failed(std::string_view model, std::string_view why) {
  return Error(ErrorCode::failed_precondition, "VRG-UPD-016",
               fmt::format("model '{}': trying it out {}; the version before goes on", model, why));
}

constexpr const char* kThisProgram = "/proc/self/exe";

/// What a child printed and how it ended.
struct Ended {
  std::string output;
  process::Ending how;
  bool timed_out = false;
};

Result<Ended> run_apart(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                        std::chrono::seconds timeout, const std::stop_token& stop, bool with_errors = false) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return Error(ErrorCode::unavailable, "VRG-AGT-005", fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  }
  const Descriptor in(ends[0]);
  Descriptor out(ends[1]);
  std::vector<std::pair<int, int>> descriptors{{out.number(), STDOUT_FILENO}};
  if (with_errors) descriptors.emplace_back(out.number(), STDERR_FILENO);
  process::Program order{program, arguments, std::move(descriptors)};
  if (program != kThisProgram) order.environment = launcher::environment_of_release();
  VERGE_ASSIGN(auto child, process::Child::start(order));
  out.reset();
  Ended ended;
  const auto end = Clock::now() + timeout;
  for (std::array<char, 4096> buffer{};;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd waiting{in.number(), POLLIN, 0};
    const bool over = left <= 0 || stop.stop_requested();
    const int ready = over ? 0 : ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, kPollMs)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0 && !over) continue;
    if (ready == 0) {
      ended.timed_out = true;
      break;
    }
    const auto got = ::read(in.number(), buffer.data(), buffer.size());
    if (got <= 0) break;
    if (ended.output.size() < kAnswerLimitBytes) ended.output.append(buffer.data(), static_cast<std::size_t>(got));
  }
  if (!ended.timed_out) (void)child.wait(kLastWords);
  ended.how = child.kill();
  return ended;
}

void print(const json& answer) {
  const auto text = answer.dump(-1, ' ', false, json::error_handler_t::replace);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

json error_json(const Error& error) {
  return {{"error", {{"code", name(error.code())}, {"id", error.id()}, {"message", error.message()}}}};
}

/// Of /proc/self/status: getrusage() would count what the agent had before it became this process.
std::uint64_t memory_bytes(const char* key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return std::strtoull(line.c_str() + std::strlen(key), nullptr, 10) * 1024;
  }
  return 0;
}

/// Fills the inputs of a model without golden samples with zeros.
Result<void> fill_inputs(processing::Worker& worker) {
  const auto inputs = worker.model().inputs();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    std::vector<std::int64_t> shape;
    for (const auto size : inputs[i].shape) shape.push_back(std::max<std::int64_t>(size, 1));
    VERGE_TRY(worker.input(i, shape));
  }
  return {};
}

Result<json> measure(std::string_view entry_json, const std::string& digest, const ServingOptions& options) {
  const auto before = memory_bytes("VmRSS:");
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(entry_json, "model entry"));
  VERGE_ASSIGN(const wire::ModelEntry entry, wire::read_model_entry(node, wire::Place("model entry")));
  VERGE_ASSIGN(auto package, package::open_folder(entry.package));
  if (package.digest != digest) {
    return Error(ErrorCode::data_loss, "VRG-AGT-004",
                 fmt::format("'{}' is another package than was checked: expected {}, got {}", entry.package, digest,
                             package.digest));
  }
  processing::EngineCatalogue engines(processing::default_engine_folder());
  const auto load = load_options(entry, package.metadata, options);
  VERGE_ASSIGN(auto model, processing::LoadedModel::load(std::move(package), engines, load));
  VERGE_ASSIGN(auto worker, model->create_worker());
  VERGE_ASSIGN(const auto results, processing::replay_golden(worker));
  json answer{{"engine", model->choice().engine}, {"golden_samples", results.size()}, {"golden_passed", 0}};
  for (const auto& result : results) {
    if (result.passed) {
      answer["golden_passed"] = answer["golden_passed"].get<int>() + 1;
    } else if (!answer.contains("difference")) {
      answer["difference"] = fmt::format("'{}': {}", result.sample, result.difference);
    }
  }
  if (results.empty()) VERGE_TRY(fill_inputs(worker));
  // The shortest of several: this process has the lowest priority, and its neighbours work.
  double shortest = 0;
  const auto end = Clock::now() + kLatencyTime;
  for (int i = 0; i < kLatencyRuns && (i < 3 || Clock::now() < end); ++i) {
    const auto start = Clock::now();
    VERGE_TRY(worker.infer());
    const double took = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    shortest = i == 0 ? took : std::min(shortest, took);
  }
  answer["latency_ms"] = shortest;
  // Of this process, and of the model's own where it has one: it ends with its last owner.
  const auto here = memory_bytes("VmHWM:") - before;
  model.reset();
  { const auto last = std::move(worker); }
  rusage children{};
  (void)::getrusage(RUSAGE_CHILDREN, &children);
  answer["memory_bytes"] = here + static_cast<std::uint64_t>(children.ru_maxrss) * 1024;
  return answer;
}

ErrorCode code_called(std::string_view text) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::internal); ++code) {
    if (name(static_cast<ErrorCode>(code)) == text) return static_cast<ErrorCode>(code);
  }
  return ErrorCode::internal;
}

Result<json> answer_of(const Ended& ended, std::string_view model, int timeout_s) {
  if (ended.timed_out) return trial_failed(model, fmt::format("took more than {} s", timeout_s));
  if (ended.how.signal != 0) {
    return trial_failed(
        model, fmt::format("ended the process by signal {} ({})", ended.how.signal, ::strsignal(ended.how.signal)));
  }
  const auto answer = json::parse(ended.output.substr(0, ended.output.find('\n')), nullptr, false);
  if (!answer.is_object()) {
    return trial_failed(model, fmt::format("gave no answer (exit status {})", ended.how.exit_status));
  }
  if (!answer.contains("error")) return answer;
  const auto& error = answer["error"];
  return Error(code_called(error.value("code", "")), error.value("id", "VRG-UPD-016"), error.value("message", ""));
}

}  // namespace

Result<update::ModelTrial> try_out_apart(const TrialOrder& order, int timeout_s, const std::stop_token& stop) {
  const std::string name = order.model.entry.name.value_or(order.model.entry.package);
  std::vector<std::string> arguments{"--try-out", wire::write_json_line(wire::to_node(order.model.entry)),
                                     "--digest",  order.model.digest,
                                     "--threads", std::to_string(order.options.threads)};
  const auto& steps = order.options.custom_steps;
  arguments.insert(arguments.end(), {"--step-python", steps.python});
  if (steps.forbidden) arguments.emplace_back("--no-custom-steps");
  if (steps.allow_without_sandbox) arguments.emplace_back("--steps-without-sandbox");
  if (!order.options.keep_compiled) arguments.emplace_back("--no-compiled");
  if (!order.options.state_directory.empty()) {
    arguments.insert(arguments.end(), {"--state", order.options.state_directory.string()});
  }
  VERGE_ASSIGN(const Ended ended, run_apart(order.program, arguments, std::chrono::seconds(timeout_s), stop));
  if (stop.stop_requested()) return Error(ErrorCode::cancelled, "VRG-AGT-008", "the agent is stopping");
  VERGE_ASSIGN(const json answer, answer_of(ended, name, timeout_s));
  update::ModelTrial trial;
  trial.model = name;
  trial.engine = answer.value("engine", "");
  trial.golden_samples = answer.value("golden_samples", std::int64_t{0});
  trial.golden_passed = answer.value("golden_passed", std::int64_t{0});
  trial.difference = answer.value("difference", "");
  trial.latency_ms = answer.value("latency_ms", 0.0);
  trial.memory_bytes = answer.value("memory_bytes", std::uint64_t{0});
  return trial;
}

Result<std::string> check_configuration_apart(const std::filesystem::path& program,
                                              const std::filesystem::path& configuration, int timeout_s,
                                              const std::stop_token& stop) {
  VERGE_ASSIGN(const Ended ended, run_apart(program, {"--check", "--config", configuration.string()},
                                            std::chrono::seconds(timeout_s), stop, true));
  if (stop.stop_requested()) return Error(ErrorCode::cancelled, "VRG-AGT-008", "the agent is stopping");
  if (ended.timed_out) return fmt::format("it did not answer within {} s", timeout_s);
  if (ended.how.signal == 0 && ended.how.exit_status == 0) return std::string();
  return ended.how.text() + (ended.output.empty() ? "" : ": " + ended.output.substr(0, kComplaintBytes));
}

Result<std::vector<wire::EngineReport>> engines_apart() {
  constexpr int kTimeout_s = 60;
  VERGE_ASSIGN(const Ended ended,
               run_apart(kThisProgram, {"--describe-engines"}, std::chrono::seconds(kTimeout_s), {}));
  VERGE_ASSIGN(const json answer, answer_of(ended, "engines", kTimeout_s));
  std::vector<wire::EngineReport> engines;
  for (const auto& [name, version] : answer.items()) {
    wire::EngineReport engine;
    engine.name = name;
    if (version.is_string()) engine.version = version.get<std::string>();
    engines.push_back(std::move(engine));
  }
  return engines;
}

int run_trial(std::string_view entry, const std::string& digest, const ServingOptions& options) {
  // An agent that is killed must not leave this behind.
  process::end_with_parent();
  // Far behind traffic, and yet not starved on a device that is always busy, as SCHED_IDLE would be.
  const sched_param batch{};
  (void)::sched_setscheduler(0, SCHED_BATCH, &batch);
  (void)::setpriority(PRIO_PROCESS, 0, kNice);
  const auto answer = measure(entry, digest, options);
  print(answer ? *answer : error_json(answer.error()));
  // Not through destructors: a vendor's library that fails at its end must not turn the answer into a failure.
  std::_Exit(answer ? 0 : exit_status(answer.error().code()));
}

int run_describe_engines() {
  json answer = json::object();
  processing::EngineCatalogue engines(processing::default_engine_folder());
  for (const auto& engine : engines.names()) {
    if (const auto info = engines.info(engine)) answer[engine] = info->version;
  }
  print(answer);
  std::_Exit(0);
}

}  // namespace verge::agent
