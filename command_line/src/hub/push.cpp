#include "push.hpp"

#include <fmt/format.h>

#include "verge/base/text.hpp"
#include "verge/package/image_layout.hpp"

namespace verge::cli {
namespace {

using namespace std::chrono_literals;

Result<bool> has_blob(HubSession& hub, const std::string& repository, const std::string& digest) {
  http_client::Call call;
  call.method = "HEAD";
  call.path = fmt::format("/v2/{}/blobs/{}", repository, digest);
  const auto reply = hub.send(call);
  if (reply) return true;
  if (reply.error().code() == ErrorCode::not_found) return false;
  return reply.error();
}

/// Where to send the blob: a location of the registry, which may be a whole URL.
Result<std::string> begin_upload(HubSession& hub, const std::string& repository) {
  http_client::Call call;
  call.method = "POST";
  call.path = fmt::format("/v2/{}/blobs/uploads/", repository);
  VERGE_ASSIGN(const auto reply, hub.send(call));
  std::string location(reply.header("location"));
  if (location.starts_with(hub.url())) location.erase(0, hub.url().size());
  if (location.empty() || location.front() != '/') {
    return Error(ErrorCode::data_loss, "VRG-CLI-012",
                 fmt::format("the registry gave no place to upload to: '{}'", location));
  }
  return location;
}

Result<void> send_blob(HubSession& hub, const std::string& repository, const std::string& digest,
                       http_client::Call call) {
  VERGE_ASSIGN(const std::string location, begin_upload(hub, repository));
  call.method = "PUT";
  call.path =
      fmt::format("{}{}digest={}", location, location.find('?') == std::string::npos ? '?' : '&', encode(digest));
  call.content_type = "application/octet-stream";
  VERGE_TRY(hub.send(call));
  return {};
}

}  // namespace

Shipment shipment_of(const package::ModelPackage& package) {
  return {package.metadata.name, package.metadata.version, package.root, package.files,
          package::make_manifest(package.metadata, package.files)};
}

Shipment shipment_of(const package::AgentRelease& release) {
  return {release.release.name, release.release.version, release.root, release.files,
          package::make_manifest(release.release, release.files)};
}

wire::Node to_node(const Shipment& shipment, std::string_view kind, const Pushed& pushed) {
  wire::Node node = wire::Node::map();
  node.add(kind, wire::Node::string(shipment.name));
  node.add("version", wire::Node::string(shipment.version));
  node.add("digest", wire::Node::string(pushed.digest));
  node.add("sent_bytes", wire::Node::integer(static_cast<std::int64_t>(pushed.sent_bytes)));
  node.add("present_bytes", wire::Node::integer(static_cast<std::int64_t>(pushed.present_bytes)));
  return node;
}

std::string text_of(const Shipment& shipment, const Pushed& pushed) {
  return fmt::format("{} {} is on the hub: {} sent, {} were there already\n{}", shipment.name, shipment.version,
                     human_bytes(static_cast<double>(pushed.sent_bytes)),
                     human_bytes(static_cast<double>(pushed.present_bytes)), pushed.digest);
}

Result<Pushed> push(HubSession& hub, const Shipment& shipment, Progress& progress) {
  const auto& manifest = shipment.manifest;
  const std::string& repository = shipment.name;
  Pushed pushed;
  pushed.digest = manifest.manifest_digest;
  for (const auto& file : shipment.files) {
    VERGE_ASSIGN(const bool there, has_blob(hub, repository, file.digest));
    if (there) {
      pushed.present_bytes += file.size_bytes;
      continue;
    }
    http_client::Call call;
    call.body_file = shipment.root / file.path;
    call.progress = [&](std::uint64_t done, std::uint64_t total) {
      progress.show(fmt::format("{}: {} of {}", file.path, human_bytes(static_cast<double>(done)),
                                human_bytes(static_cast<double>(total))));
    };
    VERGE_TRY(send_blob(hub, repository, file.digest, std::move(call)));
    pushed.sent_bytes += file.size_bytes;
  }
  progress.clear();
  VERGE_ASSIGN(const bool has_config, has_blob(hub, repository, manifest.config_digest));
  if (!has_config) {
    http_client::Call call;
    call.body = manifest.config_json;
    VERGE_TRY(send_blob(hub, repository, manifest.config_digest, std::move(call)));
  }
  http_client::Call call;
  call.method = "PUT";
  call.path = fmt::format("/v2/{}/manifests/{}", repository, package::tag_of(shipment.version));
  call.content_type = package::kManifestMediaType;
  call.body = manifest.manifest_json;
  VERGE_TRY(hub.send(call));
  return pushed;
}

}  // namespace verge::cli
