#include "referrers.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/wire/document.hpp"

namespace verge::registry_client {
namespace {

using http_client::Reply;
using wire::Node;

constexpr std::string_view kIndexMediaType = "application/vnd.oci.image.index.v1+json";
constexpr std::size_t kPageLimit = 64;

/// "sha256-…": of the specification, for registries without the list.
std::string tag_of(const std::string& digest) {
  auto tag = digest.substr(0, 128);
  std::ranges::replace(tag, ':', '-');
  return tag;
}

/// The URL of "<…>; rel=\"next\"", or nothing.
std::string_view next_of(const Reply& reply) {
  const auto link = reply.header("link");
  const auto end = link.find('>');
  if (!link.starts_with('<') || end == std::string_view::npos) return {};
  return link.find("next", end) == std::string_view::npos ? std::string_view() : link.substr(1, end - 1);
}

Session::Order order_for(const Session& session, const std::string& rest, std::string_view accept) {
  Session::Order order;
  order.call.path = session.path(rest);
  order.call.limit_bytes = kManifestLimitBytes;
  order.call.headers.emplace_back("Accept", accept);
  return order;
}

/// The stand-in's content; empty when there is none.
Result<std::string> stand_in(Session& session, const std::string& digest) {
  const auto order = order_for(session, "manifests/" + tag_of(digest), kIndexMediaType);
  VERGE_ASSIGN(Reply reply, session.ask(order));
  if (reply.status == 404) return std::string();
  if (reply.status != 200) return session.refusal(reply, "the list of what is about " + digest);
  return std::move(reply.body);
}

void append(std::vector<Descriptor>& all, std::vector<Descriptor> more) {
  for (auto& descriptor : more) {
    if (std::ranges::find(all, descriptor.digest, &Descriptor::digest) == all.end()) {
      all.push_back(std::move(descriptor));
    }
  }
}

Node entry_of(const Artifact& artifact) {
  Node entry = Node::map();
  entry.add("mediaType", Node::string(artifact.media_type));
  entry.add("digest", Node::string(artifact.digest));
  entry.add("size", Node::integer(static_cast<std::int64_t>(artifact.content.size())));
  if (!artifact.artifact_type.empty()) entry.add("artifactType", Node::string(artifact.artifact_type));
  if (auto annotations = wire::parse_json(artifact.annotations_json, "annotations"); annotations) {
    if (!annotations->members.empty()) entry.add("annotations", std::move(*annotations));
  }
  return entry;
}

}  // namespace

Result<std::vector<Descriptor>> list_referrers(Session& session, const std::string& digest) {
  const std::string what = "the list of what is about " + digest;
  std::vector<Descriptor> all;
  auto order = order_for(session, "referrers/" + digest, kIndexMediaType);
  Url here{session.origin(), order.call.path};
  for (std::size_t page = 0; page < kPageLimit; ++page) {
    VERGE_ASSIGN(const Reply reply, session.ask(order));
    if (page == 0 && (reply.status == 404 || reply.status == 400 || reply.status == 405)) {
      VERGE_ASSIGN(const auto content, stand_in(session, digest));
      return content.empty() ? Result<std::vector<Descriptor>>(std::move(all)) : parse_index(content, what);
    }
    if (reply.status != 200) return session.refusal(reply, what);
    VERGE_ASSIGN(auto more, parse_index(reply.body, session.name() + ": " + what));
    append(all, std::move(more));
    if (all.size() > kDescriptorLimit) break;
    const auto next = next_of(reply);
    if (next.empty()) return all;
    VERGE_ASSIGN(here, follow(here, next));
    order.url = here.origin + here.path;
  }
  return Error(ErrorCode::resource_exhausted, "VRG-REG-012",
               fmt::format("{}: expected at most {} artifacts about {}, got more; copy without them", session.name(),
                           kDescriptorLimit, digest));
}

Result<void> enter_referrer(Session& session, const Artifact& artifact) {
  const auto& subject = artifact.subject->digest;
  VERGE_ASSIGN(const auto content, stand_in(session, subject));
  Node index = Node::map();
  if (content.empty()) {
    index.add("schemaVersion", Node::integer(2));
    index.add("mediaType", Node::string(kIndexMediaType));
    index.add("manifests", Node::list());
  } else {
    VERGE_ASSIGN(const auto there, parse_index(content, session.name()));
    if (std::ranges::find(there, artifact.digest, &Descriptor::digest) != there.end()) return {};
    VERGE_ASSIGN(index, wire::parse_json(content, session.name()));
  }
  for (auto& [key, value] : index.members) {
    if (key == "manifests") value.items.push_back(entry_of(artifact));
  }
  Session::Order order;
  order.push = true;
  order.call.method = "PUT";
  order.call.path = session.path("manifests/" + tag_of(subject));
  order.call.content_type = kIndexMediaType;
  order.call.body = wire::write_json_line(index);
  VERGE_ASSIGN(const Reply reply, session.ask(order));
  if (reply.status >= 400) return session.refusal(reply, "the list of what is about " + subject);
  return {};
}

}  // namespace verge::registry_client
