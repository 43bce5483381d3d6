#include "metadata.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <limits>
#include <set>

#include <fmt/format.h>

#include "canonical_json.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/crypto/sha512.hpp"

namespace verge::trust {
namespace {

using wire::Node;
using Kind = Node::Kind;

/// `what` may hold pieces of what an attacker sent: logs and reports get nothing of it but plain characters.
Error not_metadata(std::string_view role, std::string_view what) {
  std::string plain(what);
  std::ranges::replace_if(
      plain, [](char c) { return c < ' ' || c > '~'; }, '?');
  return Error(ErrorCode::data_loss, "VRG-TUF-002",
               fmt::format("expected metadata of role '{}', got something else: {}", role, plain));
}

/// A part of the metadata of `role`, which knows how to complain.
class Reader {
 public:
  Reader(const Node& node, std::string_view role) : node_(node), role_(role) {}

  Result<const Node*> member(std::string_view key, Kind kind) const {
    const Node* found = node_.find(key);
    if (found == nullptr || found->kind != kind) return complaint(key, found == nullptr ? "is missing" : "is no such");
    return found;
  }
  Result<std::string> text(std::string_view key) const {
    VERGE_ASSIGN(const Node* found, member(key, Kind::quoted));
    return found->text;
  }
  Result<std::int64_t> number(std::string_view key, std::int64_t least,
                              std::int64_t most = std::numeric_limits<std::int64_t>::max()) const {
    VERGE_ASSIGN(const Node* found, member(key, Kind::plain));
    std::int64_t value = 0;
    const char* end = found->text.data() + found->text.size();
    const auto [at, failed] = std::from_chars(found->text.data(), end, value);
    if (at != end || failed != std::errc() || value < least || value > most) {
      return complaint(key, fmt::format("is no whole number from {} to {}", least, most));
    }
    return value;
  }
  Result<bool> flag(std::string_view key) const {
    VERGE_ASSIGN(const Node* found, member(key, Kind::plain));
    if (found->text != "true" && found->text != "false") return complaint(key, "is neither true nor false");
    return found->text == "true";
  }
  Result<std::vector<std::string>> texts(std::string_view key) const {
    VERGE_ASSIGN(const Node* found, member(key, Kind::list));
    std::vector<std::string> values;
    for (const auto& item : found->items) {
      if (item.kind != Kind::quoted) return complaint(key, "is no list of texts");
      values.push_back(item.text);
    }
    return values;
  }
  [[nodiscard]] bool has(std::string_view key) const { return node_.find(key) != nullptr; }
  [[nodiscard]] Error complaint(std::string_view key, std::string_view what) const {
    return not_metadata(role_, fmt::format("'{}' {}", key, what));
  }
  [[nodiscard]] Reader in(const Node& node) const { return {node, role_}; }

 private:
  const Node& node_;
  std::string_view role_;
};

/// "2026-11-25T00:00:00Z"; nullopt for what is no such time.
std::optional<std::int64_t> seconds_of(std::string_view text) {
  constexpr std::string_view kForm = "0000-00-00T00:00:00Z";
  if (text.size() != kForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == '0' ? !digit : text[i] != kForm[i]) return std::nullopt;
  }
  const auto number = [&](std::size_t at, std::size_t size) {
    int value = 0;
    std::from_chars(text.data() + at, text.data() + at + size, value);
    return value;
  };
  std::tm parts{};
  parts.tm_year = number(0, 4) - 1900;
  parts.tm_mon = number(5, 2) - 1;
  parts.tm_mday = number(8, 2);
  parts.tm_hour = number(11, 2);
  parts.tm_min = number(14, 2);
  parts.tm_sec = number(17, 2);
  const std::int64_t seconds = timegm(&parts);
  // timegm() turns the 31st of June into the 1st of July.
  if (time_text(seconds) != text) return std::nullopt;
  return seconds;
}

Result<Role> read_role(const Reader& reader) {
  Role role;
  VERGE_ASSIGN(role.key_ids, reader.texts("keyids"));
  VERGE_ASSIGN(role.threshold, reader.number("threshold", 1));
  const std::set<std::string> distinct(role.key_ids.begin(), role.key_ids.end());
  if (distinct.size() != role.key_ids.size()) return reader.complaint("keyids", "names a key twice");
  return role;
}

Result<FileMeta> read_file_meta(const Reader& reader) {
  FileMeta meta;
  VERGE_ASSIGN(meta.version, reader.number("version", 1));
  if (reader.has("length")) {
    VERGE_ASSIGN(const auto length, reader.number("length", 0));
    meta.length_bytes = static_cast<std::uint64_t>(length);
  }
  if (reader.has("hashes")) {
    VERGE_ASSIGN(const Node* hashes, reader.member("hashes", Kind::map));
    for (const auto& [algorithm, digest] : hashes->members) meta.hashes.emplace(algorithm, digest.text);
    if (meta.hashes.empty()) return reader.complaint("hashes", "is empty");
  }
  return meta;
}

Result<std::map<std::string, FileMeta, std::less<>>> read_meta(const SignedFile& file) {
  const Reader reader(file.content, file.header.role);
  VERGE_ASSIGN(const Node* meta, reader.member("meta", Kind::map));
  std::map<std::string, FileMeta, std::less<>> files;
  for (const auto& [name, node] : meta->members) {
    VERGE_ASSIGN(FileMeta one, read_file_meta(reader.in(node)));
    files.emplace(name, std::move(one));
  }
  return files;
}

Result<Target> read_target(const Reader& reader, const std::string& path, const Node& node) {
  Target target{path, 0, {}, {}};
  VERGE_ASSIGN(const auto length, reader.number("length", 0));
  target.length_bytes = static_cast<std::uint64_t>(length);
  VERGE_ASSIGN(const Node* hashes, reader.member("hashes", Kind::map));
  for (const std::string_view algorithm : {"sha512", "sha256"}) {
    if (const Node* digest = hashes->find(algorithm)) target.digest = fmt::format("{}:{}", algorithm, digest->text);
  }
  if (const Node* custom = node.find("custom")) target.custom = *custom;
  return target;
}

Result<Delegation> read_delegation(const Reader& reader) {
  Delegation delegation;
  VERGE_ASSIGN(delegation.name, reader.text("name"));
  VERGE_ASSIGN(delegation.role, read_role(reader));
  VERGE_ASSIGN(delegation.terminating, reader.flag("terminating"));
  if (delegation.name.empty() || is_top_level(delegation.name)) {
    return reader.complaint("name", fmt::format("may not be '{}' in a delegation", delegation.name));
  }
  if (reader.has("paths") == reader.has("path_hash_prefixes")) {
    return reader.complaint("paths", "or 'path_hash_prefixes' must be there, and not both");
  }
  if (reader.has("paths")) {
    VERGE_ASSIGN(delegation.paths, reader.texts("paths"));
  } else {
    VERGE_ASSIGN(delegation.path_hash_prefixes, reader.texts("path_hash_prefixes"));
  }
  return delegation;
}

Result<HashBins> read_bins(const Reader& reader) {
  HashBins bins;
  VERGE_ASSIGN(bins.role, read_role(reader));
  VERGE_ASSIGN(const auto bits, reader.number("bit_length", 1, 32));
  bins.bit_length = static_cast<int>(bits);
  VERGE_ASSIGN(bins.name_prefix, reader.text("name_prefix"));
  return bins;
}

Result<Delegations> read_delegations(const Reader& reader) {
  Delegations delegations;
  VERGE_ASSIGN(const Node* keys, reader.member("keys", Kind::map));
  delegations.keys = read_keys(*keys);
  if (reader.has("roles") == reader.has("succinct_roles")) {
    return reader.complaint("roles", "or 'succinct_roles' must be there, and not both");
  }
  if (reader.has("succinct_roles")) {
    VERGE_ASSIGN(const Node* bins, reader.member("succinct_roles", Kind::map));
    VERGE_ASSIGN(delegations.bins, read_bins(reader.in(*bins)));
    return delegations;
  }
  VERGE_ASSIGN(const Node* roles, reader.member("roles", Kind::list));
  std::set<std::string> names;
  for (const auto& node : roles->items) {
    VERGE_ASSIGN(Delegation one, read_delegation(reader.in(node)));
    if (!names.insert(one.name).second) return reader.complaint("roles", fmt::format("has '{}' twice", one.name));
    delegations.roles.push_back(std::move(one));
  }
  return delegations;
}

Result<std::vector<Signature>> read_signatures(const Reader& reader) {
  VERGE_ASSIGN(const Node* list, reader.member("signatures", Kind::list));
  std::vector<Signature> signatures;
  std::set<std::string> ids;
  for (const auto& node : list->items) {
    VERGE_ASSIGN(std::string id, reader.in(node).text("keyid"));
    VERGE_ASSIGN(const std::string value, reader.in(node).text("sig"));
    if (!ids.insert(id).second) return reader.complaint("signatures", fmt::format("has two of key '{}'", id));
    signatures.push_back({std::move(id), bytes_of_hex(value)});
  }
  return signatures;
}

}  // namespace

bool is_top_level(std::string_view role) {
  return role == kRoot || role == kTimestamp || role == kSnapshot || role == kTargets;
}

std::string time_text(std::int64_t time_s) {
  const std::time_t time = time_s;
  std::tm parts{};
  gmtime_r(&time, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

Result<SignedFile> open_signed(std::string_view text, std::string_view type, std::string_view role) {
  auto document = wire::parse_json(text, role);
  if (!document) return not_metadata(role, document.error().message());
  const Reader whole(*document, role);
  SignedFile file;
  file.header.role = role;
  VERGE_ASSIGN(file.signatures, read_signatures(whole));
  VERGE_ASSIGN(const Node* content, whole.member("signed", Kind::map));
  const Reader reader = whole.in(*content);
  VERGE_ASSIGN(const std::string found, reader.text("_type"));
  if (found != type) return reader.complaint("_type", fmt::format("is '{}' where '{}' is expected", found, type));
  VERGE_ASSIGN(const std::string specification, reader.text("spec_version"));
  if (!specification.starts_with("1.")) {
    return reader.complaint("spec_version", fmt::format("is '{}' where '1.x' is expected", specification));
  }
  VERGE_ASSIGN(file.header.version, reader.number("version", 1));
  VERGE_ASSIGN(file.header.expires, reader.text("expires"));
  const auto expires = seconds_of(file.header.expires);
  if (!expires) return reader.complaint("expires", "is no time such as '2026-11-25T00:00:00Z'");
  file.header.expires_s = *expires;
  VERGE_ASSIGN(file.message, canonical_json(*content));
  file.content = *content;
  return file;
}

Result<Root> read_root(const SignedFile& file) {
  const Reader reader(file.content, file.header.role);
  Root root{file.header, {}, {}, false};
  VERGE_ASSIGN(const Node* keys, reader.member("keys", Kind::map));
  root.keys = read_keys(*keys);
  VERGE_ASSIGN(const Node* roles, reader.member("roles", Kind::map));
  for (const std::string_view name : {kRoot, kTimestamp, kSnapshot, kTargets}) {
    VERGE_ASSIGN(const Node* node, reader.in(*roles).member(name, Kind::map));
    VERGE_ASSIGN(Role role, read_role(reader.in(*node)));
    root.roles.emplace(name, std::move(role));
  }
  if (reader.has("consistent_snapshot")) {
    VERGE_ASSIGN(root.consistent_snapshot, reader.flag("consistent_snapshot"));
  }
  return root;
}

Result<Timestamp> read_timestamp(const SignedFile& file) {
  VERGE_ASSIGN(auto files, read_meta(file));
  const auto snapshot = files.find("snapshot.json");
  if (snapshot == files.end()) return not_metadata(kTimestamp, "it says nothing of 'snapshot.json'");
  return Timestamp{file.header, std::move(snapshot->second)};
}

Result<Snapshot> read_snapshot(const SignedFile& file) {
  VERGE_ASSIGN(auto files, read_meta(file));
  return Snapshot{file.header, std::move(files)};
}

Result<Targets> read_targets(const SignedFile& file) {
  const Reader reader(file.content, file.header.role);
  Targets targets{file.header, {}, {}};
  VERGE_ASSIGN(const Node* list, reader.member("targets", Kind::map));
  for (const auto& [path, node] : list->members) {
    VERGE_ASSIGN(Target target, read_target(reader.in(node), path, node));
    targets.targets.emplace(path, std::move(target));
  }
  if (reader.has("delegations")) {
    VERGE_ASSIGN(const Node* delegations, reader.member("delegations", Kind::map));
    VERGE_ASSIGN(targets.delegations, read_delegations(reader.in(*delegations)));
  }
  return targets;
}

Result<void> check_signatures(const SignedFile& file, const Role& role, const KeySet& keys) {
  const auto count = count_signers(role, keys, file.signatures, file.message);
  if (count >= role.threshold) return {};
  return Error(ErrorCode::unauthenticated, "VRG-TUF-001",
               fmt::format("expected role '{}' version {} to be signed by at least {} of its {} keys, got {} valid "
                           "signatures",
                           file.header.role, file.header.version, role.threshold, role.key_ids.size(), count));
}

Result<void> check_expiry(const Header& header, std::int64_t now_s) {
  if (now_s < header.expires_s) return {};
  return Error(ErrorCode::failed_precondition, "VRG-TUF-005",
               fmt::format("role '{}' version {} expired at {}, and this clock says {}; the repository must sign it "
                           "again, or the clock is wrong",
                           header.role, header.version, header.expires, time_text(now_s)));
}

DigestMatch match_digest(std::string_view algorithm, std::string_view hex, std::string_view content) {
  std::string digest;
  if (algorithm == "sha256") {
    digest = crypto::sha256(content);
  } else if (algorithm == "sha512") {
    digest = crypto::sha512(content);
  } else {
    return DigestMatch::unknown;
  }
  return std::string_view(digest).substr(algorithm.size() + 1) == hex ? DigestMatch::same : DigestMatch::other;
}

Result<void> check_content(const FileMeta& declared, std::string_view content, std::string_view name) {
  if (declared.length_bytes && *declared.length_bytes != content.size()) {
    return Error(ErrorCode::data_loss, "VRG-TUF-003",
                 fmt::format("expected '{}' to have {} bytes, got {}", name, *declared.length_bytes, content.size()));
  }
  bool checked = declared.hashes.empty();
  for (const auto& [algorithm, hex] : declared.hashes) {
    const auto match = match_digest(algorithm, hex, content);
    checked = checked || match == DigestMatch::same;
    if (match == DigestMatch::other) {
      return Error(ErrorCode::data_loss, "VRG-TUF-003",
                   fmt::format("expected '{}' to have the {} digest {}, got another", name, algorithm, hex));
    }
  }
  if (checked) return {};
  return Error(ErrorCode::data_loss, "VRG-TUF-003",
               fmt::format("expected '{}' to be declared with a sha256 or sha512 digest, got none of them", name));
}

}  // namespace verge::trust
