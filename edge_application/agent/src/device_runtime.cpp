#include "device_runtime.hpp"

#include <charconv>
#include <fstream>
#include <iterator>

#include "trial.hpp"
#include "verge/package/agent_release.hpp"

namespace verge::agent {
namespace {

constexpr int kTrialTimeout_s = 300;

std::int64_t signed_bytes(std::uint64_t bytes) {
  return static_cast<std::int64_t>(bytes);
}

std::optional<std::int64_t> available_memory() {
  std::ifstream file("/proc/meminfo");
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  constexpr std::string_view kKey = "MemAvailable:";
  const auto at = content.find(kKey);
  if (at == std::string::npos) return std::nullopt;
  const auto digit = content.find_first_of("0123456789", at);
  std::int64_t kib = 0;
  std::from_chars(content.data() + digit, content.data() + content.size(), kib);
  return kib * 1024;
}

}  // namespace

DeviceRuntime::DeviceRuntime(Serving& serving, const telemetry::DeviceInfo& info, const wire::Device& configured,
                             std::filesystem::path state_directory, MemoryPackages* packages, OwnRelease& own)
    : serving_(serving), state_directory_(std::move(state_directory)), packages_(packages), own_(own) {
  report_.host_name = info.host_name;
  report_.operating_system = info.operating_system;
  report_.kernel = info.kernel;
  report_.architecture = info.architecture;
  report_.processor = info.processor;
  report_.cores = info.cores;
  report_.memory_bytes = signed_bytes(info.memory_bytes);
  report_.device_type = configured.type;
  report_.labels = configured.labels;
}

wire::DeviceReport DeviceRuntime::device() {
  const std::lock_guard lock(mutex_);
  if (report_.engines.empty()) report_.engines = engines_apart().value_or(std::vector<wire::EngineReport>{});
  wire::DeviceReport report = report_;
  report.memory_available_bytes = available_memory();
  std::error_code failed;
  const auto space = std::filesystem::space(state_directory_, failed);
  if (!failed) report.disk_free_bytes = signed_bytes(space.available);
  report.resident_bytes = signed_bytes(telemetry::resident_bytes());
  return report;
}

Result<std::vector<ModelOrder>> DeviceRuntime::orders(const update::VerifiedApplication& application, Held& held) {
  std::vector<ModelOrder> orders;
  for (std::size_t i = 0; i < application.packages().size(); ++i) {
    const auto& installed = application.packages()[i];
    auto folder = state_directory_ / installed.folder;
    if (packages_ != nullptr) {
      VERGE_ASSIGN(auto decrypted, packages_->open(installed));
      folder = decrypted->path();
      held.push_back(std::move(decrypted));
    }
    orders.push_back(order_of(application.document().models[i], folder.string(), installed.digest));
  }
  return orders;
}

Result<std::vector<update::ModelTrial>> DeviceRuntime::try_out(const update::VerifiedApplication& candidate) {
  const auto options = serving_.options();
  // The process that tries it out knows no configuration.
  const auto explicitly = [&](ModelOrder order) {
    if (!order.entry.isolation) order.entry.isolation = options.isolation;
    return order;
  };
  if (candidate.is_agent()) {
    std::vector<ModelOrder> models;
    for (auto& order : serving_.orders()) models.push_back(explicitly(std::move(order)));
    return own_.try_out(candidate.packages().front(), models, options, stop_);
  }
  std::vector<update::ModelTrial> trials;
  Held held;
  VERGE_ASSIGN(auto wanted, orders(candidate, held));
  for (auto& order : wanted) {
    VERGE_ASSIGN(auto result, try_out_apart({explicitly(std::move(order)), options}, kTrialTimeout_s, stop_));
    trials.push_back(std::move(result));
  }
  return trials;
}

Result<void> DeviceRuntime::switch_to(const update::VerifiedApplication& application) {
  if (application.is_agent()) return own_.switch_to(application.packages().front());
  Held held;
  VERGE_ASSIGN(const auto wanted, orders(application, held));
  const auto& name = application.pointer().application;
  VERGE_TRY(serving_.replace(name, wanted, application.document().pipelines));
  held_[name] = std::move(held);  // What ran before is freed.
  return {};
}

void DeviceRuntime::end(const std::string& application) {
  if (application == package::kAgentName) return own_.end();
  serving_.end(application);
  held_.erase(application);
}

std::vector<update::LiveModel> DeviceRuntime::live(const std::string& application) {
  std::vector<update::LiveModel> models;
  const bool of_agent = application == package::kAgentName;
  for (const auto& served : of_agent ? serving_.models() : serving_.models(application)) {
    if (of_agent && served->workers->model().given_up()) continue;  // It is not served.
    const auto counts = served->tally.counts();
    models.push_back({served->name, counts.requests, counts.failed, counts.p50_ms, counts.p99_ms, {}});
    if (served->workers->model().given_up()) models.back().given_up = "is given up: its process ended too often";
  }
  return models;
}

}  // namespace verge::agent
