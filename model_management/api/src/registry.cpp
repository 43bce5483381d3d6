// The OCI registry's HTTP: https://github.com/opencontainers/distribution-spec (1.1). Manifests, tags and referrers.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "handlers.hpp"
#include "registry_place.hpp"
#include "verge/base/text.hpp"
#include "verge/hub/registry.hpp"

namespace verge::hub {
namespace {

constexpr std::int64_t kPageEntries = 10'000;

http::Response put_manifest(Hub& hub, const Call& call, const RegistryPlace& place) {
  const std::string content(reinterpret_cast<const char*>(call.request.body.data()), call.request.body.size());
  const auto tags = query_values(call.request.query, "tag");
  const auto made = hub.registry().put_manifest(call.caller, place.repository, place.name,
                                                std::string(call.request.header("content-type")), content, tags);
  if (!made) return registry_error(made.error());
  auto response = empty_answer(201, {{"Location", fmt::format("/v2/{}/manifests/{}", place.repository, made->digest)},
                                     {"Docker-Content-Digest", made->digest}});
  if (!made->subject.empty()) response.headers.emplace_back("OCI-Subject", made->subject);
  if (place.name == made->digest) {
    for (const auto& tag : tags) response.headers.emplace_back("OCI-Tag", tag);
  }
  return response;
}

http::Response handle_manifest(Hub& hub, const Call& call, const RegistryPlace& place) {
  auto& registry = hub.registry();
  if (call.request.method == "PUT") return put_manifest(hub, call, place);
  if (call.request.method == "DELETE") {
    const auto deleted = registry.delete_manifest(call.caller, place.repository, place.name);
    return deleted ? empty_answer(202) : registry_error(deleted.error());
  }
  auto manifest = registry.manifest(call.caller, place.repository, place.name);
  if (!manifest) return registry_error(manifest.error());
  auto response =
      empty_answer(200, {{"Docker-Content-Digest", manifest->digest}, {"ETag", "\"" + manifest->digest + "\""}});
  response.content_type = manifest->media_type;
  response.body = std::move(manifest->content);
  return response;
}

/// The part of a sorted list that "n" and "last" ask for, under `key` of `node`, with a link to the next one.
http::Response page_of(const Call& call, const std::string& url, std::vector<std::string> names, wire::Node node,
                       std::string_view key) {
  const auto last = call.parameter("last");
  if (!last.empty()) std::erase_if(names, [&](const std::string& name) { return name <= last; });
  const auto wanted = call.number("n", kPageEntries, 0, std::numeric_limits<std::int64_t>::max());
  if (!wanted) return registry_error(wanted.error());
  const auto limit = static_cast<std::size_t>(std::min(*wanted, kPageEntries));
  const bool more = names.size() > limit;
  if (more) names.resize(limit);
  node.add(key, wire::Node::list_of(names, [](const std::string& name) { return wire::Node::string(name); }));
  auto response = document(200, node);
  if (more && !names.empty()) {
    response.headers.emplace_back("Link", fmt::format("<{}?n={}&last={}>; rel=\"next\"", url, limit, names.back()));
  }
  return response;
}

http::Response list_tags(Hub& hub, const Call& call, const RegistryPlace& place) {
  auto tags = hub.registry().tags(call.caller, place.repository);
  if (!tags) return registry_error(tags.error());
  auto node = wire::Node::map();
  node.add("name", wire::Node::string(place.repository));
  return page_of(call, fmt::format("/v2/{}/tags/list", place.repository), std::move(*tags), std::move(node), "tags");
}

/// Not in the specification, but what 'oras repo ls' and 'crane catalog' ask.
http::Response list_repositories(Hub& hub, const Call& call) {
  auto names = hub.registry().repositories(call.caller);
  if (!names) return registry_error(names.error());
  return page_of(call, "/v2/_catalog", std::move(*names), wire::Node::map(), "repositories");
}

http::Response list_referrers(Hub& hub, const Call& call, const RegistryPlace& place) {
  auto type = call.parameter("artifactType");
  std::ranges::replace(type, ' ', '+');  // A media type has no space: a '+' came without its escape.
  auto found = hub.registry().referrers(call.caller, place.repository, place.name, type, call.parameter("last"));
  if (!found) return registry_error(found.error());
  auto response = empty_answer(200);
  response.content_type = "application/vnd.oci.image.index.v1+json";
  if (!type.empty()) response.headers.emplace_back("OCI-Filters-Applied", "artifactType");
  if (!found->next.empty()) {
    auto url = fmt::format("/v2/{}/referrers/{}?last={}", place.repository, place.name, found->next);
    if (!type.empty()) url += "&artifactType=" + encode_percent(type);
    response.headers.emplace_back("Link", fmt::format("<{}>; rel=\"next\"", url));
  }
  response.body = std::move(found->index);
  return response;
}

http::Response not_taken(const std::string& path, std::string_view takes, std::string_view method) {
  auto response = registry_error(
      Error(ErrorCode::unimplemented, "VRG-HUB-045", fmt::format("'/v2/{}' takes {}, not {}", path, takes, method)));
  response.status = 405;
  response.headers.emplace_back("Allow", std::string(takes));
  return response;
}

}  // namespace

http::Response handle_registry(Hub& hub, const Call& call) {
  const auto path = call.at("path");
  const auto method = call.request.method;
  const bool reads = method == "GET" || method == "HEAD";
  if (path.empty() || path == "_catalog") {
    if (!reads) return not_taken(path, "GET, HEAD", method);
    if (!path.empty()) return list_repositories(hub, call);
    auto response = empty_answer(200, {{std::string(kApiVersion), "registry/2.0"}});
    response.body = "{}";
    return response;
  }
  const auto place = parse_registry_place(path);
  if (!place) return registry_error(place.error());
  if (const auto takes = methods_of(*place); takes.find(method) == std::string_view::npos) {
    return not_taken(path, takes, method);
  }
  if (place->kind == "uploads") return handle_upload(hub, call, *place);
  if (place->kind == "blobs") return handle_blob(hub, call, *place);
  if (place->kind == "manifests") return handle_manifest(hub, call, *place);
  if (place->kind == "tags") return list_tags(hub, call, *place);
  return list_referrers(hub, call, *place);
}

}  // namespace verge::hub
