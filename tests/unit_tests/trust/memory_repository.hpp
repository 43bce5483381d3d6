// A client's store and a repository's files in memory, with whatever an attacker puts in their place.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "repository_files.hpp"
#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/trust/client.hpp"
#include "verge/trust/repository.hpp"

namespace verge::trust {

constexpr std::int64_t kNow_s = 1'800'000'000;

class MemoryStore final : public MetadataStore {
 public:
  Result<std::string> read(std::string_view role) override {
    if (broken) return Error(ErrorCode::unavailable, "VRG-BAS-001", "the disk does not answer");
    const auto found = files.find(role);
    if (found == files.end()) return Error(ErrorCode::not_found, "VRG-BAS-001", "none");
    return found->second;
  }
  Result<void> write(std::string_view role, std::string_view content) override {
    if (broken) return Error(ErrorCode::unavailable, "VRG-BAS-001", "the disk does not answer");
    files.insert_or_assign(std::string(role), std::string(content));
    return {};
  }
  std::map<std::string, std::string, std::less<>> files;
  bool broken = false;
};

/// A repository's files; `instead` goes before them.
class RepositorySource final : public MetadataSource {
 public:
  explicit RepositorySource(const Repository& repository) : repository_(&repository) {}
  Result<std::string> fetch(std::string_view name, std::uint64_t limit_bytes) override {
    asked.emplace_back(name);
    const auto found = instead.find(name);
    auto content = found != instead.end() ? Result<std::string>(found->second) : repository_->metadata(name);
    if (content && content->size() > limit_bytes) {
      return Error(ErrorCode::resource_exhausted, "VRG-HTC-006", "the answer is too large");
    }
    return content;
  }
  std::map<std::string, std::string, std::less<>> instead;
  std::vector<std::string> asked;

 private:
  const Repository* repository_;
};

/// Timestamp or snapshot that lists one file.
inline wire::Node meta_metadata(std::string_view type, std::int64_t version, std::int64_t expires_s,
                                std::string_view file, std::int64_t file_version, std::string_view content) {
  const auto header = make_header(type, version, expires_s);
  const auto meta = meta_of("", file_version, content);
  if (type == kTimestamp) return timestamp_metadata({header, meta});
  return snapshot_metadata({header, {{std::string(file), meta}}});
}
inline std::string signed_text(wire::Node content, const std::vector<const crypto::PrivateKey*>& keys) {
  return *signed_file(std::move(content), keys);
}

inline Target target_of(std::string path, std::string_view content) {
  return {std::move(path), content.size(), crypto::sha256(content), {}};
}

}  // namespace verge::trust
