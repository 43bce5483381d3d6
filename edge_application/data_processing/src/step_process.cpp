#include "step_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "interpreter.hpp"
#include "verge/data_processing/prediction_reader.hpp"

namespace verge::data_processing {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;
using std::chrono::milliseconds;

constexpr StepLimit kStartLimit{milliseconds(20'000), milliseconds(120'000)};
constexpr auto kLastWords = milliseconds(2'000);
constexpr int kErrorOutput = 4;
/// Of inputs whose size the model leaves open, and of a mask: pages are taken only when they are written.
constexpr std::size_t kRoomBytes = std::size_t{64} << 20U;
constexpr std::size_t kWordsShown = 2048;

/// Processor time that a process has taken. Its threads' together.
std::chrono::nanoseconds processor_time(pid_t id) {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(id, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return {};
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

json tensors(std::span<const processing::TensorSpec> specs) {
  json list = json::array();
  for (const auto& spec : specs) {
    list.push_back({{"name", spec.name}, {"datatype", static_cast<int>(spec.datatype)}, {"shape", spec.shape}});
  }
  return list;
}

json function(const wire::CustomStep& step) {
  return {{"file", step.file}, {"function", step.function}};
}

std::size_t room_for(std::span<const processing::TensorSpec> inputs) {
  std::size_t room = kPredictionLimitBytes;
  for (const auto& spec : inputs) {
    const auto count = processing::element_count(spec.shape);
    if (!count) return kRoomBytes;
    room += *count * processing::size_bytes(spec.datatype) + 2 * kAlignment;
  }
  return std::max(room, kRoomBytes);
}

}  // namespace

const wire::CustomStep& StepProcess::first_step() const noexcept {
  return preprocess_ ? *steps_.order.preprocess : *steps_.order.postprocess;
}

Result<void> StepProcess::ensure() {
  if (running_) return {};
  if (started_) {
    const std::lock_guard lock(steps_.mutex);
    if (!steps_.budget.take(Clock::now())) {
      return Error(ErrorCode::unavailable, "VRG-STP-011",
                   fmt::format("the custom steps' process {} and is not started again: it ended more than {} times "
                               "within {} s; give the model another version",
                               steps_.last_end, steps_.budget.count(), steps_.budget.window().count()));
    }
    ++steps_.restarts;
  }
  if (started_) std::this_thread::sleep_until(*started_ + steps_.options.restart_pause);
  started_ = Clock::now();
  auto started = start();
  if (!started) running_.reset();
  return started;
}

Result<void> StepProcess::start() {
  auto [ours, theirs] = process::Channel::pair();
  std::array<int, 2> ends{-1, -1};
  if (!ours || ::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return Error(ErrorCode::unavailable, "VRG-STP-003",
                 fmt::format("no channel for the process of custom steps: {}", std::strerror(errno)));
  }
  Descriptor words(ends[0]);
  Descriptor error_output(ends[1]);
  auto child = steps_.starter.start({steps_.options.worker,
                                     {},
                                     {{theirs.number(), kChannelNumber}, {error_output.number(), kErrorOutput}},
                                     step_environment()});
  if (!child) {
    return Error(
        ErrorCode::unavailable, "VRG-STP-003",
        fmt::format("the process of custom steps cannot be started: {}; install Verge whole", child.error().message()));
  }
  running_.emplace(
      Running{std::move(*child), process::Channel(std::move(ours), kPacketLimitBytes), {}, std::move(words)});
  theirs.reset();
  error_output.reset();
  VERGE_TRY(confine());
  VERGE_TRY(load());
  return share_memory();
}

/// The first answer brings what the sandbox reports to; then the process becomes what runs the functions.
Result<void> StepProcess::confine() {
  const bool plugin = is_plugin(first_step());
  const auto interpreter = plugin ? Interpreter{} : find_interpreter(steps_.options.python, steps_.options.host);
  std::vector<std::string> readable{steps_.order.package.string()};
  for (const auto& path : steps_.order.elsewhere) readable.push_back(path.string());
  for (const auto& path : shared_libraries()) readable.push_back(path.string());
  for (const auto& path : interpreter.readable) readable.push_back(path.string());
  std::int64_t memory_bytes = 0;
  if (preprocess_) memory_bytes = steps_.order.preprocess->memory_limit_bytes;
  if (postprocess_) memory_bytes = std::max(memory_bytes, steps_.order.postprocess->memory_limit_bytes);
  const json order{{"package", steps_.order.package.string()},
                   {"readable", readable},
                   {"memory_bytes", memory_bytes},
                   {"lenient", steps_.options.allow_without_sandbox},
                   {"program", interpreter.program}};
  const std::string text = order.dump();
  const StepFrame frame{.kind = StepKind::confine};
  process::Packet packet;
  std::optional<Silence> silence = Silence{};
  if (running_->channel.send(std::as_bytes(std::span(&frame, 1)), std::as_bytes(std::span(text)))) {
    silence = wait(packet, kStartLimit);
  }
  if (silence) return bury(first_step(), *silence);
  StepFrame answer;
  if (packet.bytes.size() < sizeof(answer))
    return bury(first_step(), {Silence::Why::nonsense, "gave an answer without sense"});
  std::memcpy(&answer, packet.bytes.data(), sizeof(answer));
  if (answer.status != StepStatus::ok) {
    const auto why = packet.bytes.subspan(sizeof(answer));
    return Error(ErrorCode::failed_precondition, "VRG-STP-002",
                 std::string(reinterpret_cast<const char*>(why.data()), why.size()));
  }
  running_->watch = process::SandboxWatch(std::move(packet.descriptor));
  return {};
}

Result<void> StepProcess::load() {
  json order{{"package", steps_.order.package.string()},
             {"readable", json::array()},
             {"image", steps_.order.takes_image},
             {"inputs", tensors(steps_.order.inputs)},
             {"outputs", tensors(steps_.order.outputs)}};
  const auto readable = is_plugin(first_step()) ? std::vector<std::filesystem::path>{}
                                                : find_interpreter(steps_.options.python, steps_.options.host).readable;
  for (const auto& path : readable) order["readable"].push_back(path.string());
  for (const auto& path : steps_.order.elsewhere) order["readable"].push_back(path.string());
  for (const auto& path : shared_libraries()) order["readable"].push_back(path.string());
  if (preprocess_) order["preprocess"] = function(*steps_.order.preprocess);
  if (postprocess_) order["postprocess"] = function(*steps_.order.postprocess);
  const std::string text = order.dump();
  VERGE_TRY(ask(first_step(), {.kind = StepKind::load}, std::as_bytes(std::span(text)), kStartLimit));
  return {};
}

/// After a restart the memory is the same: what was given is still there.
Result<void> StepProcess::share_memory() {
  if (made_.bytes().empty()) {
    VERGE_ASSIGN(made_, process::SharedMemory::create(room_for(steps_.order.inputs)));
  }
  const StepFrame made{.kind = StepKind::made, .size_bytes = made_.bytes().size()};
  bool sent = running_->channel.send(std::as_bytes(std::span(&made, 1)), {}, made_.descriptor());
  if (!given_.bytes().empty()) {
    const StepFrame given{.kind = StepKind::given, .size_bytes = given_.bytes().size()};
    sent = sent && running_->channel.send(std::as_bytes(std::span(&given, 1)), {}, given_.descriptor());
  }
  if (!sent) return bury(first_step(), {});
  return {};
}

Result<std::span<std::byte>> StepProcess::given(std::size_t size_bytes) {
  if (given_.bytes().size() < size_bytes || given_.bytes().empty()) {
    constexpr std::size_t kLeastBytes = 4096;
    VERGE_ASSIGN(given_, process::SharedMemory::create(std::max(size_bytes + size_bytes / 4, kLeastBytes)));
    const StepFrame frame{.kind = StepKind::given, .size_bytes = given_.bytes().size()};
    if (!running_->channel.send(std::as_bytes(std::span(&frame, 1)), {}, given_.descriptor())) {
      return bury(first_step(), {});
    }
  }
  return given_.bytes();
}

Result<StepAnswer> StepProcess::ask(const wire::CustomStep& step, const StepFrame& frame,
                                    std::span<const std::byte> content, const StepLimit& limit) {
  process::Packet packet;
  std::optional<Silence> silence = Silence{};
  if (running_->channel.send(std::as_bytes(std::span(&frame, 1)), content)) silence = wait(packet, limit);
  if (silence) return bury(step, *silence);
  StepAnswer answer;
  if (packet.bytes.size() < sizeof(StepFrame))
    return bury(step, {Silence::Why::nonsense, "gave an answer without sense"});
  std::memcpy(&answer.frame, packet.bytes.data(), sizeof(StepFrame));
  answer.content = packet.bytes.subspan(sizeof(StepFrame));
  switch (answer.frame.status) {
    case StepStatus::ok: (void)take_words(); return answer;
    case StepStatus::unusable:
    case StepStatus::raised:
    case StepStatus::wrong: return failure_of(step, answer);
    case StepStatus::ended: return bury(step, {Silence::Why::forbidden, std::string(answer.text())});
    case StepStatus::no_memory: return bury(step, {Silence::Why::no_memory, std::string(answer.text())});
  }
  return bury(step, {Silence::Why::nonsense, "gave an answer without sense"});
}

/// What did not work, in a process that goes on.
Error StepProcess::failure_of(const wire::CustomStep& step, const StepAnswer& answer) {
  const auto words = take_words();
  const auto wrote = words.empty() ? std::string() : "\nIt wrote: " + words;
  if (answer.frame.status == StepStatus::unusable) {
    return Error(
        ErrorCode::failed_precondition, "VRG-STP-004",
        fmt::format("custom step '{}' ({}) cannot be loaded: {}{}", step.file, step.function, answer.text(), wrote));
  }
  if (answer.frame.status == StepStatus::raised) {
    return Error(ErrorCode::internal, "VRG-STP-005",
                 fmt::format("custom step '{}' ({}) failed: {}{}", step.file, step.function, answer.text(), wrote));
  }
  return Error(ErrorCode::internal, "VRG-STP-006",
               fmt::format("custom step '{}' ({}) gave something else than it should: {}{}", step.file, step.function,
                           answer.text(), wrote));
}

/// One look at whatever comes first: an answer, a report of the sandbox, or the end of `patience_ms`.
std::optional<StepProcess::Silence> StepProcess::look(process::Packet& packet, int patience_ms, bool& received) {
  Running& r = *running_;
  std::array<pollfd, 2> waiting{pollfd{r.channel.number(), POLLIN, 0}, pollfd{r.watch.descriptor(), POLLIN, 0}};
  const int ready = ::poll(waiting.data(), waiting.size(), patience_ms);
  if (ready <= 0) return std::nullopt;
  if ((waiting[1].revents & POLLIN) != 0) {
    if (auto violation = r.watch.look()) return Silence{Silence::Why::forbidden, std::move(*violation)};
  }
  if (waiting[0].revents == 0) return std::nullopt;
  if (r.channel.receive(packet, milliseconds(0)) != process::Channel::Outcome::received) {
    return Silence{};
  }
  received = true;
  return std::nullopt;
}

std::optional<StepProcess::Silence> StepProcess::wait(process::Packet& packet, const StepLimit& limit) {
  const pid_t id = running_->child.id();
  const auto began = Clock::now();
  const auto taken = processor_time(id);
  for (auto left = limit.processor;;) {
    const auto clock_left = std::chrono::ceil<milliseconds>(limit.clock - (Clock::now() - began));
    const auto patience = std::min(left, clock_left).count();
    bool received = false;
    if (auto silence = look(packet, static_cast<int>(std::max<std::int64_t>(patience, 1)), received)) return silence;
    if (received) return std::nullopt;
    if (Clock::now() - began >= limit.clock) {
      return Silence{Silence::Why::too_long, fmt::format("took more than {} ms by the clock", limit.clock.count())};
    }
    left = std::chrono::ceil<milliseconds>(limit.processor - (processor_time(id) - taken));
    if (left.count() <= 0) {
      return Silence{Silence::Why::too_long,
                     fmt::format("took more than {} ms of processor time", limit.processor.count())};
    }
  }
}

std::string StepProcess::take_words() {
  std::string words;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(running_->words.number(), buffer.data(), buffer.size())) > 0;) {
    words.append(buffer.data(), static_cast<std::size_t>(got));
    if (words.size() > kWordsShown) words.erase(0, words.size() - kWordsShown);
  }
  words.erase(words.find_last_not_of(" \n") + 1);
  return words;
}

Error StepProcess::error_of(const wire::CustomStep& step, const Silence& silence, std::string_view words) {
  const auto wrote = words.empty() ? std::string() : fmt::format(". It wrote: {}", words);
  switch (silence.why) {
    case Silence::Why::too_long:
      return Error(ErrorCode::internal, "VRG-STP-007",
                   fmt::format("custom step '{}' ({}) {}, and its process was ended; make it faster, or raise "
                               "'time_limit_ms'{}",
                               step.file, step.function, silence.what, wrote));
    case Silence::Why::forbidden:
      return Error(ErrorCode::internal, "VRG-STP-008",
                   fmt::format("custom step '{}' ({}) {}, and its process was ended; a step computes on what it is "
                               "given, and reads its package's files only{}",
                               step.file, step.function, silence.what, wrote));
    case Silence::Why::no_memory:
      return Error(ErrorCode::internal, "VRG-STP-009",
                   fmt::format("custom step '{}' ({}) {}, and its process was ended; let it take less, or raise "
                               "'memory_limit_bytes'{}",
                               step.file, step.function, silence.what, wrote));
    case Silence::Why::nonsense:
      return Error(ErrorCode::internal, "VRG-STP-012",
                   fmt::format("custom step '{}' ({}) {}, and its process was ended; report it where the package comes "
                               "from{}",
                               step.file, step.function, silence.what, wrote));
    case Silence::Why::by_itself: break;
  }
  return Error(ErrorCode::internal, "VRG-STP-010",
               fmt::format("the process of custom step '{}' ({}) {} in the middle of its work; correct the step{}",
                           step.file, step.function, silence.what, wrote));
}

Error StepProcess::bury(const wire::CustomStep& step, const Silence& silence) {
  Silence told = silence;
  if (silence.why == Silence::Why::by_itself) {
    const auto ending = running_->child.wait(kLastWords);
    told.what = ending ? ending->text() : "closed its channel";
  }
  running_->child.kill();
  Error error = error_of(step, told, take_words());
  running_.reset();
  {
    const std::lock_guard lock(steps_.mutex);
    steps_.last_end = silence.why == Silence::Why::by_itself ? told.what : "was ended, as it " + told.what;
  }
  if (steps_.options.on_ended) steps_.options.on_ended(error);
  return error;
}

}  // namespace verge::data_processing
