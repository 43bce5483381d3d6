#include "content_store.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace verge::update {
namespace {

std::string hex(const std::string& digest) {
  return digest.substr(digest.find(':') + 1);
}

std::string partial_name(const std::string& digest) {
  return "store/partial/" + hex(digest);
}

}  // namespace

std::string ContentStore::blob_name(const std::string& digest) {
  return "store/blobs/sha256/" + hex(digest);
}

std::string ContentStore::package_folder(const std::string& digest) {
  return "store/packages/" + hex(digest);
}

bool ContentStore::has(const BlobOrder& order) {
  const auto size = files_.size(blob_name(order.digest));
  return size && *size == order.size_bytes;
}

std::uint64_t ContentStore::bytes_there(const BlobOrder& order) {
  if (has(order)) return order.size_bytes;
  return std::min(files_.size(partial_name(order.digest)).value_or(0), order.size_bytes);
}

Result<void> ContentStore::fetch(const BlobOrder& order, Network& network, std::uint64_t& fetched) {
  if (has(order)) return {};
  const auto name = partial_name(order.digest);
  std::uint64_t there = files_.size(name).value_or(0);
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
  return files_.sync(name);
}

Result<void> ContentStore::check(const BlobOrder& order) {
  const bool whole = has(order);
  const auto name = whole ? blob_name(order.digest) : partial_name(order.digest);
  VERGE_ASSIGN(const std::string got, files_.digest(name));
  if (got != order.digest) {
    VERGE_TRY(files_.remove(name));
    return Error(ErrorCode::data_loss, "VRG-UPD-004",
                 fmt::format("expected content with the digest {}, got {}; it is fetched again", order.digest, got));
  }
  return whole ? Result<void>{} : files_.rename(name, blob_name(order.digest));
}

void ContentStore::keep_only(const std::set<std::string>& blobs, const std::set<std::string>& packages) {
  const auto clean = [&](const std::string& folder, const std::set<std::string>& wanted) {
    for (const auto& name : files_.list(folder).value_or(std::vector<std::string>{})) {
      // What cannot be removed now is tried again after the next update.
      if (!wanted.contains("sha256:" + name)) (void)files_.remove(fmt::format("{}/{}", folder, name)).has_value();
    }
  };
  clean("store/blobs/sha256", blobs);
  clean("store/partial", blobs);
  clean("store/packages", packages);
}

}  // namespace verge::update
