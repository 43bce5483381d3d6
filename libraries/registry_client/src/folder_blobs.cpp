#include "verge/base/file.hpp"
#include "verge/base/file_system.hpp"
#include "verge/crypto/digest.hpp"
#include "verge/registry_client/artifact.hpp"
#include "verge/registry_client/layout.hpp"

namespace verge::registry_client {
namespace {

class FolderBlobs final : public Blobs {
 public:
  explicit FolderBlobs(const std::filesystem::path& layout) : folder_(layout / "blobs") {}

  Result<std::string> read(const std::string& digest, std::uint64_t limit_bytes) override {
    return read_text(path_of(digest), limit_bytes);
  }

  Result<Found> look(const std::string& digest) override {
    const auto algorithm = *crypto::algorithm_of(digest);
    VERGE_ASSIGN(auto found, crypto::digest_of_file(algorithm, path_of(digest), kBlobLimitBytes));
    return Found{std::move(found.digest), found.size_bytes};
  }

  Result<void> write(const std::string& digest, std::string_view content) override {
    return write_file(path_of(digest), content);
  }

  Result<void> put(const std::string& digest, const std::filesystem::path& file,
                   const std::filesystem::path& scratch) override {
    const auto path = path_of(digest);
    VERGE_TRY(make_durable_folder(real_file_system(), path.parent_path().string()));
    std::error_code failed;
    if (file.parent_path() == scratch) {
      std::filesystem::rename(file, path, failed);
      if (!failed) return sync_path(real_file_system(), path.parent_path().string());
    }
    const auto part = path.string() + ".part";
    std::filesystem::copy_file(file, part, std::filesystem::copy_options::overwrite_existing, failed);
    if (failed) return file_error("write", part, failed.value());
    VERGE_TRY(sync_path(real_file_system(), part));
    std::filesystem::rename(part, path, failed);
    if (failed) return file_error("write", path.string(), failed.value());
    return sync_path(real_file_system(), path.parent_path().string());
  }

  Result<std::filesystem::path> file(const std::string& digest, const std::filesystem::path&) override {
    return path_of(digest);
  }

  Result<std::vector<std::string>> list() override {
    std::vector<std::string> digests;
    std::error_code failed;
    for (const auto& algorithm : std::filesystem::directory_iterator(folder_, failed)) {
      for (const auto& blob : std::filesystem::directory_iterator(algorithm.path(), failed)) {
        digests.push_back(algorithm.path().filename().string() + ":" + blob.path().filename().string());
      }
    }
    return digests;
  }

  Result<void> remove(const std::string& digest) override {
    std::error_code failed;
    std::filesystem::remove(path_of(digest), failed);
    if (failed) return file_error("remove", path_of(digest).string(), failed.value());
    return {};
  }

 private:
  [[nodiscard]] std::filesystem::path path_of(const std::string& digest) const {
    const auto colon = digest.find(':');
    return folder_ / digest.substr(0, colon) / digest.substr(colon + 1);
  }

  std::filesystem::path folder_;
};

}  // namespace

std::shared_ptr<Blobs> folder_blobs(const std::filesystem::path& layout) {
  return std::make_shared<FolderBlobs>(layout);
}

}  // namespace verge::registry_client
