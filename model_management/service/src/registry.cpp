// Blobs and uploads.
#include "verge/hub/registry.hpp"

#include <fmt/format.h>

#include "core.hpp"
#include "references.hpp"
#include "verge/crypto/random.hpp"

namespace verge::hub {
namespace {

Error no_blob(const std::string& repository, const std::string& digest) {
  return Error(ErrorCode::not_found, "VRG-OCI-001",
               fmt::format("the repository '{}' has no blob {}; push it first", repository, digest));
}

Error no_upload(const std::string& id) {
  return Error(ErrorCode::not_found, "VRG-OCI-002", fmt::format("no upload '{}' is under way; begin another", id));
}

Error at_work(const std::string& id) {
  return Error(
      ErrorCode::aborted, "VRG-OCI-016",
      fmt::format("another request is at work on the upload '{}'; ask where it stands and go on from there", id));
}

std::uint64_t size_of(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = file.empty() ? std::uintmax_t{0} : std::filesystem::file_size(file, error);
  return error ? 0 : size;
}

/// The piece must be the next one, and as long as it says.
Result<void> check_piece(const Registry::Upload& there, const Registry::Piece& piece, std::uint64_t size_bytes) {
  if (piece.first && *piece.first != there.size_bytes) {
    return Error(
        ErrorCode::out_of_range, "VRG-OCI-003",
        fmt::format("expected the piece that begins at byte {}, got one that begins at {}; ask where the upload "
                    "stands and go on from there",
                    there.size_bytes, *piece.first));
  }
  if (piece.first && piece.last && *piece.last - *piece.first + 1 != size_bytes) {
    return Error(ErrorCode::invalid_argument, "VRG-OCI-013",
                 fmt::format("expected {} bytes, as Content-Range says, got {}; send the piece again",
                             *piece.last - *piece.first + 1, size_bytes));
  }
  return {};
}

}  // namespace

/// Of one request to change an upload, as long as this lives.
class Registry::Turn {
 public:
  Turn(Registry& registry, const std::string& id) : registry_(registry), id_(id) {
    const std::lock_guard lock(registry_.mutex_);
    mine_ = registry_.turns_.emplace(id_, std::uint64_t{0}).second;
  }
  ~Turn() {
    const std::lock_guard lock(registry_.mutex_);
    if (mine_) registry_.turns_.erase(id_);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  [[nodiscard]] bool mine() const noexcept { return mine_; }

 private:
  Registry& registry_;
  const std::string id_;
  bool mine_ = false;
};

Result<Registry::Blob> Registry::blob(const Principal& caller, const std::string& repository,
                                      const std::string& digest) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  VERGE_TRY(check_digest(digest));
  return core_.read<Blob>([&](Transaction& store) -> Result<Blob> {
    if (!store.has_blob(repository, digest)) return no_blob(repository, digest);
    VERGE_ASSIGN(const auto size_bytes, core_.blobs.size_bytes(digest));
    note_use(repository, digest);
    return Blob{core_.blobs.path(digest), digest, size_bytes};
  });
}

Result<void> Registry::delete_blob(const Principal& caller, const std::string& repository, const std::string& digest) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  VERGE_TRY(check_digest(digest));
  VERGE_TRY(core_.store->transaction([&](Transaction& store) -> Result<void> {
    if (store.blob_named(repository, digest)) {
      return Error(ErrorCode::failed_precondition, "VRG-OCI-009",
                   fmt::format("a manifest of '{}' names the blob {}; delete the manifest first", repository, digest));
    }
    if (!store.remove_blob(repository, digest)) return no_blob(repository, digest);
    return {};
  }));
  core_.sweep(digest);
  return {};
}

Result<Registry::Upload> Registry::begin_upload(const Principal& caller, const std::string& repository) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  VERGE_TRY(check_room(repository, 1));
  Upload upload{crypto::random_hex(16), 0};
  VERGE_TRY(core_.blobs.begin_upload(upload.id));
  VERGE_TRY(core_.store->transaction([&](Transaction& store) -> Result<void> {
    store.add(UploadRecord{upload.id, repository, core_.now(), core_.now()});
    return {};
  }));
  return upload;
}

Result<bool> Registry::mount(const Principal& caller, const std::string& repository, const std::string& digest,
                             const std::string& from) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  VERGE_TRY(check_digest(digest));
  return core_.read<bool>([&](Transaction& store) -> Result<bool> {
    const bool there = from.empty() ? store.has_blob(digest) : store.has_blob(from, digest);
    if (!there || !core_.blobs.has(digest)) return false;
    VERGE_ASSIGN(const auto size_bytes, core_.blobs.size_bytes(digest));
    if (!store.has_blob(repository, digest)) {
      VERGE_TRY(check_quotas(store, repository, size_bytes, 0));
      store.link_blob(repository, digest, static_cast<std::int64_t>(size_bytes));
    }
    note_use(repository, digest);
    return true;
  });
}

/// Where an upload stands.
Result<Registry::Upload> Registry::standing(const std::string& repository, const std::string& id) {
  return core_.read<Upload>([&](Transaction& store) -> Result<Upload> {
    const auto upload = store.upload(id);
    if (!upload || upload->repository != repository) return no_upload(id);
    return Upload{id, core_.blobs.upload_size_bytes(id)};
  });
}

Result<Registry::Upload> Registry::upload(const Principal& caller, const std::string& repository,
                                          const std::string& id) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  return standing(repository, id);
}

Result<Registry::Upload> Registry::append_in_turn(const std::string& repository, Upload there, const Piece& piece,
                                                  bool last) {
  const auto size_bytes = size_of(piece.file);
  VERGE_TRY(check_piece(there, piece, size_bytes));
  if (piece.file.empty()) return there;
  const auto room = core_.store->transaction([&](Transaction& store) -> Result<void> {
    VERGE_TRY(check_quotas(store, repository, size_bytes, size_bytes));
    store.use_upload(there.id, core_.now());
    const std::lock_guard lock(mutex_);
    turns_[there.id] = size_bytes;  // From here on it counts, for the next who asks for room.
    return {};
  });
  if (!room) return Error(room.error());
  VERGE_TRY(core_.blobs.append(there.id, piece.file, !last));
  {
    const std::lock_guard lock(mutex_);
    turns_[there.id] = 0;  // In the upload's file by now.
  }
  there.size_bytes = core_.blobs.upload_size_bytes(there.id);
  return there;
}

Result<Registry::Upload> Registry::append(const Principal& caller, const std::string& repository, const std::string& id,
                                          const Piece& piece) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  const Turn turn(*this, id);
  if (!turn.mine()) return at_work(id);
  VERGE_ASSIGN(const auto there, standing(repository, id));
  return append_in_turn(repository, there, piece, false);
}

Result<Registry::Blob> Registry::finish(const Principal& caller, const std::string& repository, const std::string& id,
                                        const std::string& digest, const Piece& piece) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  const Turn turn(*this, id);
  if (!turn.mine()) return at_work(id);
  VERGE_ASSIGN(const auto before, standing(repository, id));
  VERGE_TRY(check_digest(digest));
  VERGE_ASSIGN(const auto whole, append_in_turn(repository, before, piece, true));
  if (auto good = core_.blobs.verify(id, digest); !good) {
    if (whole.size_bytes != before.size_bytes) VERGE_TRY(core_.blobs.cut(id, before.size_bytes));
    return Error(std::move(good).error());
  }
  // Under the database's lock: no collection finds the file before it is known what it belongs to.
  auto made = core_.read<Blob>([&](Transaction& store) -> Result<Blob> {
    VERGE_TRY(core_.blobs.adopt(id, digest));
    store.remove_upload(id);
    store.link_blob(repository, digest, static_cast<std::int64_t>(whole.size_bytes));
    note_use(repository, digest);
    return Blob{core_.blobs.path(digest), digest, whole.size_bytes};
  });
  if (made) core_.blobs.drop(id);
  return made;
}

Result<void> Registry::cancel(const Principal& caller, const std::string& repository, const std::string& id) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  const Turn turn(*this, id);
  if (!turn.mine()) return at_work(id);
  VERGE_TRY(standing(repository, id));
  VERGE_TRY(core_.store->transaction([&](Transaction& store) -> Result<void> {
    store.remove_upload(id);
    return {};
  }));
  core_.blobs.drop(id);
  return {};
}

}  // namespace verge::hub
