#include "verge/registry_client/reference.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/crypto/digest.hpp"

namespace verge::registry_client {
namespace {

constexpr std::size_t kTextLimit = 1024;
constexpr std::size_t kRepositoryLimit = 255;
constexpr std::size_t kTagLimit = 128;
constexpr std::string_view kLowerCase = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view kDigits = "0123456789";

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// A name, an IPv4 address or a bracketed IPv6 address, with a port or without.
bool is_registry(std::string_view text) {
  if (const auto colon = text.rfind(':'); colon != std::string_view::npos && !text.ends_with(']')) {
    const auto port = text.substr(colon + 1);
    if (port.empty() || port.size() > 5 || port.find_first_not_of(kDigits) != std::string_view::npos) return false;
    text = text.substr(0, colon);
  }
  if (text.starts_with('[')) {
    return text.ends_with(']') && text.size() > 3 &&
           text.find_first_not_of("0123456789abcdefABCDEF:", 1) == text.size() - 1;
  }
  if (text.empty() || !is_letter_or_digit(text.front()) || !is_letter_or_digit(text.back())) return false;
  return std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '.' || c == '-'; });
}

/// Letters and digits, joined by '.', '_', '__' or dashes.
bool is_component(std::string_view text) {
  for (std::size_t at = 0;;) {
    const auto end = text.find_first_not_of(kLowerCase, at);
    if (end == at || text.empty()) return false;
    if (end == std::string_view::npos) return true;
    at = text.find_first_of(kLowerCase, end);
    if (at == std::string_view::npos) return false;
    const auto joint = text.substr(end, at - end);
    if (joint != "." && joint != "_" && joint != "__" && joint.find_first_not_of('-') != std::string_view::npos) {
      return false;
    }
  }
}

bool is_repository(std::string_view text) {
  if (text.empty() || text.size() > kRepositoryLimit) return false;
  for (;;) {
    const auto slash = std::min(text.find('/'), text.size());
    if (!is_component(text.substr(0, slash))) return false;
    if (slash == text.size()) return true;
    text.remove_prefix(slash + 1);
  }
}

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > kTagLimit || text.front() == '.' || text.front() == '-') return false;
  return std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '_' || c == '.' || c == '-'; });
}

}  // namespace

std::string Reference::wanted() const {
  if (!digest.empty()) return digest;
  return tag.empty() ? "latest" : tag;
}

std::string Reference::text() const {
  return registry + "/" + repository + (tag.empty() ? "" : ":" + tag) + (digest.empty() ? "" : "@" + digest);
}

Result<Reference> parse_reference(std::string_view text) {
  const auto refused = [&](std::string_view why) {
    return Error(ErrorCode::invalid_argument, "VRG-REG-001",
                 fmt::format("expected REGISTRY/REPOSITORY[:TAG][@DIGEST] such as ghcr.io/team/cat:1.0.0, got '{}': {}",
                             text.substr(0, kTextLimit), why));
  };
  if (text.size() > kTextLimit) return refused(fmt::format("it is longer than {} characters", kTextLimit));
  Reference reference;
  auto rest = text;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = rest.substr(at + 1);
    if (!crypto::is_digest(reference.digest)) return refused("behind '@' belongs a digest by sha256 or sha512");
    rest = rest.substr(0, at);
  }
  const auto slash = rest.find('/');
  if (slash == std::string_view::npos) return refused("a registry, '/' and a repository belong in it");
  reference.registry = rest.substr(0, slash);
  rest = rest.substr(slash + 1);
  const bool named = reference.registry == "localhost" || reference.registry.find_first_of(".:") != std::string::npos;
  if (!named || !is_registry(reference.registry)) {
    return refused(fmt::format("'{}' is no registry's host; write it out, docker.io too", reference.registry));
  }
  if (const auto colon = rest.rfind(':'); colon != std::string_view::npos) {
    reference.tag = rest.substr(colon + 1);
    if (!is_tag(reference.tag)) return refused("a tag has letters, digits, '_', '.' and '-', at most 128");
    rest = rest.substr(0, colon);
  }
  if (!is_repository(rest)) return refused("a repository has lower-case letters and digits, joined by '.', '_', '-'");
  reference.repository = rest;
  return reference;
}

}  // namespace verge::registry_client
