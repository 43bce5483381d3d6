#include "isolated_session.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "verge/engines/adapter.hpp"

namespace verge::processing::isolation {
namespace {

using engines::Failure;
using nlohmann::json;

constexpr std::chrono::seconds kLoadPatience{300};
constexpr std::chrono::seconds kLastWords{5};
constexpr std::chrono::milliseconds kMemoryInterval{200};
constexpr int kControlNumber = 3;

json load_order(const std::string& engine, const std::filesystem::path& folder, const std::filesystem::path& model,
                const SessionOptions& options) {
  return {{"engine", engine},
          {"folder", folder.string()},
          {"model", model.string()},
          {"format", options.format},
          {"threads", options.threads},
          {"max_requests", options.max_requests},
          {"precision", static_cast<int>(options.precision)},
          {"cache_directory", options.cache_directory.string()},
          {"device", options.device},
          {"delegate", options.delegate},
          {"options", options.options}};
}

engines::TensorDescription description(const json& tensor) {
  engines::TensorDescription out;
  out.name = tensor.at("name").get<std::string>();
  out.datatype = static_cast<verge_engine_datatype>(tensor.at("datatype").get<int>());
  out.shape = tensor.at("shape").get<std::vector<std::int64_t>>();
  out.is_quantised = tensor.contains("scale");
  if (out.is_quantised) {
    out.scale = tensor["scale"].get<float>();
    out.zero_point = tensor.at("zero_point").get<std::int32_t>();
  }
  return out;
}

}  // namespace

IsolatedSession::IsolatedSession(std::string engine, std::filesystem::path engine_folder, std::filesystem::path model,
                                 SessionOptions options)
    : engine_(std::move(engine)),
      engine_folder_(std::move(engine_folder)),
      model_(std::move(model)),
      options_(std::move(options)),
      budget_(options_.isolation->max_restarts, options_.isolation->restart_window) {
  start();
  // The names live as long as this session, as those of a plug-in do.
  api_ = engines::Adapter<IsolatedSession, IsolatedRequest>::api(engine_.c_str(), version_.c_str(),
                                                                 options_.format.c_str());
}

void IsolatedSession::start() {
  auto [ours, theirs] = Channel::pair();
  if (!ours) throw Failure(VERGE_ENGINE_UNAVAILABLE, "no socket for a process of its own");
  auto child = process::Child::start({isolation().program, {}, {{theirs.number(), kControlNumber}}});
  if (!child) throw Failure(VERGE_ENGINE_UNAVAILABLE, child.error().text());
  theirs.reset();
  child_.emplace(std::move(*child));
  control_.emplace(std::move(ours));
  ++generation_;
  load();
}

void IsolatedSession::load() {
  Message message;
  const bool sent =
      control_->send_text({.kind = Kind::load}, load_order(engine_, engine_folder_, model_, options_).dump());
  const auto outcome = sent ? control_->receive(message, kLoadPatience) : Channel::Outcome::closed;
  if (outcome != Channel::Outcome::received) {
    const auto ending = outcome == Channel::Outcome::closed ? child_->wait(kLastWords) : std::nullopt;
    const std::string how = ending ? ending->text() : "took too long";
    child_.reset();
    throw Failure(VERGE_ENGINE_FAILED, fmt::format("the process that was to load the model {}", how));
  }
  if (message.frame.status != VERGE_ENGINE_OK) {
    child_.reset();
    throw Failure(message.frame.status, std::string(message.text()));
  }
  read_description(message.text());
}

void IsolatedSession::read_description(std::string_view text) {
  const auto answer = json::parse(text);  // Of our own program; what it throws becomes a failure at the boundary.
  std::vector<engines::TensorDescription> inputs;
  std::vector<engines::TensorDescription> outputs;
  for (const auto& tensor : answer.at("inputs")) inputs.push_back(description(tensor));
  for (const auto& tensor : answer.at("outputs")) outputs.push_back(description(tensor));
  if (generation_ > 1) {
    if (inputs.size() == inputs_.size() && outputs.size() == outputs_.size()) return;
    throw Failure(VERGE_ENGINE_FAILED, "the model has other tensors than before: its file was changed");
  }
  version_ = answer.at("version").get<std::string>();
  inputs_ = std::move(inputs);
  outputs_ = std::move(outputs);
}

std::unique_ptr<IsolatedRequest> IsolatedSession::create_request() {
  return std::make_unique<IsolatedRequest>(*this);
}

IsolatedSession::Line IsolatedSession::connect() {
  const std::lock_guard lock(mutex_);
  if (!child_) {
    if (!budget_.take(std::chrono::steady_clock::now())) {
      throw Failure(VERGE_ENGINE_UNAVAILABLE,
                    fmt::format("the model's process {} and is not started again: it ended more than {} times within "
                                "{} s; give the model another version",
                                last_end_, budget_.count(), budget_.window().count()));
    }
    start();
  }
  auto [ours, theirs] = Channel::pair();
  if (!ours || !control_->send({.kind = Kind::request}, {}, theirs.number())) {
    throw Failure(VERGE_ENGINE_FAILED, "the model's process takes no more requests");
  }
  return {Channel(std::move(ours)), generation_};
}

bool IsolatedSession::runs(std::size_t generation) const {
  const std::lock_guard lock(mutex_);
  return child_.has_value() && generation == generation_;
}

std::string IsolatedSession::bury(std::size_t generation, std::string_view why_killed) {
  const std::lock_guard lock(mutex_);
  if (generation != generation_ || !child_) return last_end_;  // Another request has done it.
  if (why_killed.empty()) {
    const auto ending = child_->wait(kLastWords);
    last_end_ = (ending ? *ending : child_->kill()).text();
  } else {
    child_->kill();
    last_end_ = why_killed;
  }
  child_.reset();
  control_.reset();
  return last_end_;
}

void IsolatedSession::check_memory(std::size_t generation) {
  const auto limit = isolation().max_memory_bytes;
  if (limit == 0) return;
  std::uint64_t resident = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (generation != generation_ || !child_ || now - memory_checked_ < kMemoryInterval) return;
    memory_checked_ = now;
    resident = child_->resident_bytes();
  }
  if (resident <= limit) return;
  bury(generation,
       fmt::format("was ended: expected at most {} MiB of memory, got {} MiB", limit >> 20U, resident >> 20U));
}

bool IsolatedSession::given_up() const {
  const std::lock_guard lock(mutex_);
  return budget_.spent();
}

std::size_t IsolatedSession::restarts() const {
  const std::lock_guard lock(mutex_);
  return generation_ - 1;
}

}  // namespace verge::processing::isolation
