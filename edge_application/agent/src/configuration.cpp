#include <set>

#include <fmt/format.h>

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
    if (pipelines.insert(pipeline.name).second) continue;
    return Error(
        ErrorCode::invalid_argument, "VRG-AGT-001",
        fmt::format("{} line {}: two pipelines are called '{}'; rename one", origin, pipeline.line, pipeline.name));
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

void make_absolute(wire::Api& api, const std::filesystem::path& folder) {
  if (api.unix_socket) make_absolute(*api.unix_socket, folder);
  if (api.grpc && api.grpc->unix_socket) make_absolute(*api.grpc->unix_socket, folder);
  if (api.tokens) make_absolute(*api.tokens, folder);
  if (!api.tls) return;
  make_absolute(api.tls->certificate, folder);
  make_absolute(api.tls->key, folder);
  if (api.tls->client_authority) make_absolute(*api.tls->client_authority, folder);
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
  if (configuration.api) VERGE_TRY(check_exposure(*configuration.api, origin));
  const auto folder = std::filesystem::absolute(file).parent_path();
  if (configuration.api) make_absolute(*configuration.api, folder);
  if (configuration.hub) make_absolute(configuration.hub->enrolment, folder);
  if (configuration.state_directory) make_absolute(*configuration.state_directory, folder);
  for (auto& model : configuration.models) make_absolute(model.package, folder);
  for (auto& pipeline : configuration.pipelines) {
    if (pipeline.source.folder) make_absolute(pipeline.source.folder->path, folder);
    if (pipeline.source.video) make_absolute(pipeline.source.video->path, folder);
    if (pipeline.sink.json_lines) make_absolute(pipeline.sink.json_lines->path, folder);
  }
  return configuration;
}

}  // namespace verge::agent
