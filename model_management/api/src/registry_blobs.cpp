// Blobs and uploads over HTTP: https://github.com/opencontainers/distribution-spec (1.1).
#include <charconv>

#include <fmt/format.h>

#include "handlers.hpp"
#include "registry_place.hpp"
#include "verge/crypto/digest.hpp"
#include "verge/hub/registry.hpp"

namespace verge::hub {
namespace {

std::string blob_url(const RegistryPlace& place, const std::string& digest) {
  return fmt::format("/v2/{}/blobs/{}", place.repository, digest);
}

std::vector<std::pair<std::string, std::string>> standing_of(const RegistryPlace& place,
                                                             const Registry::Upload& upload) {
  return {{"Location", fmt::format("/v2/{}/blobs/uploads/{}", place.repository, upload.id)},
          {"Range", fmt::format("0-{}", upload.size_bytes == 0 ? 0 : upload.size_bytes - 1)},
          {"Docker-Upload-UUID", upload.id}};
}

http::Response upload_state(int status, const RegistryPlace& place, const Registry::Upload& upload) {
  return empty_answer(status, standing_of(place, upload));
}

http::Response blob_made(const RegistryPlace& place, const std::string& digest) {
  return empty_answer(201, {{"Location", blob_url(place, digest)}, {"Docker-Content-Digest", digest}});
}

bool take_number(std::string_view& text, std::optional<std::uint64_t>& number) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  number = value;
  return true;
}

/// The body, and where it belongs by "Content-Range: first-last".
Result<Registry::Piece> piece_of(const Call& call) {
  if (call.request.body_file.empty() && !call.request.body.empty()) {
    return Error(ErrorCode::unavailable, "VRG-HUB-046", "the content came before the token was known; send it again");
  }
  Registry::Piece piece;
  piece.file = call.request.body_file;
  const auto header = call.request.header("content-range");
  if (header.empty()) return piece;
  auto text = header;
  if (text.starts_with("bytes ")) text.remove_prefix(6);
  bool good = take_number(text, piece.first) && text.starts_with('-');
  if (good) text.remove_prefix(1);
  good = good && take_number(text, piece.last) && (text.empty() || text.front() == '/') && *piece.first <= *piece.last;
  if (good) return piece;
  return Error(ErrorCode::invalid_argument, "VRG-OCI-003",
               fmt::format("expected Content-Range as first-last, got '{}'", header));
}

/// With where the upload stands, when the piece belonged elsewhere.
http::Response piece_refused(Hub& hub, const Call& call, const RegistryPlace& place, const Error& error) {
  auto response = registry_error(error);
  if (response.status != 416) return response;
  const auto upload = hub.registry().upload(call.caller, place.repository, place.name);
  if (upload) response.headers = standing_of(place, *upload);
  return response;
}

http::Response append(Hub& hub, const Call& call, const RegistryPlace& place) {
  const auto piece = piece_of(call);
  if (!piece) return piece_refused(hub, call, place, piece.error());
  const auto upload = hub.registry().append(call.caller, place.repository, place.name, *piece);
  return upload ? upload_state(202, place, *upload) : piece_refused(hub, call, place, upload.error());
}

http::Response finish(Hub& hub, const Call& call, const RegistryPlace& place) {
  const auto piece = piece_of(call);
  if (!piece) return piece_refused(hub, call, place, piece.error());
  const auto blob = hub.registry().finish(call.caller, place.repository, place.name, call.parameter("digest"), *piece);
  return blob ? blob_made(place, blob->digest) : piece_refused(hub, call, place, blob.error());
}

/// All of a blob in one request.
http::Response push_whole(Hub& hub, const Call& call, const RegistryPlace& place, const std::string& id) {
  auto upload = place;
  upload.name = id;
  auto response = finish(hub, call, upload);
  // Whoever pushes like this never learns of the upload.
  if (response.status != 201) static_cast<void>(hub.registry().cancel(call.caller, place.repository, id));
  return response;
}

http::Response begin_upload(Hub& hub, const Call& call, const RegistryPlace& place) {
  if (const auto mount = call.parameter("mount"); !mount.empty()) {
    const auto mounted = hub.registry().mount(call.caller, place.repository, mount, call.parameter("from"));
    if (!mounted) return registry_error(mounted.error());
    if (*mounted) return blob_made(place, mount);
  }
  // Any algorithm will do until the digest is known; one that will never do is refused now.
  if (const auto algorithm = call.parameter("digest-algorithm");
      !algorithm.empty() && !crypto::to_digest_algorithm(algorithm)) {
    return registry_error(Error(ErrorCode::invalid_argument, "VRG-OCI-004",
                                fmt::format("expected the digest algorithm sha256 or sha512, got '{}'", algorithm)));
  }
  const auto upload = hub.registry().begin_upload(call.caller, place.repository);
  if (!upload) return registry_error(upload.error());
  if (!call.parameter("digest").empty()) return push_whole(hub, call, place, upload->id);
  return upload_state(202, place, *upload);
}

}  // namespace

http::Response handle_upload(Hub& hub, const Call& call, const RegistryPlace& place) {
  auto& registry = hub.registry();
  const auto method = call.request.method;
  if (method == "POST") return begin_upload(hub, call, place);
  if (method == "PUT") return finish(hub, call, place);
  if (method == "PATCH") return append(hub, call, place);
  if (method == "DELETE") {
    const auto cancelled = registry.cancel(call.caller, place.repository, place.name);
    return cancelled ? empty_answer(204) : registry_error(cancelled.error());
  }
  const auto upload = registry.upload(call.caller, place.repository, place.name);
  return upload ? upload_state(204, place, *upload) : registry_error(upload.error());
}

http::Response handle_blob(Hub& hub, const Call& call, const RegistryPlace& place) {
  if (call.request.method == "DELETE") {
    const auto deleted = hub.registry().delete_blob(call.caller, place.repository, place.name);
    return deleted ? empty_answer(202) : registry_error(deleted.error());
  }
  const auto blob = hub.registry().blob(call.caller, place.repository, place.name);
  if (!blob) return registry_error(blob.error());
  auto response = file_answer(call.request, blob->file, blob->size_bytes, blob->digest, registry_error);
  response.headers.emplace_back("Docker-Content-Digest", blob->digest);
  return response;
}

}  // namespace verge::hub
