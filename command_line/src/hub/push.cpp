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

Result<Pushed> push_package(HubSession& hub, const package::ModelPackage& package, Progress& progress) {
  const auto manifest = package::make_manifest(package.metadata, package.files);
  const std::string& repository = package.metadata.name;
  Pushed pushed;
  pushed.digest = manifest.manifest_digest;
  for (const auto& file : package.files) {
    VERGE_ASSIGN(const bool there, has_blob(hub, repository, file.digest));
    if (there) {
      pushed.present_bytes += file.size_bytes;
      continue;
    }
    http_client::Call call;
    call.body_file = package.root / file.path;
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
  call.path = fmt::format("/v2/{}/manifests/{}", repository, package.metadata.version);
  call.content_type = package::kManifestMediaType;
  call.body = manifest.manifest_json;
  VERGE_TRY(hub.send(call));
  return pushed;
}

}  // namespace verge::cli
