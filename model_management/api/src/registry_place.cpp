#include "registry_place.hpp"

#include <utility>

#include <fmt/format.h>

namespace verge::hub {
namespace {

constexpr std::string_view kRoot = "/v2/";

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

}  // namespace

Result<RegistryPlace> parse_registry_place(const std::string& path) {
  RegistryPlace place;
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
  if (place.kind.empty() || !plain || (place.kind == "tags" && !place.name.empty())) {
    return Error(ErrorCode::not_found, "VRG-HUB-044", fmt::format("a registry has no '/v2/{}'", path));
  }
  if (!is_repository(place.repository)) {
    return Error(ErrorCode::invalid_argument, "VRG-OCI-010",
                 fmt::format("expected a repository such as models/cat in lower case, got '{}'", place.repository));
  }
  return place;
}

std::string_view methods_of(const RegistryPlace& place) {
  if (place.kind == "uploads") return place.name.empty() ? "POST" : "GET, PATCH, PUT, DELETE";
  if (place.kind == "blobs") return "GET, HEAD, DELETE";
  if (place.kind == "manifests") return "GET, HEAD, PUT, DELETE";
  return "GET, HEAD";
}

std::string pushed_repository(const http::Request& head) {
  std::string path;
  if (!head.path.starts_with(kRoot) || !http::decode_percent(head.path.substr(kRoot.size()), path)) return {};
  const auto place = parse_registry_place(path);
  return place && place->kind == "uploads" ? place->repository : std::string();
}

}  // namespace verge::hub
