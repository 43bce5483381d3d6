#include "verge/agent/agent.hpp"

#include <algorithm>
#include <chrono>
#include <map>

#include <fmt/format.h>

#include "pipeline_thread.hpp"
#include "verge/base/file.hpp"
#include "verge/base/text.hpp"
#include "verge/inference_api/router.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/processing/engine.hpp"

namespace verge::agent {
namespace {

constexpr std::size_t kMaxWaiting = 24;
constexpr auto kPatience = std::chrono::seconds(10);
/// More than may wait for one model, so that an overloaded one leaves handlers for health, metrics and its neighbours.
constexpr unsigned kHandlerThreads = 32;

LogLevel log_level(wire::LogLevel level) {
  switch (level) {
    case wire::LogLevel::debug: return LogLevel::debug;
    case wire::LogLevel::info: return LogLevel::info;
    case wire::LogLevel::warning: return LogLevel::warning;
    case wire::LogLevel::error: return LogLevel::error;
  }
  return LogLevel::info;
}

}  // namespace

struct Agent::State {
  Log& log;
  std::string version;
  telemetry::DeviceInfo device = telemetry::read_device_info();
  telemetry::Metrics metrics;
  processing::EngineCatalogue engines{processing::default_engine_folder()};
  std::optional<TemporaryFolder> scratch;
  inference_api::ModelRepository models;
  inference_api::Router router;
  wire::EdgeConfig configuration;
  /// What each served model was loaded from: digest, engine, threads.
  std::map<std::string, std::string> fingerprints;
  std::vector<std::unique_ptr<PipelineThread>> pipelines;
  std::unique_ptr<http::Server> server;

  State(Log& l, std::string v)
      : log(l), version(std::move(v)), metrics(device, version), router(models, metrics, version) {}

  unsigned threads(const wire::ModelEntry& entry) const {
    const auto all = configuration.threads > 0 ? static_cast<unsigned>(configuration.threads) : device.cores;
    return entry.threads ? static_cast<unsigned>(*entry.threads) : all;
  }

  /// The entry's model, taken over from what is served when nothing about it changed.
  Result<std::shared_ptr<inference_api::ServedModel>> load(const wire::ModelEntry& entry, std::string& fingerprint) {
    VERGE_ASSIGN(auto package, package::open(entry.package, scratch->path()));
    const std::string name = entry.name.value_or(package.metadata.name);
    processing::LoadOptions options;
    if (entry.engine) options.engine = wire::name(*entry.engine);
    options.threads = threads(entry);
    options.image_limits.max_pixels =
        static_cast<std::uint64_t>(configuration.api.value_or(wire::Api{}).max_image_pixels);
    if (configuration.state_directory) options.state_directory = *configuration.state_directory;
    fingerprint =
        fmt::format("{} {} {} {}", package.digest, options.engine, options.threads, options.image_limits.max_pixels);
    const auto current = models.models();
    if (const auto same = current->find(name); same != current->end() && fingerprints[name] == fingerprint) {
      return same->second;
    }
    const auto start = std::chrono::steady_clock::now();
    VERGE_ASSIGN(auto loaded, processing::LoadedModel::load(std::move(package), engines, options));
    const auto& metadata = loaded->package().metadata;
    auto served = std::make_shared<inference_api::ServedModel>();
    served->name = name;
    served->metrics = metrics.model(name, metadata.version, loaded->choice().engine);
    VERGE_ASSIGN(served->workers, processing::WorkerPool::create(loaded, 1, kMaxWaiting));
    const auto took = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    log.info("model loaded", {{"model", name},
                              {"version", metadata.version},
                              {"engine", loaded->choice().engine},
                              {"engine_version", loaded->engine_version()},
                              {"chosen", loaded->choice().trials.empty() ? "as configured"
                                         : loaded->choice().remembered   ? "by an earlier measurement"
                                                                         : "by measurement"},
                              {"threads", static_cast<long long>(options.threads)},
                              {"load_ms", took}});
    for (const auto& trial : loaded->choice().trials) {
      log.info("engine measured", {{"model", name},
                                   {"engine", trial.engine},
                                   {"correct", trial.correct},
                                   {"median_ms", trial.median_ms},
                                   {"reason", trial.reason}});
    }
    return served;
  }

  /// load(), refusing a second model of one name: packages name themselves where the configuration does not.
  Result<std::shared_ptr<inference_api::ServedModel>> load_new(const wire::ModelEntry& entry,
                                                               const inference_api::ModelRepository::Models& others,
                                                               std::string& fingerprint) {
    auto model = load(entry, fingerprint);
    if (!model || !others.contains((*model)->name)) return model;
    return Error(ErrorCode::invalid_argument, "VRG-AGT-001",
                 fmt::format("two models are called '{}'; give one another 'name'", (*model)->name));
  }

  /// Ends the pipelines that the configuration no longer has as they are, with this model; keeps the others.
  void end_changed_pipelines() {
    std::erase_if(pipelines, [this](const auto& running) { return !still_wanted(*running); });
  }
  bool still_wanted(const PipelineThread& running) const {
    return std::ranges::any_of(configuration.pipelines, [&](const wire::PipelineEntry& entry) {
      const auto model = models.find(entry.model, "");
      return model && running.runs(entry, *model);
    });
  }

  void start_pipelines() {
    for (const auto& entry : configuration.pipelines) {
      auto model = models.find(entry.model, "");
      if (!model) {
        log.error("pipeline not started", {{"pipeline", entry.name}, {"error", model.error().text()}});
        continue;
      }
      if (std::ranges::any_of(pipelines, [&](const auto& running) { return running->runs(entry, *model); })) continue;
      auto started = PipelineThread::start(entry, std::move(*model), metrics, log);
      if (!started) {
        log.error("pipeline not started", {{"pipeline", entry.name}, {"error", started.error().text()}});
        continue;
      }
      log.info("pipeline started", {{"pipeline", entry.name}, {"model", entry.model}});
      pipelines.push_back(std::move(*started));
    }
  }

  void apply_logging() {
    const auto logging = configuration.logging.value_or(wire::Logging{});
    log.set(log_level(logging.level), logging.format == wire::LogFormat::json ? LogFormat::json : LogFormat::text);
  }
};

Agent::Agent(Log& log, std::string version) : state_(std::make_unique<State>(log, std::move(version))) {}
Agent::~Agent() {
  stop();
}

Result<void> Agent::start(const wire::EdgeConfig& configuration) {
  State& s = *state_;
  s.configuration = configuration;
  s.apply_logging();
  VERGE_ASSIGN(auto scratch, TemporaryFolder::create("verge-agent-"));
  s.scratch = std::move(scratch);
  const auto api = configuration.api.value_or(wire::Api{});
  http::ServerOptions options;
  options.address = api.address;
  options.port = static_cast<std::uint16_t>(api.port);
  options.max_body_bytes = static_cast<std::uint64_t>(api.max_request_bytes);
  options.handler_threads = kHandlerThreads;
  VERGE_ASSIGN(s.server, http::Server::start(options, [&s](const http::Request& r) { return s.router.handle(r); }));
  inference_api::ModelRepository::Models models;
  for (const auto& entry : configuration.models) {
    std::string fingerprint;
    auto model = s.load_new(entry, models, fingerprint);
    if (!model) {
      s.log.error("model not loaded", {{"package", entry.package}, {"error", model.error().text()}});
      continue;
    }
    s.fingerprints[(*model)->name] = fingerprint;
    models[(*model)->name] = std::move(*model);
  }
  const auto count = models.size();
  s.models.replace(std::move(models));
  s.start_pipelines();
  s.log.info("ready", {{"url", fmt::format("http://{}:{}", api.address, s.server->port())},
                       {"models", count},
                       {"pipelines", s.pipelines.size()},
                       {"device", s.device.host_name},
                       {"processor", s.device.processor},
                       {"cores", static_cast<long long>(s.device.cores)}});
  return {};
}

Result<void> Agent::reload(const wire::EdgeConfig& configuration) {
  State& s = *state_;
  const wire::EdgeConfig before = s.configuration;
  s.configuration = configuration;
  inference_api::ModelRepository::Models models;
  std::map<std::string, std::string> fingerprints;
  for (const auto& entry : configuration.models) {
    std::string fingerprint;
    auto model = s.load_new(entry, models, fingerprint);
    if (!model) {
      s.configuration = before;
      return Error(ErrorCode::failed_precondition, "VRG-AGT-003",
                   fmt::format("{}: {}; nothing was changed", entry.package, model.error().message()));
    }
    fingerprints[(*model)->name] = fingerprint;
    models[(*model)->name] = std::move(*model);
  }
  const auto count = models.size();
  s.models.replace(std::move(models));
  s.end_changed_pipelines();
  s.fingerprints = std::move(fingerprints);
  s.apply_logging();
  s.start_pipelines();
  const auto old_api = before.api.value_or(wire::Api{});
  const auto api = configuration.api.value_or(wire::Api{});
  if (old_api.address != api.address || old_api.port != api.port ||
      old_api.max_request_bytes != api.max_request_bytes) {
    s.log.warning("a change under 'api' takes effect at the next start");
  }
  s.log.info("reloaded", {{"models", count}, {"pipelines", s.pipelines.size()}});
  return {};
}

void Agent::stop() {
  State& s = *state_;
  s.pipelines.clear();
  if (s.server != nullptr) s.server->stop(kPatience);
  s.server.reset();
}

std::uint16_t Agent::port() const noexcept {
  return state_->server->port();
}

}  // namespace verge::agent
