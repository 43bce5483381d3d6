// Models, applications, and the registry's manifests, tags and blobs.
#include "query.hpp"

namespace verge::hub {
namespace {

auto version_columns(VersionRecord& r) {
  return std::tie(r.kind, r.name, r.version, r.digest, r.repository, r.content_bytes, r.size_bytes, r.custom,
                  r.document, r.created_ms, r.created_by);
}
const std::string kVersion =
    "kind, name, version, digest, repository, content_bytes, size_bytes, custom, document, created_ms, created_by";

auto manifest_columns(ManifestRecord& r) {
  return std::tie(r.repository, r.digest, r.media_type, r.artifact_type, r.subject, r.annotations, r.size_bytes);
}
const std::string kManifest = "repository, digest, media_type, artifact_type, subject, annotations, size_bytes";

auto upload_columns(UploadRecord& r) {
  return std::tie(r.id, r.repository, r.created_ms);
}

}  // namespace

void Transaction::add(const VersionRecord& version) {
  insert(state_.sql, "insert into versions (" + kVersion + ")", version_columns, version);
}

void Transaction::remove_version(const std::string& kind, const std::string& name, const std::string& version) {
  execute(state_.sql, "delete from versions where kind = :k and name = :n and version = :v", kind, name, version);
}

std::vector<VersionRecord> Transaction::versions() {
  return select<VersionRecord>(state_.sql, "select " + kVersion + " from versions order by name, created_ms",
                               version_columns);
}

std::vector<VersionRecord> Transaction::versions_of(const std::string& name) {
  return select<VersionRecord>(state_.sql, "select " + kVersion + " from versions where name = :n", version_columns,
                               name);
}

std::optional<VersionRecord> Transaction::version(const std::string& name, const std::string& version) {
  return select_one<VersionRecord>(state_.sql, "select " + kVersion + " from versions where name = :n and version = :v",
                                   version_columns, name, version);
}

std::optional<VersionRecord> Transaction::version_by_digest(const std::string& name, const std::string& digest) {
  return select_one<VersionRecord>(state_.sql, "select " + kVersion + " from versions where name = :n and digest = :d",
                                   version_columns, name, digest);
}

std::map<std::string, std::string> Transaction::floors() {
  using Row = std::pair<std::string, std::string>;
  std::map<std::string, std::string> floors;
  for (auto& row : select<Row>(state_.sql, "select name, version from floors",
                               [](Row& r) { return std::tie(r.first, r.second); })) {
    floors.insert(std::move(row));
  }
  return floors;
}

void Transaction::set_floor(const std::string& name, const std::string& version) {
  execute(state_.sql, "delete from floors where name = :n", name);
  if (!version.empty()) {
    execute(state_.sql, "insert into floors (name, version) values (:n, :v)", name, version);
  }
}

void Transaction::put(const ManifestRecord& manifest, const std::vector<std::string>& blobs) {
  const auto touched = execute(state_.sql, "update manifests set media_type = :m where repository = :r and digest = :d",
                               manifest.media_type, manifest.repository, manifest.digest);
  if (touched == 0) insert(state_.sql, "insert into manifests (" + kManifest + ")", manifest_columns, manifest);
  for (const auto& blob : blobs) {
    execute(state_.sql, "insert or ignore into manifest_blobs (manifest, blob) values (:m, :b)", manifest.digest, blob);
  }
}

std::optional<ManifestRecord> Transaction::manifest(const std::string& repository, const std::string& digest) {
  return select_one<ManifestRecord>(state_.sql,
                                    "select " + kManifest + " from manifests where repository = :r and digest = :d",
                                    manifest_columns, repository, digest);
}

std::vector<ManifestRecord> Transaction::referrers(const std::string& repository, const std::string& subject) {
  return select<ManifestRecord>(
      state_.sql, "select " + kManifest + " from manifests where repository = :r and subject = :s order by digest",
      manifest_columns, repository, subject);
}

bool Transaction::remove_manifest(const std::string& repository, const std::string& digest) {
  execute(state_.sql, "delete from tags where repository = :r and digest = :d", repository, digest);
  const bool found =
      execute(state_.sql, "delete from manifests where repository = :r and digest = :d", repository, digest) > 0;
  if (number_of(state_.sql, "select count(*) from manifests where digest = :d", digest) == 0) {
    execute(state_.sql, "delete from manifest_blobs where manifest = :d", digest);
  }
  return found;
}

void Transaction::put_tag(const std::string& repository, const std::string& tag, const std::string& digest) {
  execute(state_.sql, "insert or replace into tags (repository, tag, digest) values (:r, :t, :d)", repository, tag,
          digest);
}

std::string Transaction::tag(const std::string& repository, const std::string& tag) {
  return text_of(state_.sql, "select digest from tags where repository = :r and tag = :t", repository, tag);
}

bool Transaction::remove_tag(const std::string& repository, const std::string& tag) {
  return execute(state_.sql, "delete from tags where repository = :r and tag = :t", repository, tag) > 0;
}

std::vector<std::string> Transaction::tags(const std::string& repository) {
  return texts_of(state_.sql, "select tag from tags where repository = :r order by tag", repository);
}

bool Transaction::has_repository(const std::string& repository) {
  return number_of(state_.sql,
                   "select (select count(*) from manifests where repository = :r) + "
                   "(select count(*) from blobs where repository = :s)",
                   repository, repository) > 0;
}

void Transaction::link_blob(const std::string& repository, const std::string& digest) {
  execute(state_.sql, "insert or ignore into blobs (repository, digest) values (:r, :d)", repository, digest);
}

bool Transaction::has_blob(const std::string& repository, const std::string& digest) {
  return number_of(state_.sql, "select count(*) from blobs where repository = :r and digest = :d", repository, digest) >
         0;
}

bool Transaction::remove_blob(const std::string& repository, const std::string& digest) {
  return execute(state_.sql, "delete from blobs where repository = :r and digest = :d", repository, digest) > 0;
}

bool Transaction::blob_in_use(const std::string& digest) {
  return number_of(
             state_.sql,
             "select (select count(*) from blobs where digest = :a) + "
             "(select count(*) from manifest_blobs where blob = :b) + "
             "(select count(*) from manifests where digest = :c) + (select count(*) from versions where digest = :d)",
             digest, digest, digest, digest) > 0;
}

bool Transaction::blob_named(const std::string& repository, const std::string& digest) {
  return number_of(state_.sql,
                   "select count(*) from manifest_blobs join manifests on manifests.digest = manifest_blobs.manifest "
                   "where manifests.repository = :r and manifest_blobs.blob = :d",
                   repository, digest) > 0;
}

std::vector<std::string> Transaction::blobs_of(const std::string& manifest_digest) {
  return texts_of(state_.sql, "select blob from manifest_blobs where manifest = :m order by blob", manifest_digest);
}

void Transaction::add(const UploadRecord& upload) {
  insert(state_.sql, "insert into uploads (id, repository, created_ms)", upload_columns, upload);
}

std::optional<UploadRecord> Transaction::upload(const std::string& id) {
  return select_one<UploadRecord>(state_.sql, "select id, repository, created_ms from uploads where id = :i",
                                  upload_columns, id);
}

std::vector<UploadRecord> Transaction::uploads() {
  return select<UploadRecord>(state_.sql, "select id, repository, created_ms from uploads", upload_columns);
}

void Transaction::remove_upload(const std::string& id) {
  execute(state_.sql, "delete from uploads where id = :i", id);
}

}  // namespace verge::hub
