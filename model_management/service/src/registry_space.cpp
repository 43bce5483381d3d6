// What the registry holds, what it may hold, and what of it is garbage.
#include <algorithm>
#include <limits>
#include <unordered_set>

#include <fmt/format.h>

#include "core.hpp"
#include "verge/hub/registry.hpp"

namespace verge::hub {
namespace {

constexpr std::int64_t kUploadLifeMs = std::int64_t{7} * 86400 * 1000;
constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

std::uint64_t left_of(std::uint64_t limit, std::uint64_t used) {
  return used < limit ? limit - used : 0;
}

std::uint64_t unsigned_of(std::int64_t bytes) {
  return static_cast<std::uint64_t>(std::max(bytes, std::int64_t{0}));
}

std::int64_t signed_of(std::uint64_t bytes) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(bytes, std::numeric_limits<std::int64_t>::max()));
}

std::uint64_t disk_left_bytes(const Core& core) {
  std::error_code error;
  const auto space = std::filesystem::space(core.blobs.uploads(), error);
  return error ? kNoLimit : left_of(space.available, core.setup.registry.disk_reserve_bytes);
}

Error full(std::string_view what, std::uint64_t limit, std::uint64_t used, std::uint64_t more,
           std::string_view option) {
  return Error(ErrorCode::resource_exhausted, "VRG-OCI-012",
               fmt::format("expected at most {} bytes in {}, got {} and {} more; delete what is not needed and run "
                           "'verge hub garbage-collect', or have the hub started with a larger {}",
                           limit, what, used, more, option));
}

}  // namespace

/// Of unfinished uploads, and of what is being appended to them; of all repositories when `repository` is empty.
std::uint64_t Registry::pending_bytes(Transaction& store, const std::string& repository) {
  const auto uploads = store.uploads();
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const auto& upload : uploads) {
    if (!repository.empty() && upload.repository != repository) continue;
    const auto turn = turns_.find(upload.id);
    sum += core_.blobs.upload_size_bytes(upload.id) + (turn == turns_.end() ? 0 : turn->second);
  }
  return sum;
}

Result<void> Registry::check_quotas(Transaction& store, const std::string& repository, std::uint64_t more_bytes,
                                    std::uint64_t new_bytes) {
  const auto& setup = core_.setup.registry;
  if (setup.quota_bytes > 0 && new_bytes > 0) {
    const auto used = unsigned_of(store.registry_bytes()) + pending_bytes(store, {});
    if (new_bytes > left_of(setup.quota_bytes, used)) {
      return full("the registry", setup.quota_bytes, used, new_bytes, "--registry-quota");
    }
  }
  if (setup.repository_quota_bytes > 0) {
    const auto used = unsigned_of(store.repository_bytes(repository)) + pending_bytes(store, repository);
    if (more_bytes > left_of(setup.repository_quota_bytes, used)) {
      return full(fmt::format("the repository '{}'", repository), setup.repository_quota_bytes, used, more_bytes,
                  "--repository-quota");
    }
  }
  return {};
}

Result<void> Registry::check_room(const std::string& repository, std::uint64_t more_bytes) {
  if (const auto left = disk_left_bytes(core_); more_bytes > left) {
    return Error(ErrorCode::resource_exhausted, "VRG-OCI-015",
                 fmt::format("expected room for {} bytes on the hub's disk, got {} ({} stay free for the hub itself); "
                             "free some space there",
                             more_bytes, left, core_.setup.registry.disk_reserve_bytes));
  }
  return core_.store->transaction(
      [&](Transaction& store) { return check_quotas(store, repository, more_bytes, more_bytes); });
}

std::uint64_t Registry::room_bytes(const std::string& repository) {
  const auto& setup = core_.setup.registry;
  auto room = disk_left_bytes(core_);
  if (setup.quota_bytes == 0 && setup.repository_quota_bytes == 0) return room;
  const auto asked = core_.store->transaction([&](Transaction& store) -> Result<void> {
    if (setup.quota_bytes > 0) {
      room = std::min(room, left_of(setup.quota_bytes, unsigned_of(store.registry_bytes()) + pending_bytes(store, {})));
    }
    if (setup.repository_quota_bytes > 0) {
      room = std::min(room, left_of(setup.repository_quota_bytes, unsigned_of(store.repository_bytes(repository)) +
                                                                      pending_bytes(store, repository)));
    }
    return {};
  });
  return asked ? room : kNoLimit;  // The handler will meet the error, and say it.
}

Result<wire::RegistryUsage> Registry::usage(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_.read<wire::RegistryUsage>([&](Transaction& store) -> Result<wire::RegistryUsage> {
    const auto& setup = core_.setup.registry;
    wire::RegistryUsage usage;
    usage.size_bytes = store.registry_bytes() + signed_of(pending_bytes(store, {}));
    if (setup.quota_bytes > 0) usage.quota_bytes = signed_of(setup.quota_bytes);
    if (setup.repository_quota_bytes > 0) usage.repository_quota_bytes = signed_of(setup.repository_quota_bytes);
    for (const auto& record : store.repositories()) {
      wire::RepositoryUsage one;
      one.repository = record.repository;
      one.size_bytes = record.size_bytes + signed_of(pending_bytes(store, record.repository));
      one.manifests = record.manifests;
      one.tags = record.tags;
      usage.repositories.push_back(std::move(one));
    }
    return usage;
  });
}

void Registry::note_use(const std::string& repository, const std::string& digest) {
  const std::lock_guard lock(mutex_);
  used_[Place(repository, digest)] = core_.now();
}

/// What was used before a start is not remembered: whatever the hub had then counts as used at that moment.
bool Registry::in_use_lately(const std::string& repository, const std::string& digest, std::int64_t since_ms) {
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(Place(repository, digest));
  return std::max(found == used_.end() ? 0 : found->second, core_.started_ms) > since_ms;
}

/// Takes out of their repositories the manifests and blobs that nothing needs.
void Registry::forget_unneeded(Transaction& store, std::int64_t since_ms, bool untagged, wire::GarbageReport& report) {
  // A manifest that goes may have been what kept others: its children, what is about it.
  for (bool more = untagged; more;) {
    more = false;
    for (const auto& manifest : store.unreachable_manifests()) {
      if (in_use_lately(manifest.repository, manifest.digest, since_ms)) continue;
      store.remove_manifest(manifest.repository, manifest.digest);
      ++report.manifests;
      more = true;
    }
  }
  for (const auto& blob : store.unnamed_blobs()) {
    if (!in_use_lately(blob.repository, blob.digest, since_ms)) store.remove_blob(blob.repository, blob.digest);
  }
}

/// First the database, then the files: a crash in between leaves files that nothing names, for the next collection.
Result<wire::GarbageReport> Registry::collect(const Principal& caller, bool dry_run, bool untagged) {
  const std::lock_guard one_at_a_time(collecting_);
  const auto grace_ms = core_.setup.registry.grace_ms;
  const auto now_ms = core_.now();
  wire::GarbageReport report;
  report.dry_run = dry_run;
  report.grace_s = grace_ms / 1000;
  std::vector<Blobs::Entry> garbage;
  std::vector<std::string> uploads;
  VERGE_ASSIGN(const auto files, core_.blobs.list());
  const auto judged = core_.store->transaction([&](Transaction& store) -> Result<void> {
    forget_unneeded(store, now_ms - grace_ms, untagged, report);
    const auto named = store.needed_content();
    const std::unordered_set<std::string> needed(named.begin(), named.end());
    for (const auto& file : files) {
      if (!file.digest.empty() && needed.contains(file.digest)) continue;
      report.size_bytes += signed_of(file.size_bytes);
      ++report.files;
      garbage.push_back(file);
    }
    for (const auto& upload : store.uploads()) {
      if (now_ms - upload.used_ms < kUploadLifeMs) continue;
      report.size_bytes += signed_of(core_.blobs.upload_size_bytes(upload.id));
      ++report.uploads;
      store.remove_upload(upload.id);
      uploads.push_back(upload.id);
    }
    if (dry_run) return Error(ErrorCode::cancelled, kDryRun, "dry run");
    if (report.size_bytes > 0 || report.manifests > 0) {
      core_.event(store, caller, "registry.collect", "registry",
                  fmt::format("{} files, {} bytes", report.files, report.size_bytes));
    }
    return {};
  });
  if (!judged && judged.error().id() != kDryRun) return Error(judged.error());
  if (dry_run) return report;
  for (const auto& upload : uploads) core_.blobs.drop(upload);
  for (const auto& file : garbage) {
    // Looked at again under the database's lock: a push may have brought it back meanwhile.
    VERGE_TRY(core_.store->transaction([&](Transaction& store) -> Result<void> {
      if (file.digest.empty() || !store.blob_in_use(file.digest)) return Blobs::remove(file.file);
      report.size_bytes -= signed_of(file.size_bytes);
      --report.files;
      return {};
    }));
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(used_, [&](const auto& entry) { return entry.second <= now_ms - grace_ms; });
  return report;
}

Result<wire::GarbageReport> Registry::collect_garbage(const Principal& caller, bool dry_run, bool untagged) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  return collect(caller, dry_run, untagged);
}

void Registry::collect_when_due() {
  const auto& setup = core_.setup.registry;
  const auto now_ms = core_.now();
  if (next_collection_ms_ == 0) next_collection_ms_ = core_.started_ms + setup.collect_every_ms;
  if (setup.collect_every_ms == 0 || now_ms < next_collection_ms_) return;
  next_collection_ms_ = now_ms + setup.collect_every_ms;
  Principal hub;
  hub.name = "hub";
  const auto report = collect(hub, false, setup.remove_untagged);
  if (!report) return core_.log.error("garbage not collected", {{"error", report.error().text()}});
  if (report->size_bytes == 0 && report->manifests == 0) return;
  core_.log.info("garbage collected", {{"files", static_cast<long long>(report->files)},
                                       {"size_bytes", static_cast<long long>(report->size_bytes)}});
}

Result<void> Registry::measure_blobs() {
  return core_.store->transaction([&](Transaction& store) -> Result<void> {
    for (const auto& blob : store.unmeasured_blobs()) {
      const auto size_bytes = core_.blobs.size_bytes(blob.digest);
      store.link_blob(blob.repository, blob.digest, size_bytes ? signed_of(*size_bytes) : 0);
    }
    return {};
  });
}

}  // namespace verge::hub
