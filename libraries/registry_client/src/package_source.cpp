#include "verge/registry_client/package_source.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/package/image_layout.hpp"

namespace verge::registry_client {
namespace {

class PackageSource final : public ArtifactSource {
 public:
  explicit PackageSource(package::ModelPackage package)
      : package_(std::move(package)), manifest_(package::make_manifest(package_.metadata, package_.files)) {}

  [[nodiscard]] std::string name() const override { return package_.root.string(); }

  Result<Artifact> artifact(const std::string&) override {
    return parse_artifact(manifest_.manifest_json, package::kManifestMediaType, manifest_.manifest_digest, name());
  }

  Result<std::vector<Descriptor>> referrers(const std::string&) override { return std::vector<Descriptor>(); }

  Result<std::filesystem::path> fetch(const Descriptor& blob, const std::filesystem::path& scratch,
                                      const Progress&) override {
    if (blob.digest == manifest_.config_digest) {
      auto path = scratch / "config.json";
      VERGE_TRY(write_file(path, std::string_view(manifest_.config_json)));
      return path;
    }
    const auto file = std::ranges::find(package_.files, blob.digest, &package::PackageFile::digest);
    auto path = package_.root / file->path;
    VERGE_ASSIGN(const auto now, crypto::sha256_of_file(path, package::kFileLimitBytes));
    if (now.digest == blob.digest) return path;
    return Error(ErrorCode::data_loss, "VRG-REG-007",
                 fmt::format("expected '{}' to stay as it is, got another content; try again", path.string()));
  }

 private:
  package::ModelPackage package_;
  package::Manifest manifest_;
};

}  // namespace

std::unique_ptr<ArtifactSource> make_package_source(package::ModelPackage package) {
  return std::make_unique<PackageSource>(std::move(package));
}

}  // namespace verge::registry_client
