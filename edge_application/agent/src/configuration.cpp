#include <set>

#include <fmt/format.h>

#include "pipeline_parts.hpp"
#include "pulled_packages.hpp"
#include "verge/agent/agent.hpp"
#include "verge/base/text.hpp"

namespace verge::agent {
namespace {

void make_absolute(std::string& path, const std::filesystem::path& folder) {
  if (path != "-" && std::filesystem::path(path).is_relative()) path = (folder / path).lexically_normal().string();
}

Result<void> check_names(const wire::EdgeConfig& configuration, std::string_view origin) {
  std::set<std::string> names;
  for (const auto& model : configuration.models) {
    if (!model.name || names.insert(*model.name).second) continue;
    return Error(ErrorCode::invalid_argument, "VRG-AGT-001",
                 fmt::format("{} line {}: two models are called '{}'; give one another 'name'", origin, model.line,
                             *model.name));
  }
  std::set<std::string> pipelines;
  for (const auto& pipeline : configuration.pipelines) {
    VERGE_TRY(check_pipeline(pipeline, origin));
    if (pipelines.insert(pipeline.name).second) continue;
    return Error(
        ErrorCode::invalid_argument, "VRG-AGT-001",
        fmt::format("{} line {}: two pipelines are called '{}'; rename one", origin, pipeline.line, pipeline.name));
  }
  return {};
}

Result<void> check_spools(const wire::EdgeConfig& configuration, std::string_view origin) {
  if (configuration.telemetry && !configuration.hub) {
    return Error(ErrorCode::invalid_argument, "VRG-AGT-002",
                 fmt::format("{} line {}: 'telemetry' needs a 'hub', which it is for; add one", origin,
                             configuration.telemetry->line));
  }
  for (const auto& pipeline : configuration.pipelines) {
    if (configuration.state_directory || !wants_spool(pipeline)) continue;
    return Error(ErrorCode::invalid_argument, "VRG-AGT-002",
                 fmt::format("{} line {}: the 'spool' of a sink needs a 'state_directory', where events are kept; add "
                             "one, or leave 'spool' out",
                             origin, pipeline.line));
  }
  return {};
}

/// Addresses that only this machine reaches.
bool is_loopback(std::string_view address) {
  return address.starts_with("127.") || address == "::1";
}

/// What others can reach is encrypted and asks who they are, unless the configuration says otherwise out loud.
Result<void> check_exposure(const wire::Api& api, std::string_view origin) {
  if (is_loopback(api.address) || api.insecure) return {};
  if (api.tls && (api.tokens || api.tls->client_authority)) return {};
  return Error(
      ErrorCode::invalid_argument, "VRG-AGT-020",
      fmt::format("{} line {}: others can reach the address '{}', so 'api' needs 'tls: {{ certificate, key }}' "
                  "and 'tokens' (made by 'verge-agent token'), or 'tls: {{ client_authority }}'; use 127.0.0.1 "
                  "to serve this machine only, or say 'insecure: true' to let everyone in",
                  origin, api.line, api.address));
}

Result<void> check_metered(const wire::EdgeConfig& configuration, std::string_view origin) {
  if (!configuration.hub || !configuration.hub->downloads || !configuration.hub->downloads->metered) return {};
  const auto& metered = *configuration.hub->downloads->metered;
  if (!metered.hours.empty() || !metered.interfaces.empty()) return {};
  return Error(
      ErrorCode::invalid_argument, "VRG-AGT-054",
      fmt::format("{} line {}: expected 'hours' or 'interfaces' under 'metered', got neither; say when the link "
                  "is metered, for example 'interfaces: [wwan0]'",
                  origin, metered.line));
}

void make_absolute(wire::Api& api, const std::filesystem::path& folder) {
  if (api.unix_socket) make_absolute(*api.unix_socket, folder);
  if (api.grpc && api.grpc->unix_socket) make_absolute(*api.grpc->unix_socket, folder);
  if (api.tokens) make_absolute(*api.tokens, folder);
  if (!api.tls) return;
  make_absolute(api.tls->certificate, folder);
  make_absolute(api.tls->key, folder);
  if (api.tls->client_authority) make_absolute(*api.tls->client_authority, folder);
}

void make_absolute(std::optional<std::string>& path, const std::filesystem::path& folder) {
  if (path) make_absolute(*path, folder);
}

void make_absolute(wire::MqttBroker& broker, const std::filesystem::path& folder) {
  make_absolute(broker.credentials, folder);
  if (!broker.tls) return;
  make_absolute(broker.tls->authority, folder);
  make_absolute(broker.tls->certificate, folder);
  make_absolute(broker.tls->key, folder);
}

void make_absolute(wire::PipelineEntry& pipeline, const std::filesystem::path& folder) {
  auto& source = pipeline.source;
  if (source.folder) make_absolute(source.folder->path, folder);
  if (source.video) make_absolute(source.video->path, folder);
  if (source.stream) make_absolute(source.stream->credentials, folder);
  if (source.mqtt) make_absolute(source.mqtt->broker, folder);
  for (auto& sink : pipeline.sinks) {
    if (sink.json_lines) make_absolute(sink.json_lines->path, folder);
    if (sink.video) make_absolute(sink.video->path, folder);
    if (sink.mqtt) make_absolute(sink.mqtt->broker, folder);
    if (!sink.webhook) continue;
    make_absolute(sink.webhook->token, folder);
    make_absolute(sink.webhook->authority, folder);
  }
}

void make_absolute(wire::PackageRegistry& registry, const std::filesystem::path& folder) {
  make_absolute(registry.credentials, folder);
  make_absolute(registry.ca_certificate, folder);
  if (registry.proxy) make_absolute(registry.proxy->ca_certificate, folder);
}

}  // namespace

Result<wire::EdgeConfig> read_configuration(const std::filesystem::path& file) {
  VERGE_ASSIGN(const wire::Node node, wire::read_document(file));
  const std::string origin = file.string();
  VERGE_ASSIGN(wire::EdgeConfig configuration, wire::read_edge_config(node, wire::Place(origin)));
  VERGE_TRY(check_names(configuration, origin));
  if (configuration.hub && !configuration.state_directory) {
    return Error(ErrorCode::invalid_argument, "VRG-AGT-002",
                 fmt::format("{} line {}: 'hub' needs a 'state_directory', where the device keeps its identity and its "
                             "models; add one",
                             origin, configuration.hub->line));
  }
  if (configuration.at_rest && configuration.at_rest->key != wire::AtRestKey::none && !configuration.state_directory) {
    return Error(ErrorCode::invalid_argument, "VRG-AGT-002",
                 fmt::format("{} line {}: 'at_rest' needs a 'state_directory', which is what it encrypts; add one",
                             origin, configuration.at_rest->line));
  }
  if (configuration.measured_state && !configuration.hub) {
    return Error(ErrorCode::invalid_argument, "VRG-AGT-002",
                 fmt::format("{} line {}: 'measured_state' needs a 'hub', which is told what was booted; add one",
                             origin, configuration.measured_state->line));
  }
  if (configuration.bundles && !configuration.hub) {
    return Error(ErrorCode::invalid_argument, "VRG-AGT-002",
                 fmt::format("{} line {}: 'bundles' needs a 'hub', by whose keys they are checked; add one", origin,
                             configuration.bundles->line));
  }
  VERGE_TRY(check_metered(configuration, origin));
  VERGE_TRY(check_spools(configuration, origin));
  VERGE_TRY(check_pulled(configuration, origin));
  if (configuration.api) VERGE_TRY(check_exposure(*configuration.api, origin));
  const auto folder = std::filesystem::absolute(file).parent_path();
  if (configuration.api) make_absolute(*configuration.api, folder);
  if (configuration.hub) {
    make_absolute(configuration.hub->enrolment, folder);
    if (configuration.hub->proxy && configuration.hub->proxy->ca_certificate) {
      make_absolute(*configuration.hub->proxy->ca_certificate, folder);
    }
  }
  if (configuration.bundles) make_absolute(configuration.bundles->folder, folder);
  if (configuration.at_rest) {
    make_absolute(configuration.at_rest->key_file, folder);
    make_absolute(configuration.at_rest->memory_folder, folder);
  }
  if (configuration.state_directory) make_absolute(*configuration.state_directory, folder);
  if (configuration.registry) make_absolute(*configuration.registry, folder);
  for (auto& model : configuration.models) {
    if (!is_pulled(model.package)) make_absolute(model.package, folder);
  }
  for (auto& pipeline : configuration.pipelines) make_absolute(pipeline, folder);
  return configuration;
}

}  // namespace verge::agent
