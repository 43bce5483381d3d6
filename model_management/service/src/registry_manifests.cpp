// Manifests, tags and referrers.
#include <fmt/format.h>

#include "core.hpp"
#include "manifests.hpp"
#include "references.hpp"
#include "verge/hub/registry.hpp"

namespace verge::hub {
namespace {

/// Of what is read: an older hub took more than kManifestLimitBytes.
constexpr std::uint64_t kReadLimitBytes = std::uint64_t{8} << 20U;
constexpr std::size_t kReferrersLimitBytes = std::size_t{4} << 20U;

Error no_manifest(const std::string& repository, const std::string& reference) {
  return Error(ErrorCode::not_found, "VRG-OCI-005",
               fmt::format("the repository '{}' has no manifest '{}'", repository, reference));
}

std::string resolve(Transaction& store, const std::string& repository, const std::string& reference) {
  return names_digest(reference) ? reference : store.tag(repository, reference);
}

/// All that the manifest names must be in its repository.
Result<void> check_named(Core& core, Transaction& store, const std::string& repository, const ParsedManifest& parsed) {
  for (const auto& blob : parsed.blobs) {
    if (store.has_blob(repository, blob) && core.blobs.has(blob)) continue;
    return Error(
        ErrorCode::not_found, "VRG-OCI-007",
        fmt::format("the manifest names the blob {}, which '{}' does not have; push it first", blob, repository));
  }
  for (const auto& child : parsed.manifests) {
    if (store.manifest(repository, child)) continue;
    return Error(
        ErrorCode::not_found, "VRG-OCI-007",
        fmt::format("the index names the manifest {}, which '{}' does not have; push it first", child, repository));
  }
  return {};
}

/// The version that the manifest becomes with these tags, if any.
Result<std::optional<VersionRecord>> judge(Core& core, Transaction& store, const ParsedManifest& parsed,
                                           const std::vector<std::string>& tags) {
  std::optional<VersionRecord> version;
  if (parsed.kind.empty()) return version;
  if (!parsed.all_sha256) {
    if (tags.empty()) return version;
    return Error(ErrorCode::invalid_argument, "VRG-HUB-029",
                 fmt::format("expected a package with sha256 digests only, since devices fetch and check it by "
                             "them, got {}; push it with sha256, or without a tag",
                             parsed.record.digest));
  }
  if (tags.empty()) return judge_package(core, store, parsed, "");
  for (const auto& tag : tags) {
    VERGE_ASSIGN(auto made, judge_package(core, store, parsed, tag));
    if (made) version = std::move(made);
  }
  return version;
}

wire::Node descriptor_of(const ManifestRecord& record) {
  auto node = wire::Node::map();
  node.add("mediaType", wire::Node::string(record.media_type));
  node.add("digest", wire::Node::string(record.digest));
  node.add("size", wire::Node::integer(record.size_bytes));
  if (!record.artifact_type.empty()) node.add("artifactType", wire::Node::string(record.artifact_type));
  if (auto annotations = wire::parse_json(record.annotations, "hub.db"); annotations && !annotations->members.empty()) {
    node.add("annotations", std::move(*annotations));
  }
  return node;
}

}  // namespace

Result<Registry::Manifest> Registry::manifest(const Principal& caller, const std::string& repository,
                                              const std::string& reference) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  if (names_digest(reference)) VERGE_TRY(check_digest(reference));
  return core_.read<Manifest>([&](Transaction& store) -> Result<Manifest> {
    const auto digest = resolve(store, repository, reference);
    const auto record = store.manifest(repository, digest);
    if (!record) return no_manifest(repository, reference);
    VERGE_ASSIGN(auto content, core_.blobs.read(digest, kReadLimitBytes));
    note_use(repository, digest);
    return Manifest{digest, record->media_type, std::move(content), record->subject};
  });
}

Result<Registry::Manifest> Registry::put_manifest(const Principal& caller, const std::string& repository,
                                                  const std::string& reference, const std::string& media_type,
                                                  const std::string& content, const std::vector<std::string>& tags) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  const bool by_digest = names_digest(reference);
  const auto all_tags = by_digest ? tags : std::vector<std::string>{reference};
  if (by_digest) VERGE_TRY(check_digest(reference));
  for (const auto& tag : all_tags) VERGE_TRY(check_tag(tag));
  const auto algorithm = crypto::algorithm_of(reference).value_or(crypto::DigestAlgorithm::sha256);
  VERGE_ASSIGN(auto parsed, parse_manifest(content, media_type, algorithm));
  parsed.record.repository = repository;
  if (by_digest && reference != parsed.record.digest) {
    return Error(
        ErrorCode::data_loss, "VRG-HUB-004",
        fmt::format("expected a manifest with the digest {}, got {}; push it again", reference, parsed.record.digest));
  }
  return core_.change<Manifest>([&](Change& change) -> Result<Manifest> {
    VERGE_TRY(check_named(core_, change.store, repository, parsed));
    VERGE_ASSIGN(auto version, judge(core_, change.store, parsed, all_tags));
    if (!change.store.manifest(repository, parsed.record.digest)) {
      VERGE_TRY(check_quotas(change.store, repository, content.size(), content.size()));
    }
    VERGE_TRY(core_.blobs.write(content, algorithm));
    auto named = parsed.blobs;
    named.insert(named.end(), parsed.manifests.begin(), parsed.manifests.end());
    change.store.put(parsed.record, named);
    note_use(repository, parsed.record.digest);
    for (const auto& tag : all_tags) change.store.put_tag(repository, tag, parsed.record.digest);
    if (version) {
      version->created_by = caller.who();
      change.store.add(*version);
      change.targets = true;
      core_.event(change.store, caller, version->kind + ".push", version->name + " " + version->version,
                  version->digest);
    }
    return Manifest{parsed.record.digest, parsed.record.media_type, content, parsed.record.subject};
  });
}

Result<void> Registry::delete_manifest(const Principal& caller, const std::string& repository,
                                       const std::string& reference) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  if (names_digest(reference)) VERGE_TRY(check_digest(reference));
  std::string removed;
  VERGE_TRY(core_.store->transaction([&](Transaction& store) -> Result<void> {
    const auto digest = resolve(store, repository, reference);
    if (!store.manifest(repository, digest)) return no_manifest(repository, reference);
    for (const auto& version : store.versions()) {
      if (version.digest != digest || version.repository != repository) continue;
      return Error(ErrorCode::failed_precondition, "VRG-HUB-028",
                   fmt::format("{} is '{}' {}; delete that version instead: verge model delete {} {}", digest,
                               version.name, version.version, version.name, version.version));
    }
    if (names_digest(reference)) {
      store.remove_manifest(repository, digest);
      removed = digest;
    } else {
      store.remove_tag(repository, reference);
    }
    return {};
  }));
  if (!removed.empty()) core_.sweep(removed);
  return {};
}

Result<std::vector<std::string>> Registry::tags(const Principal& caller, const std::string& repository) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_.read<std::vector<std::string>>([&](Transaction& store) -> Result<std::vector<std::string>> {
    if (!store.has_repository(repository)) {
      return Error(ErrorCode::not_found, "VRG-OCI-008", fmt::format("this hub has no repository '{}'", repository));
    }
    return store.tags(repository);
  });
}

Result<Registry::Referrers> Registry::referrers(const Principal& caller, const std::string& repository,
                                                const std::string& digest, const std::string& artifact_type,
                                                const std::string& after) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  VERGE_TRY(check_digest(digest));
  return core_.read<Referrers>([&](Transaction& store) -> Result<Referrers> {
    Referrers found;
    std::size_t size_bytes = 0;
    std::string last;
    auto list = wire::Node::list();
    for (const auto& record : store.referrers(repository, digest)) {
      if (!artifact_type.empty() && record.artifact_type != artifact_type) continue;
      if (record.digest <= after) continue;
      size_bytes += record.annotations.size() + record.media_type.size() + record.artifact_type.size() + 300;
      if (size_bytes > kReferrersLimitBytes && !list.items.empty()) {
        found.next = last;
        break;
      }
      last = record.digest;
      list.items.push_back(descriptor_of(record));
    }
    auto index = wire::Node::map();
    index.add("schemaVersion", wire::Node::integer(2));
    index.add("mediaType", wire::Node::string("application/vnd.oci.image.index.v1+json"));
    index.add("manifests", std::move(list));
    found.index = wire::write_json_line(index);
    return found;
  });
}

Result<std::vector<std::string>> Registry::repositories(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_.read<std::vector<std::string>>([&](Transaction& store) -> Result<std::vector<std::string>> {
    std::vector<std::string> names;
    for (auto& record : store.repositories()) names.push_back(std::move(record.repository));
    return names;
  });
}

}  // namespace verge::hub
