#include "verge/registry_client/layout.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/crypto/digest.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/package/oci_index.hpp"
#include "verge/wire/document.hpp"

namespace verge::registry_client {
namespace {

using package::annotation;
using package::kIndexFile;
using package::kLayoutFile;
using package::kTagAnnotation;
using package::kTitleAnnotation;
using package::text_of;
using wire::Node;

Result<Node> read_index(const std::filesystem::path& folder) {
  if (!package::is_layout(folder)) return package::new_index();
  VERGE_TRY(package::list_layout(folder));  // It has a list of manifests.
  return wire::read_document(folder / kIndexFile);
}

std::vector<Node>& entries_of(Node& index) {
  const auto found = std::ranges::find(index.members, "manifests", &std::pair<std::string, Node>::first);
  return found->second.items;
}

Node entry_of(const Artifact& artifact, const std::string& tag) {
  Node entry = Node::map();
  entry.add("mediaType", Node::string(artifact.media_type));
  if (!artifact.artifact_type.empty()) entry.add("artifactType", Node::string(artifact.artifact_type));
  entry.add("digest", Node::string(artifact.digest));
  entry.add("size", Node::integer(static_cast<std::int64_t>(artifact.content.size())));
  Node annotations = Node::map();
  if (!tag.empty()) annotations.add(kTagAnnotation, Node::string(tag));
  if (!artifact.title.empty()) annotations.add(kTitleAnnotation, Node::string(artifact.title));
  if (!annotations.members.empty()) entry.add("annotations", std::move(annotations));
  return entry;
}

/// Another artifact of the same tag: one that gives it up.
bool is_replaced(const Node& entry, const Artifact& artifact, const std::string& tag) {
  if (tag.empty() || annotation(entry, kTagAnnotation) != tag) return false;
  const auto title = annotation(entry, kTitleAnnotation);
  return title.empty() || artifact.title.empty() || title == artifact.title;
}

class Layout final : public ArtifactStore {
 public:
  Layout(std::filesystem::path folder, std::shared_ptr<Blobs> blobs)
      : folder_(std::move(folder)), blobs_(std::move(blobs)) {}

  [[nodiscard]] std::string name() const override { return "oci:" + folder_.string(); }

  Result<Artifact> artifact(const std::string& reference) override {
    auto digest = reference;
    std::string media_type;
    if (!crypto::is_digest(reference)) {
      VERGE_ASSIGN(const Node entry, find(reference));
      digest = text_of(entry, "digest");
      media_type = text_of(entry, "mediaType");
    }
    if (!crypto::is_digest(digest)) return unknown(reference);
    auto content = blobs_->read(digest, kManifestLimitBytes);
    if (!content && content.error().code() == ErrorCode::not_found) return unknown(reference);
    if (!content) return Error(content.error());
    return parse_artifact(std::move(*content), media_type, digest, name());
  }

  Result<std::vector<Descriptor>> referrers(const std::string& digest) override {
    VERGE_ASSIGN(const auto entries, package::list_layout(folder_));
    std::vector<Descriptor> found;
    for (const auto& entry : entries) {
      VERGE_ASSIGN(const auto other, artifact(entry.digest));
      if (!other.subject || other.subject->digest != digest) continue;
      if (std::ranges::find(found, other.digest, &Descriptor::digest) != found.end()) continue;
      found.push_back({other.media_type, other.digest, other.content.size(), other.artifact_type, ""});
    }
    return found;
  }

  Result<std::filesystem::path> fetch(const Descriptor& blob, const std::filesystem::path& scratch,
                                      const Progress&) override {
    VERGE_TRY(check(blob));
    return blobs_->file(blob.digest, scratch);
  }

  Result<bool> has(const Descriptor& blob) override {
    const auto whole = check(blob);
    if (whole) return true;
    // What is damaged is written again.
    if (whole.error().code() == ErrorCode::not_found || whole.error().code() == ErrorCode::data_loss) return false;
    return Error(whole.error());
  }

  Result<bool> take(const Descriptor&, const ArtifactSource&) override { return false; }

  Result<void> put(const Descriptor& blob, const std::filesystem::path& file, const std::filesystem::path& scratch,
                   const Progress& progress) override {
    VERGE_TRY(blobs_->put(blob.digest, file, scratch));
    progress(blob.file_path.empty() ? blob.digest : blob.file_path, blob.size_bytes, blob.size_bytes);
    return {};
  }

  Result<void> put(const Artifact& artifact, const std::string& tag) override {
    VERGE_ASSIGN(Node index, read_index(folder_));
    VERGE_TRY(blobs_->write(artifact.digest, artifact.content));
    auto& entries = entries_of(index);
    const auto before = wire::write_json(index);
    std::erase_if(entries, [&](const Node& entry) {
      const bool same = text_of(entry, "digest") == artifact.digest;
      const bool gets_tag = same && !tag.empty() && annotation(entry, kTagAnnotation).empty();
      return gets_tag || (!same && is_replaced(entry, artifact, tag));
    });
    const bool there = std::ranges::any_of(entries, [&](const Node& entry) {
      return text_of(entry, "digest") == artifact.digest && (tag.empty() || annotation(entry, kTagAnnotation) == tag);
    });
    if (!there) entries.push_back(entry_of(artifact, tag));
    if (package::is_layout(folder_) && wire::write_json(index) == before) return {};
    VERGE_TRY(write_file(folder_ / kLayoutFile, std::string_view(R"({"imageLayoutVersion": "1.0.0"})")));
    return write_file(folder_ / kIndexFile, std::string_view(wire::write_json(index)));
  }

 private:
  [[nodiscard]] Error unknown(const std::string& reference) const {
    return {ErrorCode::not_found, "VRG-REG-006", fmt::format("{}: there is no artifact '{}' in it", name(), reference)};
  }
  [[nodiscard]] Result<Node> find(const std::string& tag) const {
    VERGE_ASSIGN(Node index, read_index(folder_));
    const auto& entries = entries_of(index);
    const auto named = [&](const Node& entry) { return annotation(entry, kTagAnnotation) == tag; };
    const auto found = std::ranges::find_if(entries, named);
    if (found == entries.end()) return unknown(tag);
    if (std::any_of(std::next(found), entries.end(), named)) {
      return Error(ErrorCode::invalid_argument, "VRG-REG-006",
                   fmt::format("{}: several artifacts have the tag '{}'; name one by its digest", name(), tag));
    }
    return *found;
  }
  [[nodiscard]] Result<void> check(const Descriptor& blob) const {
    VERGE_ASSIGN(const auto got, blobs_->look(blob.digest));
    if (got.digest == blob.digest && got.size_bytes == blob.size_bytes) return {};
    return Error(ErrorCode::data_loss, "VRG-REG-007",
                 fmt::format("{}: expected the blob {} with {} bytes, got {} with {}; fetch it again", name(),
                             blob.digest, blob.size_bytes, got.digest, got.size_bytes));
  }

  std::filesystem::path folder_;
  std::shared_ptr<Blobs> blobs_;
};

/// The artifact and all that it names.
void keep_named(Layout& layout, const std::string& digest, std::set<std::string>& named) {
  if (!named.insert(digest).second) return;
  const auto artifact = layout.artifact(digest);
  if (!artifact) return;
  for (const auto& blob : artifact->blobs) named.insert(blob.digest);
  for (const auto& child : artifact->manifests) keep_named(layout, child.digest, named);
}

}  // namespace

Result<std::unique_ptr<ArtifactStore>> open_layout(const std::filesystem::path& folder) {
  return open_layout(folder, folder_blobs(folder));
}

Result<std::unique_ptr<ArtifactStore>> open_layout(const std::filesystem::path& folder, std::shared_ptr<Blobs> blobs) {
  VERGE_TRY(read_index(folder));
  return std::unique_ptr<ArtifactStore>(std::make_unique<Layout>(folder, std::move(blobs)));
}

Result<void> prune_layout(const std::filesystem::path& folder, const std::vector<std::string>& keep,
                          const std::shared_ptr<Blobs>& blobs) {
  if (!package::is_layout(folder)) return {};
  VERGE_ASSIGN(Node index, read_index(folder));
  auto& entries = entries_of(index);
  std::erase_if(entries, [&](const Node& entry) {
    return std::ranges::find(keep, annotation(entry, kTagAnnotation)) == keep.end();
  });
  Layout layout(folder, blobs);
  std::set<std::string> named;
  for (const auto& entry : entries) keep_named(layout, text_of(entry, "digest"), named);
  VERGE_TRY(write_file(folder / kIndexFile, std::string_view(wire::write_json(index))));
  VERGE_ASSIGN(const auto digests, blobs->list());
  for (const auto& digest : digests) {
    if (!named.contains(digest)) (void)blobs->remove(digest);  // The next time it is tried again.
  }
  return {};
}

}  // namespace verge::registry_client
