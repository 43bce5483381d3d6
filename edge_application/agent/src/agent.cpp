#include "verge/agent/agent.hpp"

#include <chrono>

#include <fmt/format.h>

#include "hub_link.hpp"
#include "serving.hpp"
#include "verge/inference_api/router.hpp"

namespace verge::agent {
namespace {

constexpr auto kPatience = std::chrono::seconds(10);
/// More than may wait for one model, so that an overloaded one leaves handlers for health, metrics and its neighbours.
constexpr unsigned kHandlerThreads = 40;

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
  Serving serving;
  inference_api::Router router;
  wire::EdgeConfig configuration;
  std::unique_ptr<DeviceRuntime> runtime;
  std::unique_ptr<HubLink> hub;
  std::unique_ptr<http::Server> server;

  State(Log& l, std::string v)
      : log(l),
        version(std::move(v)),
        metrics(device, version),
        serving(log, metrics, device),
        router(serving.repository(), metrics, version) {}

  http::Response handle(const http::Request& request) {
    if (request.path != "/status" || (request.method != "GET" && request.method != "HEAD")) {
      return router.handle(request);
    }
    if (hub != nullptr) return {200, "application/json", {}, hub->status_json()};
    return {404, "application/json", {}, R"({"error":"this agent has no hub; add 'hub' to its configuration"})"};
  }

  /// Takes over what the configuration says of all models.
  void configure(const wire::EdgeConfig& next) {
    configuration = next;
    ServingOptions options;
    options.threads = static_cast<unsigned>(next.threads);
    options.max_image_pixels = static_cast<std::uint64_t>(next.api.value_or(wire::Api{}).max_image_pixels);
    if (next.state_directory) options.state_directory = *next.state_directory;
    serving.set(std::move(options));
    const auto logging = next.logging.value_or(wire::Logging{});
    log.set(log_level(logging.level), logging.format == wire::LogFormat::json ? LogFormat::json : LogFormat::text);
  }

  /// The configuration's own models.
  [[nodiscard]] std::vector<ModelOrder> orders() const {
    std::vector<ModelOrder> orders;
    for (const auto& entry : configuration.models) {
      ModelOrder order;
      order.package = entry.package;
      order.name = entry.name.value_or("");
      if (entry.engine) order.engine = wire::name(*entry.engine);
      order.threads = static_cast<unsigned>(entry.threads.value_or(0));
      orders.push_back(std::move(order));
    }
    return orders;
  }

  Result<void> start_hub() {
    if (!configuration.hub) return {};
    const auto configured = configuration.device.value_or(wire::Device{});
    HubLinkOptions options;
    options.state_directory = *configuration.state_directory;
    options.enrolment = configuration.hub->enrolment;
    options.device_name = configured.name.value_or(device_name(device.host_name));
    options.agent_version = version;
    runtime = std::make_unique<DeviceRuntime>(serving, device, configured, options.state_directory);
    hub = std::make_unique<HubLink>(log, std::move(options), serving, *runtime);
    return hub->start();
  }
};

Agent::Agent(Log& log, std::string version) : state_(std::make_unique<State>(log, std::move(version))) {}
Agent::~Agent() {
  stop();
}

Result<void> Agent::start(const wire::EdgeConfig& configuration) {
  State& s = *state_;
  s.configure(configuration);
  VERGE_TRY(s.serving.open());
  const auto api = configuration.api.value_or(wire::Api{});
  http::ServerOptions options;
  options.address = api.address;
  options.port = static_cast<std::uint16_t>(api.port);
  options.max_body_bytes = static_cast<std::uint64_t>(api.max_request_bytes);
  options.handler_threads = kHandlerThreads;
  VERGE_ASSIGN(s.server, http::Server::start(options, [&s](const http::Request& r) { return s.handle(r); }));
  VERGE_TRY(s.serving.replace("", s.orders(), configuration.pipelines, true));
  VERGE_TRY(s.start_hub());
  s.log.info("ready", {{"url", fmt::format("http://{}:{}", api.address, s.server->port())},
                       {"models", s.serving.models().size()},
                       {"pipelines", s.serving.pipelines()},
                       {"device", s.device.host_name},
                       {"processor", s.device.processor},
                       {"cores", static_cast<long long>(s.device.cores)}});
  return {};
}

Result<void> Agent::reload(const wire::EdgeConfig& configuration) {
  State& s = *state_;
  const wire::EdgeConfig before = s.configuration;
  s.configure(configuration);
  if (auto replaced = s.serving.replace("", s.orders(), configuration.pipelines); !replaced) {
    s.configure(before);
    return Error(ErrorCode::failed_precondition, "VRG-AGT-003",
                 fmt::format("{}; nothing was changed", replaced.error().message()));
  }
  const auto old_api = before.api.value_or(wire::Api{});
  const auto api = configuration.api.value_or(wire::Api{});
  if (old_api.address != api.address || old_api.port != api.port ||
      old_api.max_request_bytes != api.max_request_bytes) {
    s.log.warning("a change under 'api' takes effect at the next start");
  }
  s.log.info("reloaded", {{"models", s.serving.models().size()}, {"pipelines", s.serving.pipelines()}});
  return {};
}

void Agent::stop() {
  State& s = *state_;
  if (s.hub != nullptr) s.hub->stop();
  s.serving.stop();
  if (s.server != nullptr) s.server->stop(kPatience);
  s.server.reset();
}

std::uint16_t Agent::port() const noexcept {
  return state_->server->port();
}

}  // namespace verge::agent
