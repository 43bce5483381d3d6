#include "download.hpp"

#include <cerrno>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "verge/base/file_system.hpp"
#include "verge/crypto/digest.hpp"

namespace verge::registry_client {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

/// A blob that is coming.
class Part {
 public:
  Part(const Descriptor& blob, std::filesystem::path path) : blob_(blob), path_(std::move(path)) {}

  /// What came before is kept, when it can be the beginning of the blob.
  Result<void> open() {
    digest_ = std::make_unique<crypto::Digest>(*crypto::algorithm_of(blob_.digest));
    size_bytes_ = 0;
    file_.reset(std::fopen(path_.c_str(), "ab+e"));
    if (file_ == nullptr) return file_error("write", path_.string(), errno);
    std::string piece(1U << 18U, '\0');
    std::rewind(file_.get());
    for (;;) {
      const auto got = std::fread(piece.data(), 1, piece.size(), file_.get());
      if (got == 0) break;
      count({reinterpret_cast<const std::byte*>(piece.data()), got});
    }
    if (std::ferror(file_.get()) != 0) return file_error("read", path_.string(), EIO);
    return size_bytes_ > blob_.size_bytes ? begin_anew() : Result<void>();
  }
  Result<void> begin_anew() {
    drop();
    return open();
  }
  void drop() {
    file_.reset();
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  Result<void> add(std::span<const std::byte> piece) {
    if (piece.size() > blob_.size_bytes - size_bytes_) {
      return Error(
          ErrorCode::data_loss, "VRG-REG-009",
          fmt::format("expected {} bytes of the blob {}, got more; do not trust it", blob_.size_bytes, blob_.digest));
    }
    if (std::fwrite(piece.data(), 1, piece.size(), file_.get()) != piece.size()) {
      return file_error("write", path_.string(), errno);
    }
    count(piece);
    return {};
  }
  Result<void> finish() {
    if (std::fflush(file_.get()) != 0) return file_error("write", path_.string(), errno);
    const auto got = digest_->finish();
    file_.reset();
    if (got != blob_.digest) {
      drop();
      return Error(
          ErrorCode::data_loss, "VRG-REG-007",
          fmt::format("expected a blob with the digest {}, got one with {}; do not trust it", blob_.digest, got));
    }
    return sync_path(real_file_system(), path_.string());
  }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] bool whole() const noexcept { return size_bytes_ == blob_.size_bytes; }

 private:
  void count(std::span<const std::byte> piece) {
    digest_->update(piece);
    size_bytes_ += piece.size();
  }
  const Descriptor& blob_;
  std::filesystem::path path_;
  File file_{nullptr, std::fclose};
  std::unique_ptr<crypto::Digest> digest_;
  std::uint64_t size_bytes_ = 0;
};

/// One request for what is missing. Errors: unavailable when it ended too early.
Result<void> go_on(Session& session, const Descriptor& blob, Part& part, const Progress& progress) {
  const std::string what = "the blob " + blob.digest;
  Session::Order order;
  order.call.path = session.path("blobs/" + blob.digest);
  order.call.timeout = session.options().idle_timeout;
  const auto& shown = blob.file_path.empty() ? blob.digest : blob.file_path;
  VERGE_ASSIGN(const auto reply,
               session.download(order, part.size_bytes(), [&](std::span<const std::byte> piece) -> Result<void> {
                 VERGE_TRY(part.add(piece));
                 progress(shown, part.size_bytes(), blob.size_bytes);
                 return {};
               }));
  if (reply.status == 416 && part.size_bytes() > 0) VERGE_TRY(part.begin_anew());
  if (reply.status != 200 && reply.status != 206 && reply.status != 416) return session.refusal(reply, what);
  if (part.whole()) return {};
  return Error(ErrorCode::unavailable, "VRG-REG-009",
               fmt::format("{}: expected {} bytes of {}, got {}; try again", session.name(), blob.size_bytes, what,
                           part.size_bytes()));
}

Result<void> complete(Session& session, const Descriptor& blob, Part& part, const Progress& progress) {
  Patience patience(session.options());
  while (!part.whole()) {
    const auto before = part.size_bytes();
    const auto done = go_on(session, blob, part, progress);
    if (done) break;
    if (part.size_bytes() > before) patience.reset();
    if (done.error().code() == ErrorCode::data_loss) part.drop();
    if (!patience.again(done.error())) return Error(done.error());
  }
  return {};
}

}  // namespace

Result<std::filesystem::path> download_blob(Session& session, const Descriptor& blob,
                                            const std::filesystem::path& scratch, const Progress& progress) {
  VERGE_TRY(make_durable_folder(real_file_system(), scratch.string()));
  auto name = blob.digest;
  name[name.find(':')] = '_';
  const auto path = scratch / name;
  Part part(blob, path);
  VERGE_TRY(part.open());
  const bool begun = part.size_bytes() > 0;
  VERGE_TRY(complete(session, blob, part, progress));
  auto whole = part.finish();
  if (!whole && begun && whole.error().code() == ErrorCode::data_loss) {
    // The beginning may have been what is wrong: a loss of power does such things.
    VERGE_TRY(part.open());
    VERGE_TRY(complete(session, blob, part, progress));
    whole = part.finish();
  }
  if (!whole) return std::move(whole).error().with_context(session.name());
  return path;
}

}  // namespace verge::registry_client
