#include "content_store.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "store_folders.hpp"
#include "verge/delta/delta.hpp"

namespace verge::update {
namespace {

/// What a delta must spare to be worth its round trips.
constexpr std::uint64_t kWorth_bytes = 1024;

std::string hex(const std::string& digest) {
  return digest.substr(digest.find(':') + 1);
}

std::string partial_name(const std::string& digest) {
  return fmt::format("{}/{}", kPartialFolder, hex(digest));
}

/// What opened files read.
delta::Source source_of(OpenedFile& file) {
  delta::Source source;
  source.size_bytes = file.size_bytes();
  source.read = [&file](std::uint64_t offset, std::span<std::byte> into) { return file.read(offset, into); };
  return source;
}

}  // namespace

std::string ContentStore::blob_name(const std::string& digest) {
  return fmt::format("{}/{}", kBlobsFolder, hex(digest));
}

std::string ContentStore::package_folder(const std::string& digest) {
  return fmt::format("{}/{}", kPackagesFolder, hex(digest));
}

bool ContentStore::has(const BlobOrder& order) {
  const auto size = files_.size(blob_name(order.digest));
  return size && *size == order.size_bytes;
}

std::uint64_t ContentStore::bytes_there(const BlobOrder& order) {
  if (has(order)) return order.size_bytes;
  return std::min(files_.size(partial_name(order.digest)).value_or(0), order.size_bytes);
}

Result<std::optional<std::uint64_t>> ContentStore::size_of(const std::string& name) {
  const auto size = files_.size(name);
  if (size) return std::optional(*size);
  if (size.error().code() == ErrorCode::not_found) return std::optional<std::uint64_t>();
  return size.error();
}

Result<void> ContentStore::forget_unsynced(const std::string& name) {
  if (!unsynced_.contains(name)) return {};
  VERGE_TRY(files_.remove(name));
  unsynced_.erase(name);
  return {};
}

Result<void> ContentStore::fetch(const BlobOrder& order, Network& network, std::uint64_t& fetched) {
  VERGE_ASSIGN(const auto whole, size_of(blob_name(order.digest)));
  if (whole == order.size_bytes) return {};
  const auto name = partial_name(order.digest);
  VERGE_TRY(forget_unsynced(name));
  VERGE_ASSIGN(const auto begun, size_of(name));
  std::uint64_t there = begun.value_or(0);
  if (there > order.size_bytes) {
    VERGE_TRY(files_.remove(name));
    there = 0;
  }
  if (order.size_bytes == 0) VERGE_TRY(files_.append(name, {}));
  if (there < order.size_bytes) {
    const auto sink = [&](std::span<const std::byte> bytes) -> Result<void> {
      fetched += bytes.size();
      if (bytes.size() > order.size_bytes - there) {
        return Error(ErrorCode::data_loss, "VRG-UPD-003",
                     fmt::format("{}: expected {} bytes, got more; the hub does not send what was signed", order.digest,
                                 order.size_bytes));
      }
      VERGE_TRY(files_.append(name, bytes));
      there += bytes.size();
      return {};
    };
    VERGE_TRY(network.blob(order.digest, there, sink));
  }
  if (there < order.size_bytes) {
    return Error(ErrorCode::unavailable, "VRG-UPD-003",
                 fmt::format("{}: expected {} bytes, got {} so far", order.digest, order.size_bytes, there));
  }
  return {};
}

bool ContentStore::has_others(const std::vector<BlobOrder>& orders) {
  const auto names = files_.list(kBlobsFolder).value_or(std::vector<std::string>{});
  return std::ranges::any_of(names, [&](const std::string& name) {
    return std::ranges::none_of(orders, [&](const BlobOrder& order) { return hex(order.digest) == name; });
  });
}

const DeltaOffer* ContentStore::best_delta(const BlobOrder& order, const std::vector<DeltaOffer>& offers) {
  const auto missing = order.size_bytes - bytes_there(order);
  const DeltaOffer* best = nullptr;
  std::uint64_t least = missing < kWorth_bytes ? 0 : missing - kWorth_bytes;
  for (const auto& offer : offers) {
    if (offer.to != order.digest || offer.size_bytes >= order.size_bytes || bad_deltas_.contains(offer.digest))
      continue;
    if (!files_.size(blob_name(offer.from))) continue;
    const auto to_fetch = offer.size_bytes - bytes_there({offer.digest, offer.size_bytes});
    if (to_fetch >= least || order.size_bytes + offer.size_bytes > files_.free_bytes()) continue;
    least = to_fetch;
    best = &offer;
  }
  return best;
}

Result<bool> ContentStore::fetch_by_delta(const BlobOrder& order, const DeltaOffer& offer, Network& network,
                                          std::uint64_t& fetched) {
  auto made = fetch({offer.digest, offer.size_bytes}, network, fetched);
  if (made) made = apply_delta(order, offer);
  if (!made && (passes_by_itself(made.error()) || is_disk_trouble(made.error()))) return std::move(made).error();
  VERGE_TRY(files_.remove(partial_name(offer.digest)));
  if (made) return true;
  bad_deltas_.insert(offer.digest);
  VERGE_TRY(files_.remove(partial_name(order.digest)));
  return false;
}

Result<void> ContentStore::apply_delta(const BlobOrder& order, const DeltaOffer& offer) {
  const auto name = partial_name(order.digest);
  VERGE_ASSIGN(const auto old, files_.open(blob_name(offer.from)));
  VERGE_ASSIGN(const auto packed, files_.open(partial_name(offer.digest)));
  const auto source = source_of(*packed);
  VERGE_ASSIGN(const auto summary, delta::read_summary(source));
  if (summary.new_digest != order.digest || summary.new_size_bytes != order.size_bytes) {
    return Error(ErrorCode::data_loss, "VRG-UPD-019",
                 fmt::format("expected a delta to {}, got one to {}; the whole file is fetched", order.digest,
                             summary.new_digest));
  }
  // From the beginning: what came before may be torn.
  unsynced_.erase(name);
  VERGE_TRY(files_.remove(name));
  return delta::apply(source_of(*old), source,
                      [&](std::span<const std::byte> bytes) { return files_.append(name, bytes); });
}

Result<void> ContentStore::check(const BlobOrder& order) {
  VERGE_ASSIGN(const auto size, size_of(blob_name(order.digest)));
  const bool whole = size == order.size_bytes;
  const auto name = whole ? blob_name(order.digest) : partial_name(order.digest);
  VERGE_TRY(forget_unsynced(name));
  VERGE_ASSIGN(const std::string got, files_.digest(name));
  if (got != order.digest) {
    VERGE_TRY(files_.remove(name));
    return Error(ErrorCode::data_loss, "VRG-UPD-004",
                 fmt::format("expected content with the digest {}, got {}; it is fetched again", order.digest, got));
  }
  if (whole) return {};
  // Before it has its name: has() trusts the size of what lies under it.
  if (auto synced = files_.sync(name); !synced) {
    unsynced_.insert(name);
    (void)forget_unsynced(name).has_value();
    return synced;
  }
  return files_.rename(name, blob_name(order.digest));
}

Result<void> ContentStore::keep_checked() {
  // Always, also when nothing was renamed now: a run of the agent that was killed may have done so and not come here.
  for (const auto* folder : {kBlobsFolder, kPartialFolder}) {
    auto synced = files_.sync(folder);
    if (!synced && synced.error().code() != ErrorCode::not_found) return synced;
  }
  return {};
}

bool ContentStore::keep_only(const std::set<std::string>& blobs, const std::set<std::string>& packages) {
  bool done = true;
  const auto clean = [&](const std::string& folder, const std::set<std::string>& wanted) {
    const auto names = files_.list(folder);
    done = done && names;
    for (const auto& name : names.value_or(std::vector<std::string>{})) {
      if (!wanted.contains("sha256:" + name)) done = files_.remove(fmt::format("{}/{}", folder, name)) && done;
    }
  };
  std::set<std::string> missing;
  for (const auto& digest : blobs) {
    if (!files_.size(blob_name(digest))) missing.insert(digest);
  }
  clean(kBlobsFolder, blobs);
  clean(kPartialFolder, missing);
  clean(kPackagesFolder, packages);
  return done;
}

}  // namespace verge::update
