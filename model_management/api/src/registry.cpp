// The OCI registry's HTTP: https://github.com/opencontainers/distribution-spec (1.1).
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "handlers.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/hub/registry.hpp"

namespace verge::hub {
namespace {

struct Code {
  std::string_view id;
  std::string_view code;
  int status;
};
constexpr std::array<Code, 13> kCodes{{{"VRG-OCI-001", "BLOB_UNKNOWN", 404},
                                       {"VRG-OCI-002", "BLOB_UPLOAD_UNKNOWN", 404},
                                       {"VRG-OCI-003", "BLOB_UPLOAD_INVALID", 416},
                                       {"VRG-OCI-004", "DIGEST_INVALID", 400},
                                       {"VRG-OCI-005", "MANIFEST_UNKNOWN", 404},
                                       {"VRG-OCI-006", "MANIFEST_INVALID", 400},
                                       {"VRG-OCI-007", "MANIFEST_BLOB_UNKNOWN", 404},
                                       {"VRG-OCI-008", "NAME_UNKNOWN", 404},
                                       {"VRG-OCI-010", "NAME_INVALID", 400},
                                       {"VRG-OCI-011", "MANIFEST_INVALID", 400},
                                       {"VRG-HUB-003", "BLOB_UNKNOWN", 404},
                                       {"VRG-HUB-004", "DIGEST_INVALID", 400},
                                       {"VRG-HUB-010", "UNAUTHORIZED", 401}}};

/// What a path under /v2/ names.
struct Place {
  std::string repository;
  std::string_view kind;  ///< "blobs", "uploads", "manifests", "tags", "referrers"
  std::string name;       ///< Digest, tag or upload; empty for a new upload.
};

/// Letters and digits, joined by '.', '_', '__', dashes or '/'.
bool is_repository(std::string_view name) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  if (name.empty() || name.size() > 255) return false;
  for (std::size_t at = 0;;) {
    const auto end = name.find_first_not_of(kLetters, at);
    if (end == at) return false;
    if (end == std::string_view::npos) return true;
    at = name.find_first_of(kLetters, end);
    if (at == std::string_view::npos) return false;
    const auto joint = name.substr(end, at - end);
    const bool joins = joint == "." || joint == "_" || joint == "__" || joint == "/" ||
                       joint.find_first_not_of('-') == std::string_view::npos;
    if (!joins) return false;
  }
}

Result<Place> parse_place(const std::string& path) {
  Place place;
  for (const auto& [mark, kind] : {std::pair<std::string_view, std::string_view>{"/blobs/uploads/", "uploads"},
                                   {"/manifests/", "manifests"},
                                   {"/referrers/", "referrers"},
                                   {"/tags/list", "tags"},
                                   {"/blobs/", "blobs"}}) {
    const auto at = path.rfind(mark);
    if (at == std::string::npos) continue;
    place.repository = path.substr(0, at);
    place.kind = kind;
    place.name = path.substr(at + mark.size());
    break;
  }
  const bool plain = place.name.find('/') == std::string::npos;
  if (place.kind.empty() && path.ends_with("/blobs/uploads")) {
    place.repository = path.substr(0, path.size() - std::string_view("/blobs/uploads").size());
    place.kind = "uploads";
  }
  if (place.kind.empty() || !plain) {
    return Error(ErrorCode::not_found, "VRG-HUB-044", fmt::format("a registry has no '/v2/{}'", path));
  }
  if (!is_repository(place.repository)) {
    return Error(ErrorCode::invalid_argument, "VRG-OCI-010",
                 fmt::format("expected a repository such as models/cat in lower case, got '{}'", place.repository));
  }
  return place;
}

std::string_view methods_of(const Place& place) {
  if (place.kind == "uploads") return place.name.empty() ? "POST" : "GET, PATCH, PUT, DELETE";
  if (place.kind == "blobs") return "GET, HEAD, DELETE";
  if (place.kind == "manifests") return "GET, HEAD, PUT, DELETE";
  return "GET, HEAD";
}

http::Response done(int status, std::vector<std::pair<std::string, std::string>> headers = {}) {
  http::Response response;
  response.status = status;
  response.headers = std::move(headers);
  return response;
}

std::string blob_url(const Place& place, const std::string& digest) {
  return fmt::format("/v2/{}/blobs/{}", place.repository, digest);
}

http::Response upload_state(int status, const Place& place, const Registry::Upload& upload) {
  return done(status, {{"Location", fmt::format("/v2/{}/blobs/uploads/{}", place.repository, upload.id)},
                       {"Range", fmt::format("0-{}", upload.size_bytes == 0 ? 0 : upload.size_bytes - 1)},
                       {"Docker-Upload-UUID", upload.id}});
}

http::Response blob_made(const Place& place, const Registry::Blob& blob) {
  return done(201, {{"Location", blob_url(place, blob.digest)}, {"Docker-Content-Digest", blob.digest}});
}

/// First byte of "Content-Range: a-b".
Result<std::optional<std::uint64_t>> range_start(const Call& call) {
  auto text = call.request.header("content-range");
  if (text.empty()) return std::optional<std::uint64_t>();
  if (text.starts_with("bytes ")) text.remove_prefix(6);
  std::uint64_t start = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), start);
  if (error != std::errc{} || end == text.data() + text.size() || *end != '-') {
    return Error(ErrorCode::invalid_argument, "VRG-OCI-003",
                 fmt::format("expected Content-Range as first-last, got '{}'", text));
  }
  return std::optional<std::uint64_t>(start);
}

Result<Registry::Upload> append_body(Hub& hub, const Call& call, const Place& place, const std::string& id) {
  if (call.request.body_file.empty() && !call.request.body.empty()) {
    return Error(ErrorCode::unavailable, "VRG-HUB-046", "the content came before the token was known; send it again");
  }
  VERGE_ASSIGN(const auto start, range_start(call));
  return hub.registry().append(call.caller, place.repository, id, call.request.body_file, start);
}

http::Response finish_upload(Hub& hub, const Call& call, const Place& place, const std::string& id) {
  const auto upload = append_body(hub, call, place, id);
  if (!upload) return registry_error(upload.error());
  const auto blob = hub.registry().finish(call.caller, place.repository, id, call.parameter("digest"));
  if (!blob) return registry_error(blob.error());
  return blob_made(place, *blob);
}

http::Response begin_upload(Hub& hub, const Call& call, const Place& place) {
  if (const auto mount = call.parameter("mount"); !mount.empty()) {
    const auto mounted = hub.registry().mount(call.caller, place.repository, mount, call.parameter("from"));
    if (!mounted) return registry_error(mounted.error());
    if (*mounted) return done(201, {{"Location", blob_url(place, mount)}, {"Docker-Content-Digest", mount}});
  }
  const auto upload = hub.registry().begin_upload(call.caller, place.repository);
  if (!upload) return registry_error(upload.error());
  if (!call.parameter("digest").empty()) return finish_upload(hub, call, place, upload->id);
  return upload_state(202, place, *upload);
}

http::Response handle_upload(Hub& hub, const Call& call, const Place& place) {
  auto& registry = hub.registry();
  const auto method = call.request.method;
  if (method == "POST") return begin_upload(hub, call, place);
  if (method == "PUT") return finish_upload(hub, call, place, place.name);
  if (method == "PATCH") {
    const auto upload = append_body(hub, call, place, place.name);
    return upload ? upload_state(202, place, *upload) : registry_error(upload.error());
  }
  if (method == "DELETE") {
    const auto cancelled = registry.cancel(call.caller, place.repository, place.name);
    return cancelled ? done(204) : registry_error(cancelled.error());
  }
  const auto upload = registry.upload(call.caller, place.repository, place.name);
  return upload ? upload_state(204, place, *upload) : registry_error(upload.error());
}

http::Response handle_blob(Hub& hub, const Call& call, const Place& place) {
  if (call.request.method == "DELETE") {
    const auto deleted = hub.registry().delete_blob(call.caller, place.repository, place.name);
    return deleted ? done(202) : registry_error(deleted.error());
  }
  const auto blob = hub.registry().blob(call.caller, place.repository, place.name);
  if (!blob) return registry_error(blob.error());
  auto response = file_answer(call.request, blob->file, blob->size_bytes, blob->digest);
  response.headers.emplace_back("Docker-Content-Digest", blob->digest);
  return response;
}

http::Response put_manifest(Hub& hub, const Call& call, const Place& place) {
  const std::string content(reinterpret_cast<const char*>(call.request.body.data()), call.request.body.size());
  const auto made = hub.registry().put_manifest(call.caller, place.repository, place.name,
                                                std::string(call.request.header("content-type")), content);
  if (!made) return registry_error(made.error());
  auto response = done(201, {{"Location", fmt::format("/v2/{}/manifests/{}", place.repository, made->digest)},
                             {"Docker-Content-Digest", made->digest}});
  if (!made->subject.empty()) response.headers.emplace_back("OCI-Subject", made->subject);
  return response;
}

http::Response handle_manifest(Hub& hub, const Call& call, const Place& place) {
  auto& registry = hub.registry();
  if (call.request.method == "PUT") return put_manifest(hub, call, place);
  if (call.request.method == "DELETE") {
    const auto deleted = registry.delete_manifest(call.caller, place.repository, place.name);
    return deleted ? done(202) : registry_error(deleted.error());
  }
  auto manifest = registry.manifest(call.caller, place.repository, place.name);
  if (!manifest) return registry_error(manifest.error());
  auto response = done(200, {{"Docker-Content-Digest", manifest->digest}, {"ETag", "\"" + manifest->digest + "\""}});
  response.content_type = manifest->media_type;
  response.body = std::move(manifest->content);
  return response;
}

http::Response list_tags(Hub& hub, const Call& call, const Place& place) {
  auto tags = hub.registry().tags(call.caller, place.repository);
  if (!tags) return registry_error(tags.error());
  const auto last = call.parameter("last");
  if (!last.empty()) std::erase_if(*tags, [&](const std::string& tag) { return tag <= last; });
  const auto limit = call.number("n", 10'000, 0, 10'000);
  if (!limit) return registry_error(limit.error());
  const bool more = tags->size() > static_cast<std::size_t>(*limit);
  if (more) tags->resize(static_cast<std::size_t>(*limit));
  auto node = wire::Node::map();
  node.add("name", wire::Node::string(place.repository));
  node.add("tags", wire::Node::list_of(*tags, [](const std::string& tag) { return wire::Node::string(tag); }));
  auto response = document(200, node);
  if (more && !tags->empty()) {
    response.headers.emplace_back(
        "Link", fmt::format("</v2/{}/tags/list?n={}&last={}>; rel=\"next\"", place.repository, *limit, tags->back()));
  }
  return response;
}

http::Response list_referrers(Hub& hub, const Call& call, const Place& place) {
  if (!crypto::is_sha256(place.name)) {
    return registry_error(Error(ErrorCode::invalid_argument, "VRG-OCI-004",
                                fmt::format("expected a digest such as sha256:…, got '{}'", place.name)));
  }
  const auto type = call.parameter("artifactType");
  auto index = hub.registry().referrers(call.caller, place.repository, place.name, type);
  if (!index) return registry_error(index.error());
  auto response = done(200);
  response.content_type = "application/vnd.oci.image.index.v1+json";
  if (!type.empty()) response.headers.emplace_back("OCI-Filters-Applied", "artifactType");
  response.body = std::move(*index);
  return response;
}

}  // namespace

http::Response registry_error(const Error& error) {
  const auto* found = std::ranges::find(kCodes, error.id(), &Code::id);
  const bool known = found != kCodes.end();
  const auto status = known ? found->status : http_status(error.code());
  std::string_view code = "MANIFEST_INVALID";
  if (known) {
    code = found->code;
  } else if (error.code() == ErrorCode::permission_denied) {
    code = "DENIED";
  } else if (error.code() == ErrorCode::unimplemented || error.id() == "VRG-HUB-044") {
    code = "UNSUPPORTED";
  }
  auto item = wire::Node::map();
  item.add("code", wire::Node::string(code));
  item.add("message", wire::Node::string(error.text()));
  auto list = wire::Node::list();
  list.items.push_back(std::move(item));
  auto body = wire::Node::map();
  body.add("errors", std::move(list));
  auto response = document(status, body);
  if (status == 401) response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"verge\"");
  return response;
}

http::Response handle_registry(Hub& hub, const Call& call) {
  const auto path = call.at("path");
  if (path.empty()) {
    auto response = done(200, {{"Docker-Distribution-API-Version", "registry/2.0"}});
    response.body = "{}";
    return response;
  }
  const auto place = parse_place(path);
  if (!place) return registry_error(place.error());
  if (const auto takes = methods_of(*place); takes.find(call.request.method) == std::string_view::npos) {
    auto response = registry_error(Error(ErrorCode::unimplemented, "VRG-HUB-045",
                                         fmt::format("'/v2/{}' takes {}, not {}", path, takes, call.request.method)));
    response.status = 405;
    response.headers.emplace_back("Allow", std::string(takes));
    return response;
  }
  if (place->kind == "uploads") return handle_upload(hub, call, *place);
  if (place->kind == "blobs") return handle_blob(hub, call, *place);
  if (place->kind == "manifests") return handle_manifest(hub, call, *place);
  if (place->kind == "tags") return list_tags(hub, call, *place);
  return list_referrers(hub, call, *place);
}

}  // namespace verge::hub
