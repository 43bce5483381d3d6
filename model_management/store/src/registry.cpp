// The registry's manifests, tags, blobs and uploads.
#include "query.hpp"

namespace verge::hub {
namespace {

auto manifest_columns(ManifestRecord& r) {
  return std::tie(r.repository, r.digest, r.media_type, r.artifact_type, r.subject, r.annotations, r.size_bytes);
}
const std::string kManifest = "repository, digest, media_type, artifact_type, subject, annotations, size_bytes";

auto blob_columns(BlobRecord& r) {
  return std::tie(r.repository, r.digest, r.size_bytes);
}
const std::string kBlob = "repository, digest, size_bytes";

auto repository_columns(RepositoryRecord& r) {
  return std::tie(r.repository, r.size_bytes, r.manifests, r.tags);
}

auto upload_columns(UploadRecord& r) {
  return std::tie(r.id, r.repository, r.created_ms, r.used_ms);
}
const std::string kUpload = "id, repository, created_ms, used_ms";

}  // namespace

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

void Transaction::link_blob(const std::string& repository, const std::string& digest, std::int64_t size_bytes) {
  execute(state_.sql, "insert or replace into blobs (repository, digest, size_bytes) values (:r, :d, :s)", repository,
          digest, size_bytes);
}

bool Transaction::has_blob(const std::string& repository, const std::string& digest) {
  return number_of(state_.sql, "select count(*) from blobs where repository = :r and digest = :d", repository, digest) >
         0;
}

bool Transaction::has_blob(const std::string& digest) {
  return number_of(state_.sql, "select count(*) from blobs where digest = :d", digest) > 0;
}

bool Transaction::remove_blob(const std::string& repository, const std::string& digest) {
  return execute(state_.sql, "delete from blobs where repository = :r and digest = :d", repository, digest) > 0;
}

bool Transaction::blob_in_use(const std::string& digest) {
  return number_of(
             state_.sql,
             "select (select count(*) from blobs where digest = :a) + "
             "(select count(*) from manifest_blobs where blob = :b) + "
             "(select count(*) from manifests where digest = :c) + (select count(*) from versions where digest = :d) + "
             "(select count(*) from desired where digest = :e)",
             digest, digest, digest, digest, digest) > 0;
}

bool Transaction::blob_named(const std::string& repository, const std::string& digest) {
  return number_of(state_.sql,
                   "select count(*) from manifest_blobs join manifests on manifests.digest = manifest_blobs.manifest "
                   "where manifests.repository = :r and manifest_blobs.blob = :d",
                   repository, digest) > 0;
}

void Transaction::add(const UploadRecord& upload) {
  insert(state_.sql, "insert into uploads (" + kUpload + ")", upload_columns, upload);
}

std::optional<UploadRecord> Transaction::upload(const std::string& id) {
  return select_one<UploadRecord>(state_.sql, "select " + kUpload + " from uploads where id = :i", upload_columns, id);
}

std::vector<UploadRecord> Transaction::uploads() {
  return select<UploadRecord>(state_.sql, "select " + kUpload + " from uploads", upload_columns);
}

void Transaction::remove_upload(const std::string& id) {
  execute(state_.sql, "delete from uploads where id = :i", id);
}

void Transaction::use_upload(const std::string& id, std::int64_t now_ms) {
  execute(state_.sql, "update uploads set used_ms = :n where id = :i", now_ms, id);
}

std::vector<BlobRecord> Transaction::unnamed_blobs() {
  return select<BlobRecord>(
      state_.sql,
      "select " + kBlob +
          " from blobs where not exists (select 1 from manifest_blobs join manifests on manifests.digest = "
          "manifest_blobs.manifest where manifests.repository = blobs.repository and manifest_blobs.blob = "
          "blobs.digest) order by repository, digest",
      blob_columns);
}

std::vector<ManifestRecord> Transaction::unreachable_manifests() {
  return select<ManifestRecord>(
      state_.sql,
      "select " + kManifest +
          " from manifests as m where not exists (select 1 from tags where tags.repository = m.repository and "
          "tags.digest = m.digest) and not exists (select 1 from manifest_blobs join manifests as i on i.digest = "
          "manifest_blobs.manifest where manifest_blobs.blob = m.digest and i.repository = m.repository) and not "
          "exists "
          "(select 1 from manifests as s where s.repository = m.repository and s.digest = m.subject) and not exists "
          "(select 1 from versions where versions.digest = m.digest) and not exists "
          "(select 1 from desired where desired.digest = m.digest) order by repository, digest",
      manifest_columns);
}

std::vector<BlobRecord> Transaction::unmeasured_blobs() {
  return select<BlobRecord>(state_.sql, "select " + kBlob + " from blobs where size_bytes < 0", blob_columns);
}

std::vector<std::string> Transaction::needed_content() {
  return texts_of(state_.sql,
                  "select digest from blobs union select blob from manifest_blobs union select digest from manifests "
                  "union select digest from versions union select digest from desired");
}

std::int64_t Transaction::registry_bytes() {
  return number_of(state_.sql,
                   "select coalesce(sum(bytes), 0) from (select digest, max(size_bytes) as bytes from (select digest, "
                   "size_bytes from blobs union all select digest, size_bytes from manifests) group by digest)");
}

std::int64_t Transaction::repository_bytes(const std::string& repository) {
  return number_of(state_.sql,
                   "select (select coalesce(sum(size_bytes), 0) from blobs where repository = :r) + "
                   "(select coalesce(sum(size_bytes), 0) from manifests where repository = :s)",
                   repository, repository);
}

std::vector<RepositoryRecord> Transaction::repositories() {
  return select<RepositoryRecord>(
      state_.sql,
      "select r.repository, (select coalesce(sum(size_bytes), 0) from blobs where blobs.repository = r.repository) + "
      "(select coalesce(sum(size_bytes), 0) from manifests where manifests.repository = r.repository), "
      "(select count(*) from manifests where manifests.repository = r.repository), "
      "(select count(*) from tags where tags.repository = r.repository) "
      "from (select repository from manifests union select repository from blobs) as r order by r.repository",
      repository_columns);
}

}  // namespace verge::hub
