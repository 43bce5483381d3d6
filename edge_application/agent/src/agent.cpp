#include "verge/agent/agent.hpp"

#include <algorithm>
#include <chrono>
#include <set>

#include <fmt/format.h>

#include "api_server.hpp"
#include "at_rest.hpp"
#include "bundle_folder.hpp"
#include "bundle_path.hpp"
#include "configured_models.hpp"
#include "hub_link.hpp"
#include "own_release.hpp"
#include "package_puller.hpp"
#include "pipeline_paths.hpp"
#include "serving.hpp"
#include "spools.hpp"
#include "telemetry_link.hpp"

namespace verge::agent {
namespace {

constexpr auto kPatience = std::chrono::seconds(10);

LogLevel log_level(wire::LogLevel level) {
  switch (level) {
    case wire::LogLevel::debug: return LogLevel::debug;
    case wire::LogLevel::info: return LogLevel::info;
    case wire::LogLevel::warning: return LogLevel::warning;
    case wire::LogLevel::error: return LogLevel::error;
  }
  return LogLevel::info;
}

/// Whether nothing changed that the open server was made with.
bool same_server(const wire::Api& a, const wire::Api& b) {
  const auto grpc = [](const wire::Api& api) {
    return api.grpc ? fmt::format("{} {}", api.grpc->port, api.grpc->unix_socket.value_or("")) : "";
  };
  const auto tls = [](const wire::Api& api) {
    return api.tls ? fmt::format("{} {} {}", api.tls->certificate, api.tls->key, api.tls->client_authority.value_or(""))
                   : "";
  };
  return a.address == b.address && a.port == b.port && a.unix_socket == b.unix_socket && a.tokens == b.tokens &&
         a.max_request_bytes == b.max_request_bytes && grpc(a) == grpc(b) && tls(a) == tls(b);
}

}  // namespace

struct Agent::State {
  Log& log;
  AgentSetup setup;
  std::vector<process::KeptDescriptor> kept = setup.manager->take_kept();  ///< Until the API has taken over what fits.
  std::set<std::string, std::less<>> keeps;                                ///< Names of what the API has had kept.
  telemetry::DeviceInfo device = telemetry::read_device_info();
  telemetry::Metrics metrics;
  Serving serving;
  ConfiguredModels models{serving};
  std::unique_ptr<inference_api::SharedMemory> memory;
  std::unique_ptr<inference_api::Service> service;
  wire::EdgeConfig configuration;
  std::unique_ptr<AtRest> at_rest;
  std::unique_ptr<update::DiskFiles> disk;  ///< Of a store that is not encrypted.
  std::unique_ptr<Spools> spools;           ///< Null: there is no place for any.
  std::unique_ptr<OwnRelease> own_release;
  std::unique_ptr<DeviceRuntime> runtime;
  std::unique_ptr<HubLink> hub;
  std::unique_ptr<BundleFolder> bundles;     ///< Null: no folder is watched for any.
  std::unique_ptr<TelemetryLink> telemetry;  ///< Null: the hub is told nothing but reports.
  std::unique_ptr<PackagePuller> puller;     ///< Null: there is no place to pull packages to.
  std::unique_ptr<ApiServer> api;

  State(Log& l, AgentSetup s) : log(l), setup(std::move(s)), metrics(device, setup.version), serving(log, metrics) {}

  std::optional<http::Response> own_path(const http::Request& request) {
    if (auto answer = answer_pipelines(request, serving)) return answer;
    if (auto answer = answer_bundle(request, hub.get())) return answer;
    if (request.path == "/metrics") {
      for (const auto& pipeline : serving.pipelines()) pipeline->refresh_metrics();
      if (telemetry) metrics.spool("", "telemetry", "hub")->set(telemetry->counts());
    }
    if (request.path != "/status" || (request.method != "GET" && request.method != "HEAD")) return std::nullopt;
    if (hub != nullptr) return http::Response{200, "application/json", {}, hub->status_json()};
    return http::Response{
        404, "application/json", {}, R"({"error":"this agent has no hub; add 'hub' to its configuration"})"};
  }

  Result<void> start_api() {
    const auto options = configuration.api.value_or(wire::Api{});
    memory = std::make_unique<inference_api::SharedMemory>(static_cast<std::uint64_t>(options.max_request_bytes));
    service = std::make_unique<inference_api::Service>(serving.repository(), *memory, &models, setup.version);
    ApiSockets sockets{{}, [this](int socket, std::string_view name) {
                         keeps.emplace(name);
                         return setup.manager->keep(socket, name);
                       }};
    for (const auto& one : kept) sockets.kept.emplace_back(one.descriptor.number(), one.name);
    VERGE_ASSIGN(api, ApiServer::start(options, std::move(sockets), *service, metrics, log,
                                       [this](const http::Request& request) { return own_path(request); }));
    for (const auto& one : kept) {
      if (!one.name.empty() && !keeps.contains(one.name))
        setup.manager->forget(one.name);  // Nobody would accept there.
    }
    kept.clear();
    return {};
  }

  /// Takes over what the configuration says of all models.
  void configure(const wire::EdgeConfig& next) {
    configuration = next;
    ServingOptions options;
    options.threads = next.threads > 0 ? static_cast<unsigned>(next.threads) : std::max(device.cores, 1U);
    options.isolation = next.isolation;
    options.custom_steps = next.custom_steps.value_or(wire::CustomSteps{});
    options.slow_request_ms = next.logging.value_or(wire::Logging{}).slow_request_ms.value_or(0);
    options.model_memory_bytes =
        static_cast<std::uint64_t>(next.model_memory_bytes.value_or(static_cast<std::int64_t>(device.memory_bytes)));
    options.max_image_pixels = static_cast<std::uint64_t>(next.api.value_or(wire::Api{}).max_image_pixels);
    if (next.state_directory) options.state_directory = *next.state_directory;
    options.spools = spools.get();
    options.keep_compiled = !encrypts(next) && at_rest == nullptr;
    serving.set(std::move(options));
    models.allow(next.api.value_or(wire::Api{}).model_control);
    const auto logging = next.logging.value_or(wire::Logging{});
    log.set(log_level(logging.level), logging.format == wire::LogFormat::json ? LogFormat::json : LogFormat::text);
  }

  /// The configuration's own models.
  [[nodiscard]] std::vector<ModelOrder> orders() const {
    std::vector<ModelOrder> orders;
    for (const auto& entry : configuration.models) {
      orders.push_back({entry, ""});
    }
    return orders;
  }
  /// Those of which the package is here.
  [[nodiscard]] std::vector<ModelOrder> present_orders() {
    return puller != nullptr ? puller->resolve(orders()) : orders();
  }
  /// Fetches the packages of the others; looks at tags again if `again`.
  void start_pulling(bool again) {
    if (puller == nullptr) return;
    puller->start(
        orders(), configuration.registry.value_or(wire::PackageRegistry{}), again,
        [this](std::vector<ModelOrder> next, bool lenient) { return models.renew(std::move(next), lenient); });
  }

  static bool encrypts(const wire::EdgeConfig& configuration) {
    return configuration.at_rest && configuration.at_rest->key != wire::AtRestKey::none;
  }

  /// Before anything is loaded: a store that cannot be opened runs nothing.
  Result<void> open_store() {
    if (!configuration.state_directory) return {};
    const std::filesystem::path folder = *configuration.state_directory;
    if (encrypts(configuration)) {
      VERGE_ASSIGN(at_rest, AtRest::open(log, *configuration.at_rest, folder));
      return {};
    }
    VERGE_TRY(AtRest::undo(log, folder));
    disk = std::make_unique<update::DiskFiles>(folder);
    return {};
  }

  void open_spools() {
    if (!configuration.state_directory) return;
    spools = std::make_unique<Spools>(log, *configuration.state_directory, at_rest ? &at_rest->keys() : nullptr);
    auto options = serving.options();
    options.spools = spools.get();
    serving.set(std::move(options));
  }

  void watch_bundles() {
    bundles.reset();
    if (hub == nullptr || !configuration.bundles) return;
    auto& files = at_rest ? at_rest->files() : *disk;
    bundles = std::make_unique<BundleFolder>(log, configuration.bundles->folder, files, *hub);
  }

  Result<void> start_hub() {
    if (!configuration.hub) return {};
    const auto configured = configuration.device.value_or(wire::Device{});
    HubLinkOptions options;
    options.state_directory = *configuration.state_directory;
    options.hub = *configuration.hub;
    options.device_name = configured.name.value_or(device_name(device.host_name));
    options.agent_version = setup.version;
    if (at_rest) options.messages = at_rest->messages();
    if (configuration.measured_state) {
      options.measured = std::make_shared<MeasuredState>(log, *configuration.measured_state, options.state_directory);
    }
    auto& files = at_rest ? at_rest->files() : *disk;
    Origin origin{setup.configuration, setup.manager->is_launcher(), setup.manager->release()};
    own_release = std::make_unique<OwnRelease>(std::move(origin), options.state_directory, files, at_rest != nullptr);
    options.start_another = setup.start_another;
    runtime = std::make_unique<DeviceRuntime>(serving, device, configured, options.state_directory,
                                              at_rest ? &at_rest->packages() : nullptr, *own_release);
    hub = std::make_unique<HubLink>(log, std::move(options), files, serving, *runtime);
    VERGE_TRY(hub->start());
    start_telemetry();
    return {};
  }

  /// A full disk keeps no agent from its work.
  void start_telemetry() {
    if (!configuration.telemetry) return;
    const auto& wanted = *configuration.telemetry;
    // No pipeline can have this name.
    auto spool = spools->open(wanted.spool.value_or(wire::Spool{}), "_telemetry", "hub", "");
    if (!spool) {
      log.error("no telemetry until the next start", {{"error", spool.error().text()}});
      return;
    }
    telemetry =
        std::make_unique<TelemetryLink>(log, std::chrono::seconds(wanted.interval_s), *configuration.state_directory,
                                        serving, hub->client(), std::move(*spool));
  }
};

Agent::Agent(Log& log, AgentSetup setup) : state_(std::make_unique<State>(log, std::move(setup))) {}
Agent::~Agent() {
  stop();
}

Result<void> Agent::start(const wire::EdgeConfig& configuration) {
  State& s = *state_;
  s.configure(configuration);
  VERGE_TRY(s.serving.open());
  VERGE_TRY(s.open_store());
  s.open_spools();
  const bool awaited = !s.kept.empty();
  if (!awaited) VERGE_TRY(s.start_api());
  if (configuration.state_directory) {
    s.puller = std::make_unique<PackagePuller>(s.log, *configuration.state_directory, s.setup.version, s.at_rest.get());
  }
  VERGE_TRY(s.models.replace(s.present_orders(), configuration.pipelines, true));
  VERGE_TRY(s.start_hub());
  s.watch_bundles();
  if (awaited) VERGE_TRY(s.start_api());
  s.start_pulling(false);
  s.setup.manager->notify("READY=1");
  s.log.info("ready", {{"url", s.api->url()},
                       {"grpc", s.api->grpc_address()},
                       {"models", s.serving.models().size()},
                       {"pipelines", s.serving.pipelines().size()},
                       {"device", s.device.host_name},
                       {"processor", s.device.processor},
                       {"cores", static_cast<long long>(s.device.cores)}});
  return {};
}

Result<void> Agent::reload(const wire::EdgeConfig& configuration) {
  State& s = *state_;
  const wire::EdgeConfig before = s.configuration;
  if (s.puller != nullptr) s.puller->stop();
  s.configure(configuration);
  if (auto replaced = s.models.replace(s.present_orders(), configuration.pipelines, false); !replaced) {
    s.configure(before);
    s.start_pulling(false);
    return Error(ErrorCode::failed_precondition, "VRG-AGT-003",
                 fmt::format("{}; nothing was changed", replaced.error().message()));
  }
  if (!same_server(before.api.value_or(wire::Api{}), configuration.api.value_or(wire::Api{}))) {
    s.log.warning("a change under 'api' takes effect at the next start");
  }
  const auto at_rest = [](const wire::EdgeConfig& one) {
    return wire::write_json_line(wire::to_node(one.at_rest.value_or(wire::AtRest{})));
  };
  if (at_rest(before) != at_rest(configuration)) {
    s.log.warning("a change under 'at_rest' takes effect at the next start");
  }
  const auto measured = [](const wire::EdgeConfig& one) {
    return one.measured_state ? wire::write_json_line(wire::to_node(*one.measured_state)) : std::string();
  };
  if (measured(before) != measured(configuration)) {
    s.log.warning("a change under 'measured_state' takes effect at the next start");
  }
  const auto telemetry = [](const wire::EdgeConfig& one) {
    return one.telemetry ? wire::write_json_line(wire::to_node(*one.telemetry)) : std::string();
  };
  if (telemetry(before) != telemetry(configuration)) {
    s.log.warning("a change under 'telemetry' takes effect at the next start");
  }
  s.watch_bundles();
  s.start_pulling(true);
  s.log.info("reloaded", {{"models", s.serving.models().size()}, {"pipelines", s.serving.pipelines().size()}});
  return {};
}

void Agent::stop() {
  State& s = *state_;
  if (s.puller != nullptr) s.puller->stop();
  s.telemetry.reset();
  s.bundles.reset();
  if (s.hub != nullptr) s.hub->stop();
  s.serving.stop();
  if (s.api != nullptr) s.api->stop(kPatience);
  s.api.reset();
}

std::uint16_t Agent::port() const noexcept {
  return state_->api->port();
}

}  // namespace verge::agent
