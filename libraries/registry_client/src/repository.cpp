// A registry's repository as a store.

#include <fmt/format.h>

#include "download.hpp"
#include "referrers.hpp"
#include "session.hpp"
#include "upload.hpp"
#include "verge/crypto/digest.hpp"
#include "verge/registry_client/registry.hpp"

namespace verge::registry_client {
namespace {

using http_client::Reply;

class Repository final : public ArtifactStore {
 public:
  Repository(Reference reference, std::string origin, RegistryOptions options)
      : session_(std::move(reference), std::move(origin), std::move(options)) {}

  [[nodiscard]] std::string name() const override { return session_.name(); }

  Result<Artifact> artifact(const std::string& reference) override {
    const bool by_digest = crypto::is_digest(reference);
    const auto what = fmt::format("the manifest '{}'", reference);
    Session::Order order;
    order.call.path = session_.path("manifests/" + reference);
    order.call.limit_bytes = kManifestLimitBytes;
    order.call.headers.emplace_back("Accept", kManifestTypes);
    VERGE_ASSIGN(Reply reply, session_.ask(order));
    if (reply.status != 200) return session_.refusal(reply, what);
    // What a tag leads to has no digest to be checked against but the one that comes with it.
    const std::string said(reply.header("docker-content-digest"));
    const auto& digest = by_digest ? reference : said;
    if (!digest.empty() && !crypto::is_digest(digest)) {
      return Error(ErrorCode::data_loss, "VRG-REG-010",
                   fmt::format("{}: expected a digest with {}, got '{}'", name(), what, digest.substr(0, 200)));
    }
    return parse_artifact(std::move(reply.body), reply.header("content-type"), digest, name() + ": " + what);
  }

  Result<std::vector<Descriptor>> referrers(const std::string& digest) override {
    return list_referrers(session_, digest);
  }

  Result<std::filesystem::path> fetch(const Descriptor& blob, const std::filesystem::path& scratch,
                                      const Progress& progress) override {
    return download_blob(session_, blob, scratch, progress);
  }

  Result<bool> has(const Descriptor& blob) override {
    Session::Order order;
    order.call.method = "HEAD";
    order.call.path = session_.path("blobs/" + blob.digest);
    order.push = true;
    VERGE_ASSIGN(const Reply reply, session_.ask(order));
    if (reply.status == 200) return true;
    if (reply.status == 404) return false;
    return session_.refusal(reply, "the blob " + blob.digest);
  }

  Result<bool> take(const Descriptor& blob, const ArtifactSource& from) override {
    const auto* other = dynamic_cast<const Repository*>(&from);
    if (other == nullptr || other->session_.origin() != session_.origin()) return false;
    return mount_blob(session_, blob, other->session_.reference().repository);
  }

  Result<void> put(const Descriptor& blob, const std::filesystem::path& file, const std::filesystem::path&,
                   const Progress& progress) override {
    return upload_blob(session_, blob, file, progress);
  }

  Result<void> put(const Artifact& artifact, const std::string& tag) override {
    Session::Order order;
    order.push = true;
    order.call.method = "PUT";
    order.call.path = session_.path("manifests/" + (tag.empty() ? artifact.digest : tag));
    order.call.content_type = artifact.media_type;
    order.call.body = artifact.content;
    VERGE_ASSIGN(const Reply reply, session_.ask(order));
    if (reply.status != 201) return session_.refusal(reply, fmt::format("the manifest {}", artifact.digest));
    const auto kept = reply.header("docker-content-digest");
    if (!kept.empty() && kept != artifact.digest &&
        crypto::algorithm_of(kept) == crypto::algorithm_of(artifact.digest)) {
      return Error(ErrorCode::data_loss, "VRG-REG-007",
                   fmt::format("{}: expected the registry to keep the manifest {} as it is, got {}", name(),
                               artifact.digest, kept.substr(0, 200)));
    }
    if (artifact.subject && reply.header("oci-subject").empty()) return enter_referrer(session_, artifact);
    return {};
  }

 private:
  Session session_;
};

bool is_loopback(std::string_view registry) {
  const auto host = registry.substr(0, registry.rfind(':'));
  return host == "localhost" || registry == "localhost" || host == "[::1]" || host.starts_with("127.");
}

/// Whether a server of this machine speaks TLS. One that is not there speaks neither.
Result<bool> speaks_tls(const std::string& origin, const RegistryOptions& options) {
  Clients clients(options);
  VERGE_ASSIGN(auto* client, clients.at(origin));
  http_client::Call call;
  call.path = "/v2/";
  const auto reply = client->send(call, options.stop);
  if (reply || reply.error().code() != ErrorCode::unavailable) return true;
  return false;
}

}  // namespace

Result<std::unique_ptr<ArtifactStore>> open_repository(const Reference& reference, RegistryOptions options) {
  const std::string host = reference.registry == "docker.io" ? "registry-1.docker.io" : reference.registry;
  bool encrypted = !options.plain_http;
  if (encrypted && is_loopback(host) && options.ca_certificate.empty()) {
    VERGE_ASSIGN(encrypted, speaks_tls("https://" + host, options));
  }
  VERGE_ASSIGN(auto url, parse_url((encrypted ? "https://" : "http://") + host));
  return std::unique_ptr<ArtifactStore>(
      std::make_unique<Repository>(reference, std::move(url.origin), std::move(options)));
}

}  // namespace verge::registry_client
