#include "verge/hub/registry.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core.hpp"
#include "manifests.hpp"
#include "verge/crypto/random.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::hub {
namespace {

constexpr std::uint64_t kManifestLimitBytes = std::uint64_t{4} << 20U;

Error no_blob(const std::string& repository, const std::string& digest) {
  return Error(ErrorCode::not_found, "VRG-OCI-001",
               fmt::format("the repository '{}' has no blob {}; push it first", repository, digest));
}

Error no_upload(const std::string& id) {
  return Error(ErrorCode::not_found, "VRG-OCI-002", fmt::format("no upload '{}' is under way; begin another", id));
}

Error no_manifest(const std::string& repository, const std::string& reference) {
  return Error(ErrorCode::not_found, "VRG-OCI-005",
               fmt::format("the repository '{}' has no manifest '{}'", repository, reference));
}

/// As the distribution specification has it; answers name the tag in their headers.
Result<void> check_tag(std::string_view tag) {
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  const bool good = !tag.empty() && tag.size() <= 128 && is_word(tag.front()) &&
                    std::ranges::all_of(tag, [&](char c) { return is_word(c) || c == '.' || c == '-'; });
  if (good) return {};
  return Error(ErrorCode::invalid_argument, "VRG-OCI-011",
               fmt::format("expected a tag such as 1.0.0 (at most 128 letters, digits, '_', '.' or '-') or a digest "
                           "such as sha256:…, got '{}'",
                           tag));
}

Result<void> check_upload(Transaction& store, const std::string& repository, const std::string& id) {
  const auto upload = store.upload(id);
  if (!upload || upload->repository != repository) return no_upload(id);
  return {};
}

}  // namespace

Result<Registry::Blob> Registry::blob(const Principal& caller, const std::string& repository,
                                      const std::string& digest) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_.read<Blob>([&](Transaction& store) -> Result<Blob> {
    if (!store.has_blob(repository, digest)) return no_blob(repository, digest);
    VERGE_ASSIGN(const auto size_bytes, core_.blobs.size_bytes(digest));
    return Blob{core_.blobs.path(digest), digest, size_bytes};
  });
}

Result<void> Registry::delete_blob(const Principal& caller, const std::string& repository, const std::string& digest) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  return core_.store->transaction([&](Transaction& store) -> Result<void> {
    if (store.blob_named(repository, digest)) {
      return Error(ErrorCode::failed_precondition, "VRG-OCI-009",
                   fmt::format("a manifest of '{}' names the blob {}; delete the manifest first", repository, digest));
    }
    if (!store.remove_blob(repository, digest)) return no_blob(repository, digest);
    if (!store.blob_in_use(digest)) core_.blobs.remove(digest);
    return {};
  });
}

Result<Registry::Upload> Registry::begin_upload(const Principal& caller, const std::string& repository) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  Upload upload{crypto::random_hex(16), 0};
  VERGE_TRY(core_.blobs.begin_upload(upload.id));
  VERGE_TRY(core_.store->transaction([&](Transaction& store) -> Result<void> {
    store.add(UploadRecord{upload.id, repository, core_.now()});
    return {};
  }));
  return upload;
}

Result<bool> Registry::mount(const Principal& caller, const std::string& repository, const std::string& digest,
                             const std::string& from) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  return core_.read<bool>([&](Transaction& store) -> Result<bool> {
    const bool there =
        crypto::is_sha256(digest) && !from.empty() && store.has_blob(from, digest) && core_.blobs.has(digest);
    if (there) store.link_blob(repository, digest);
    return there;
  });
}

Result<Registry::Upload> Registry::upload(const Principal& caller, const std::string& repository,
                                          const std::string& id) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  return core_.read<Upload>([&](Transaction& store) -> Result<Upload> {
    VERGE_TRY(check_upload(store, repository, id));
    return Upload{id, core_.blobs.upload_size_bytes(id)};
  });
}

Result<Registry::Upload> Registry::append(const Principal& caller, const std::string& repository, const std::string& id,
                                          const std::filesystem::path& file, std::optional<std::uint64_t> start) {
  VERGE_ASSIGN(auto there, upload(caller, repository, id));
  if (start && *start != there.size_bytes) {
    return Error(
        ErrorCode::out_of_range, "VRG-OCI-003",
        fmt::format("expected the piece that begins at byte {}, got one that begins at {}; ask where the upload "
                    "stands and go on from there",
                    there.size_bytes, *start));
  }
  if (!file.empty()) VERGE_TRY(core_.blobs.append(id, file));
  there.size_bytes = core_.blobs.upload_size_bytes(id);
  return there;
}

Result<Registry::Blob> Registry::finish(const Principal& caller, const std::string& repository, const std::string& id,
                                        const std::string& digest) {
  VERGE_TRY(upload(caller, repository, id));
  if (!crypto::is_sha256(digest)) {
    return Error(ErrorCode::invalid_argument, "VRG-OCI-004",
                 fmt::format("expected a digest such as sha256:… with 64 hexadecimal digits, got '{}'", digest));
  }
  VERGE_TRY(core_.blobs.finish(id, digest));
  return core_.read<Blob>([&](Transaction& store) -> Result<Blob> {
    store.remove_upload(id);
    store.link_blob(repository, digest);
    // Under the database's lock: nobody deletes it between the two.
    VERGE_ASSIGN(const auto size_bytes, core_.blobs.size_bytes(digest));
    return Blob{core_.blobs.path(digest), digest, size_bytes};
  });
}

Result<void> Registry::cancel(const Principal& caller, const std::string& repository, const std::string& id) {
  VERGE_TRY(upload(caller, repository, id));
  core_.blobs.drop(id);
  return core_.store->transaction([&](Transaction& store) -> Result<void> {
    store.remove_upload(id);
    return {};
  });
}

Result<Registry::Manifest> Registry::manifest(const Principal& caller, const std::string& repository,
                                              const std::string& reference) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_.read<Manifest>([&](Transaction& store) -> Result<Manifest> {
    const auto digest = crypto::is_sha256(reference) ? reference : store.tag(repository, reference);
    const auto record = store.manifest(repository, digest);
    if (!record) return no_manifest(repository, reference);
    VERGE_ASSIGN(auto content, core_.blobs.read(digest, kManifestLimitBytes));
    return Manifest{digest, record->media_type, std::move(content), record->subject};
  });
}

Result<Registry::Manifest> Registry::put_manifest(const Principal& caller, const std::string& repository,
                                                  const std::string& reference, const std::string& media_type,
                                                  const std::string& content) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  VERGE_ASSIGN(auto parsed, parse_manifest(content, media_type));
  parsed.record.repository = repository;
  const bool by_digest = reference.starts_with("sha256:");
  if (!by_digest) VERGE_TRY(check_tag(reference));
  if (by_digest && reference != parsed.record.digest) {
    return Error(
        ErrorCode::data_loss, "VRG-HUB-004",
        fmt::format("expected a manifest with the digest {}, got {}; push it again", reference, parsed.record.digest));
  }
  return core_.change<Manifest>([&](Change& change) -> Result<Manifest> {
    for (const auto& blob : parsed.blobs) {
      if (!change.store.has_blob(repository, blob) || !core_.blobs.has(blob)) {
        return Error(
            ErrorCode::not_found, "VRG-OCI-007",
            fmt::format("the manifest names the blob {}, which '{}' does not have; push it first", blob, repository));
      }
    }
    for (const auto& child : parsed.manifests) {
      if (!change.store.manifest(repository, child)) {
        return Error(
            ErrorCode::not_found, "VRG-OCI-007",
            fmt::format("the index names the manifest {}, which '{}' does not have; push it first", child, repository));
      }
    }
    std::optional<VersionRecord> version;
    if (parsed.is_model) {
      VERGE_ASSIGN(version, judge_model(core_, change.store, parsed, by_digest ? "" : reference));
    }
    VERGE_TRY(core_.blobs.write(content));
    auto named = parsed.blobs;
    named.insert(named.end(), parsed.manifests.begin(), parsed.manifests.end());
    change.store.put(parsed.record, named);
    if (!by_digest) change.store.put_tag(repository, reference, parsed.record.digest);
    if (version) {
      version->created_by = caller.who();
      change.store.add(*version);
      change.targets = true;
      core_.event(change.store, caller, "model.push", version->name + " " + version->version, version->digest);
    }
    return Manifest{parsed.record.digest, media_type, content, parsed.record.subject};
  });
}

Result<void> Registry::delete_manifest(const Principal& caller, const std::string& repository,
                                       const std::string& reference) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  return core_.store->transaction([&](Transaction& store) -> Result<void> {
    const auto digest = crypto::is_sha256(reference) ? reference : store.tag(repository, reference);
    if (!store.manifest(repository, digest)) return no_manifest(repository, reference);
    for (const auto& version : store.versions()) {
      if (version.digest != digest || version.repository != repository) continue;
      return Error(ErrorCode::failed_precondition, "VRG-HUB-028",
                   fmt::format("{} is the model '{}' {}; delete that version instead: verge model delete {} {}", digest,
                               version.name, version.version, version.name, version.version));
    }
    if (crypto::is_sha256(reference)) {
      store.remove_manifest(repository, digest);
      if (!store.blob_in_use(digest)) core_.blobs.remove(digest);
    } else {
      store.remove_tag(repository, reference);
    }
    return {};
  });
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

Result<std::string> Registry::referrers(const Principal& caller, const std::string& repository,
                                        const std::string& digest, const std::string& artifact_type) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_.read<std::string>([&](Transaction& store) -> Result<std::string> {
    auto list = wire::Node::list();
    for (const auto& record : store.referrers(repository, digest)) {
      if (!artifact_type.empty() && record.artifact_type != artifact_type) continue;
      auto node = wire::Node::map();
      node.add("mediaType", wire::Node::string(record.media_type));
      node.add("digest", wire::Node::string(record.digest));
      node.add("size", wire::Node::integer(record.size_bytes));
      if (!record.artifact_type.empty()) node.add("artifactType", wire::Node::string(record.artifact_type));
      if (auto annotations = wire::parse_json(record.annotations, "hub.db");
          annotations && !annotations->members.empty()) {
        node.add("annotations", std::move(*annotations));
      }
      list.items.push_back(std::move(node));
    }
    auto index = wire::Node::map();
    index.add("schemaVersion", wire::Node::integer(2));
    index.add("mediaType", wire::Node::string("application/vnd.oci.image.index.v1+json"));
    index.add("manifests", std::move(list));
    return wire::write_json_line(index);
  });
}

}  // namespace verge::hub
