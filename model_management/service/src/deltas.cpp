#include "verge/hub/deltas.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core.hpp"
#include "deploying.hpp"
#include "verge/base/file.hpp"
#include "verge/crypto/random.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/package/image_layout.hpp"

namespace verge::hub {
namespace {

constexpr std::uint64_t kManifestReadLimitBytes = std::uint64_t{8} << 20U;
constexpr std::int64_t kLookEveryMs = 60'000;
constexpr std::int64_t kLookPauseMs = 2000;
constexpr std::int64_t kTryAgainMs = 600'000;
constexpr std::uint64_t kHeader_bytes = 4096;
/// What OCI calls the empty descriptor: a manifest without a config.
constexpr std::string_view kEmptyConfig = "{}";
constexpr const char* kEmptyConfigType = "application/vnd.oci.empty.v1+json";

Principal hub_itself() {
  Principal hub;
  hub.name = "hub";
  hub.rights = {wire::Right::read, wire::Right::publish};
  return hub;
}

wire::Node annotations(std::vector<std::pair<const char*, std::string>> texts) {
  auto node = wire::Node::map();
  for (auto& [name, text] : texts) node.add(name, wire::Node::string(std::move(text)));
  return node;
}

wire::Node descriptor(std::string_view media_type, const std::string& digest, std::int64_t size_bytes) {
  auto node = wire::Node::map();
  node.add("mediaType", wire::Node::string(std::string(media_type)));
  node.add("digest", wire::Node::string(digest));
  node.add("size", wire::Node::integer(size_bytes));
  return node;
}

/// A file beside the uploads, so that it can become one by a rename; removed unless it was moved away. What a crash
/// leaves there goes at the next start.
class ScratchFile {
 public:
  explicit ScratchFile(const Blobs& blobs) : path_(blobs.uploads() / ("delta-" + crypto::random_hex(8))) {}
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// The versions there are, and the model packages that each consists of.
class Versions {
 public:
  explicit Versions(Transaction& store) {
    for (auto& version : store.versions()) by_digest_.emplace(version.digest, std::move(version));
  }
  /// By the model's name.
  [[nodiscard]] std::map<std::string, std::string> packages(const std::string& digest) const {
    std::map<std::string, std::string> found;
    const auto version = by_digest_.find(digest);
    if (version == by_digest_.end()) return found;
    if (version->second.kind != "application") return {{version->second.name, digest}};
    for (const auto& model : read_own<wire::Application>(version->second.document, wire::read_application).models) {
      found[model.model] = model.digest.value_or("");
    }
    return found;
  }
  [[nodiscard]] const VersionRecord* find(const std::string& digest) const {
    const auto version = by_digest_.find(digest);
    return version == by_digest_.end() ? nullptr : &version->second;
  }

 private:
  std::map<std::string, VersionRecord> by_digest_;
};

/// Where each device is to go: by device and application, the digest that it is to run.
std::map<std::string, std::map<std::string, std::string>> destinations(Transaction& store) {
  std::map<std::string, std::map<std::string, std::string>> wanted;
  for (auto& record : store.all_desired()) wanted[record.device][record.application] = record.digest;
  for (auto& record : store.waiting()) {
    if (!record.version.empty()) wanted[record.device][record.application] = record.digest;
  }
  return wanted;
}

}  // namespace

/// Two files of a package's two versions.
struct Deltas::FilePair {
  package::PackageFile old;
  package::PackageFile fresh;
  std::string old_description;  ///< Digests of the .xml of an OpenVINO IR's weights.
  std::string fresh_description;
};

Result<std::map<Deltas::Pair, Deltas::Wish>> Deltas::wishes(Transaction& store) {
  std::map<Pair, Wish> wished;
  const Versions versions(store);
  const auto wanted = destinations(store);
  const auto wish = [&](const std::string& from, const std::string& to) -> Wish* {
    const auto* version = versions.find(to);
    if (from == to || version == nullptr || versions.find(from) == nullptr) return nullptr;
    auto& found = wished[{from, to}];
    found.repository = version->repository;
    return &found;
  };
  std::map<std::string, std::string> newest;
  for (const auto& device : store.devices()) {
    if (device.revoked_ms > 0) continue;
    const auto goals = wanted.find(device.name);
    for (const auto& application : report_of(device).applications) {
      if (!application.active) continue;
      const auto has = versions.packages(application.active->digest);
      std::map<std::string, std::string> to;
      if (goals != wanted.end() && goals->second.contains(application.application)) {
        to = versions.packages(goals->second.at(application.application));
      }
      for (const auto& [model, package] : has) {
        if (const auto goal = to.find(model); goal != to.end()) {
          if (auto* one = wish(package, goal->second)) ++one->awaited;
        }
        if (!newest.contains(model)) {
          const auto version = newest_version(store, model);
          newest[model] = version ? version->digest : "";
        }
        if (auto* one = wish(package, newest[model])) ++one->devices;
      }
    }
  }
  return wished;
}

/// Finds out what is to be made, and removes what nobody needs any more.
Result<void> Deltas::look() {
  const auto now_ms = core_.now();
  std::erase_if(failed_, [&](const auto& entry) { return entry.second <= now_ms; });
  std::map<Pair, Wish> open;
  VERGE_TRY(core_.store->transaction([&](Transaction& store) -> Result<void> {
    VERGE_ASSIGN(open, wishes(store));
    std::set<Pair> made;
    for (const auto& record : store.deltas()) made.emplace(record.from_package, record.to_package);
    for (const auto& record : store.deltas()) {
      const Pair pair(record.from_package, record.to_package);
      if (open.contains(pair) || now_ms - record.made_ms < core_.setup.registry.grace_ms) continue;
      if (!record.manifest.empty()) store.remove_manifest(record.repository, record.manifest);
      store.remove_deltas(pair.first, pair.second);
    }
    std::erase_if(open, [&](const auto& wish) { return made.contains(wish.first) || failed_.contains(wish.first); });
    return {};
  }));
  const std::lock_guard lock(mutex_);
  open_ = std::move(open);
  return {};
}

bool Deltas::work(const std::stop_token& stop) {
  if (!core_.setup.deltas.make) return false;
  const auto now_ms = core_.now();
  if (now_ms >= next_look_ms_ || (changed_ && now_ms >= next_look_ms_ - kLookEveryMs + kLookPauseMs)) {
    next_look_ms_ = now_ms + kLookEveryMs;
    changed_ = false;
    if (const auto looked = look(); !looked) {
      core_.log.error("deltas: cannot see what is needed", {{"error", looked.error().text()}});
      return false;
    }
  }
  std::pair<Pair, Wish> next;
  {
    const std::lock_guard lock(mutex_);
    if (open_.empty()) return false;
    next = *std::ranges::max_element(
        open_, {}, [](const auto& entry) { return std::pair(entry.second.awaited, entry.second.devices); });
  }
  const auto made = make(next.first, next.second.repository, stop);
  const std::lock_guard lock(mutex_);
  open_.erase(next.first);
  if (!made && !stop.stop_requested()) {
    failed_[next.first] = now_ms + kTryAgainMs;
    core_.log.warning("a delta was not made", {{"error", made.error().text()}});
  }
  return true;
}

Result<std::vector<Deltas::FilePair>> Deltas::file_pairs(const Pair& pair) {
  const auto content_of = [&](const std::string& digest) -> Result<std::vector<package::PackageFile>> {
    VERGE_ASSIGN(const auto text, core_.blobs.read(digest, kManifestReadLimitBytes));
    VERGE_ASSIGN(auto content, package::read_manifest(text, digest, {}));
    return std::move(content.files);
  };
  VERGE_ASSIGN(const auto before, content_of(pair.first));
  VERGE_ASSIGN(const auto after, content_of(pair.second));
  const auto at = [](const std::vector<package::PackageFile>& files, const std::string& path) {
    const auto found = std::ranges::find(files, path, &package::PackageFile::path);
    return found == files.end() ? nullptr : &*found;
  };
  const auto description = [&](const std::vector<package::PackageFile>& files, const std::string& path) {
    if (!path.ends_with(".bin")) return std::string();
    const auto* found = at(files, path.substr(0, path.size() - 4) + ".xml");
    return found == nullptr ? std::string() : found->digest;
  };
  const auto fits = [&](std::uint64_t size_bytes) {
    return size_bytes >= core_.setup.deltas.smallest_file_bytes && size_bytes <= core_.setup.deltas.largest_file_bytes;
  };
  std::vector<FilePair> pairs;
  for (const auto& fresh : after) {
    const auto* old = at(before, fresh.path);
    if (old == nullptr || old->digest == fresh.digest || !fits(old->size_bytes) || !fits(fresh.size_bytes)) continue;
    pairs.push_back({*old, fresh, description(before, old->path), description(after, fresh.path)});
  }
  return pairs;
}

/// False: it would spare too little to be worth anything.
Result<bool> Deltas::make_file(const FilePair& files, const std::string& repository, const std::stop_token& stop,
                               DeltaRecord& record) {
  const auto path = [&](const std::string& digest) {
    return digest.empty() ? std::filesystem::path() : core_.blobs.path(digest);
  };
  const ScratchFile file(core_.blobs);
  VERGE_TRY(core_.setup.deltas.make({path(files.old.digest), path(files.old_description)},
                                    {path(files.fresh.digest), path(files.fresh_description)}, file.path(), stop));
  VERGE_ASSIGN(const auto made, crypto::sha256_of_file(file.path(), files.fresh.size_bytes + kHeader_bytes));
  if (made.size_bytes > files.fresh.size_bytes / 10 * 9) return false;
  VERGE_TRY(push(repository, file.path(), made.digest));
  record.from_blob = files.old.digest;
  record.to_blob = files.fresh.digest;
  record.digest = made.digest;
  record.size_bytes = static_cast<std::int64_t>(made.size_bytes);
  return true;
}

/// The file becomes a blob; it is moved away.
Result<void> Deltas::push(const std::string& repository, const std::filesystem::path& file, const std::string& digest) {
  const auto hub = hub_itself();
  VERGE_ASSIGN(const auto upload, core_.registry.begin_upload(hub, repository));
  const auto pushed = core_.registry.finish(hub, repository, upload.id, digest, {file});
  if (pushed) return {};
  (void)core_.registry.cancel(hub, repository, upload.id).has_value();
  return pushed.error();
}

Result<std::string> Deltas::publish(const Pair& pair, const std::string& repository,
                                    const std::vector<DeltaRecord>& made) {
  const auto hub = hub_itself();
  const auto config = crypto::sha256(kEmptyConfig);
  const auto linked = core_.store->transaction([&](Transaction& store) -> Result<void> {
    VERGE_TRY(core_.blobs.write(kEmptyConfig));
    store.link_blob(repository, config, static_cast<std::int64_t>(kEmptyConfig.size()));
    return {};
  });
  if (!linked) return linked.error();
  VERGE_ASSIGN(const auto subject_bytes, core_.blobs.size_bytes(pair.second));
  auto manifest = wire::Node::map();
  manifest.add("schemaVersion", wire::Node::integer(2));
  manifest.add("mediaType", wire::Node::string(std::string(package::kManifestMediaType)));
  manifest.add("artifactType", wire::Node::string(kDeltaType));
  manifest.add("config", descriptor(kEmptyConfigType, config, static_cast<std::int64_t>(kEmptyConfig.size())));
  auto layers = wire::Node::list();
  for (const auto& record : made) {
    auto layer = descriptor(kDeltaType, record.digest, record.size_bytes);
    layer.add("annotations",
              annotations({{kDeltaFromAnnotation, record.from_blob}, {kDeltaToAnnotation, record.to_blob}}));
    layers.items.push_back(std::move(layer));
  }
  manifest.add("layers", std::move(layers));
  manifest.add("subject",
               descriptor(package::kManifestMediaType, pair.second, static_cast<std::int64_t>(subject_bytes)));
  manifest.add("annotations", annotations({{kDeltaFromAnnotation, pair.first}, {kDeltaToAnnotation, pair.second}}));
  const auto text = wire::write_json_line(manifest);
  VERGE_ASSIGN(const auto put, core_.registry.put_manifest(hub, repository, crypto::sha256(text),
                                                           std::string(package::kManifestMediaType), text));
  return put.digest;
}

Result<void> Deltas::make(const Pair& pair, const std::string& repository, const std::stop_token& stop) {
  VERGE_ASSIGN(const auto pairs, file_pairs(pair));
  std::vector<DeltaRecord> made;
  std::uint64_t whole_bytes = 0;
  std::int64_t delta_bytes = 0;
  for (const auto& files : pairs) {
    DeltaRecord record;
    VERGE_ASSIGN(const bool useful, make_file(files, repository, stop, record));
    if (!useful) continue;
    whole_bytes += files.fresh.size_bytes;
    delta_bytes += record.size_bytes;
    made.push_back(std::move(record));
  }
  std::string manifest;
  if (!made.empty()) {
    VERGE_ASSIGN(manifest, publish(pair, repository, made));
  } else {
    made.emplace_back();  // Tried, so that it is not tried again.
  }
  VERGE_TRY(core_.store->transaction([&](Transaction& store) -> Result<void> {
    for (auto& record : made) {
      record.from_package = pair.first;
      record.to_package = pair.second;
      record.repository = repository;
      record.manifest = manifest;
      record.made_ms = core_.now();
      store.add(record);
    }
    return {};
  }));
  if (!manifest.empty()) {
    core_.log.info("a delta was made", {{"from", pair.first},
                                        {"to", pair.second},
                                        {"size_bytes", static_cast<long long>(delta_bytes)},
                                        {"whole_bytes", static_cast<long long>(whole_bytes)}});
  }
  return {};
}

Result<wire::DeltaList> Deltas::to_package(Transaction& store, const std::string& digest) {
  wire::DeltaList list;
  for (const auto& record : store.deltas_to(digest)) {
    if (record.digest.empty()) continue;
    wire::FileDelta delta;
    delta.from = record.from_blob;
    delta.to = record.to_blob;
    delta.digest = record.digest;
    delta.size_bytes = record.size_bytes;
    list.deltas.push_back(std::move(delta));
  }
  const std::lock_guard lock(mutex_);
  const auto leads_there = [&](const auto& wish) { return wish.first.second == digest; };
  list.being_made = core_.setup.deltas.make && (changed_ || std::ranges::any_of(open_, leads_there));
  return list;
}

std::vector<wire::VersionDelta> Deltas::to_version(Transaction& store, const std::string& digest) {
  std::map<std::string, std::int64_t> sizes;
  for (const auto& record : store.deltas_to(digest)) {
    if (!record.digest.empty()) sizes[record.from_package] += record.size_bytes;
  }
  std::vector<wire::VersionDelta> deltas;
  for (const auto& version : store.versions()) {
    const auto found = sizes.find(version.digest);
    if (found == sizes.end() || version.kind == "application") continue;
    wire::VersionDelta delta;
    delta.from = version.version;
    delta.size_bytes = found->second;
    deltas.push_back(std::move(delta));
  }
  return deltas;
}

}  // namespace verge::hub
