#include "verge/registry_client/copy.hpp"

#include <set>

#include <fmt/format.h>

namespace verge::registry_client {
namespace {

constexpr int kDepthLimit = 8;
constexpr std::uint64_t kArtifactLimit = 10'000;

class Copying {
 public:
  Copying(ArtifactSource& from, ArtifactStore& to, const CopyOptions& options, CopyReport& report)
      : from_(from), to_(to), options_(options), report_(report) {}

  Result<void> artifact(const Artifact& artifact, const std::string& tag, int depth) {
    if (depth > kDepthLimit || seen_.size() > kArtifactLimit) {
      return Error(ErrorCode::resource_exhausted, "VRG-REG-012",
                   fmt::format("{}: expected at most {} artifacts, {} deep, got more; copy parts of it", from_.name(),
                               kArtifactLimit, kDepthLimit));
    }
    if (!seen_.insert(artifact.digest).second) return {};
    for (const auto& blob : artifact.blobs) VERGE_TRY(this->blob(blob));
    for (const auto& child : artifact.manifests) {
      VERGE_ASSIGN(const auto named, from_.artifact(child.digest));
      VERGE_TRY(this->artifact(named, "", depth + 1));
    }
    VERGE_TRY(to_.put(artifact, tag));
    ++report_.manifests;
    return options_.referrers ? referrers(artifact.digest, depth) : Result<void>();
  }

 private:
  Result<void> blob(const Descriptor& blob) {
    VERGE_ASSIGN(bool there, to_.has(blob));
    if (!there) {
      VERGE_ASSIGN(there, to_.take(blob, from_));
    }
    if (there) {
      report_.present_bytes += blob.size_bytes;
      return {};
    }
    VERGE_ASSIGN(const auto file, from_.fetch(blob, options_.scratch, options_.progress));
    VERGE_TRY(to_.put(blob, file, options_.scratch, options_.progress));
    report_.sent_bytes += blob.size_bytes;
    std::error_code ignored;
    if (file.parent_path() == options_.scratch) std::filesystem::remove(file, ignored);
    return {};
  }

  Result<void> referrers(const std::string& digest, int depth) {
    VERGE_ASSIGN(const auto found, from_.referrers(digest));
    for (const auto& descriptor : found) {
      if (seen_.contains(descriptor.digest)) continue;
      VERGE_ASSIGN(const auto other, from_.artifact(descriptor.digest));
      VERGE_TRY(artifact(other, "", depth + 1));
      ++report_.referrers;
    }
    return {};
  }

  ArtifactSource& from_;
  ArtifactStore& to_;
  const CopyOptions& options_;
  CopyReport& report_;
  std::set<std::string> seen_;
};

}  // namespace

Result<CopyReport> copy(ArtifactSource& from, const Artifact& artifact, ArtifactStore& to, const std::string& tag,
                        const CopyOptions& options) {
  CopyReport report;
  report.digest = artifact.digest;
  report.media_type = artifact.media_type;
  VERGE_TRY(Copying(from, to, options, report).artifact(artifact, tag, 0));
  return report;
}

Result<CopyReport> copy(ArtifactSource& from, const std::string& reference, ArtifactStore& to, const std::string& tag,
                        const CopyOptions& options) {
  VERGE_ASSIGN(const auto artifact, from.artifact(reference));
  return copy(from, artifact, to, tag, options);
}

}  // namespace verge::registry_client
