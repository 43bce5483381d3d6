#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <set>

#include <fmt/format.h>

#include "entry_names.hpp"
#include "verge/base/file_system.hpp"
#include "verge/bundle/bundle.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::bundle {

struct Writer::State {
  struct Close {
    void operator()(archive* a) const noexcept { archive_write_free(a); }
    void operator()(archive_entry* e) const noexcept { archive_entry_free(e); }
  };

  std::filesystem::path file;
  std::filesystem::path part;
  std::unique_ptr<archive, Close> tar{archive_write_new()};
  std::set<std::string> blobs;
  wire::Node manifests = wire::Node::list();
  std::uint64_t size_bytes = 0;

  ~State() {
    tar.reset();
    std::error_code ignored;
    std::filesystem::remove(part, ignored);
  }

  [[nodiscard]] Error cannot_write() const {
    const char* why = archive_error_string(tar.get());
    return Error(ErrorCode::unavailable, "VRG-BDL-001",
                 fmt::format("cannot write '{}': {}", part.string(), why == nullptr ? "unknown reason" : why));
  }

  /// Begins an entry. Nothing in it depends on time or person, so that the same makes the same.
  Result<void> begin(const std::string& name, std::uint64_t entry_bytes) {
    const std::unique_ptr<archive_entry, Close> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(entry_bytes));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_mtime(entry.get(), 0, 0);
    size_bytes += entry_bytes;
    return archive_write_header(tar.get(), entry.get()) == ARCHIVE_OK ? Result<void>() : cannot_write();
  }

  Result<void> put(std::span<const std::byte> bytes) {
    const auto size = static_cast<la_ssize_t>(bytes.size());
    return archive_write_data(tar.get(), bytes.data(), bytes.size()) == size ? Result<void>() : cannot_write();
  }

  Result<void> add(const std::string& name, std::string_view content) {
    VERGE_TRY(begin(name, content.size()));
    return put(std::as_bytes(std::span(content)));
  }
};

Writer::Writer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Writer::~Writer() = default;
Writer::Writer(Writer&&) noexcept = default;
Writer& Writer::operator=(Writer&&) noexcept = default;

Result<Writer> Writer::create(const std::filesystem::path& file) {
  auto state = std::make_unique<State>();
  state->file = file;
  state->part = file.string() + ".part";
  // Sizes above 8 GiB need what pax adds; all else is plain ustar.
  archive_write_set_format_pax_restricted(state->tar.get());
  if (archive_write_open_filename(state->tar.get(), state->part.c_str()) != ARCHIVE_OK) return state->cannot_write();
  VERGE_TRY(state->add(std::string(kLayout), R"({"imageLayoutVersion":"1.0.0"})"));
  return Writer(std::move(state));
}

Result<void> Writer::describe(const wire::Bundle& description) {
  return state_->add(std::string(kDescription), wire::write_json(wire::to_node(description)));
}

Result<void> Writer::add_metadata(std::string_view name, std::string_view content) {
  return state_->add(std::string(kMetadata) + std::string(name), content);
}

Result<void> Writer::add_blob(const std::string& digest, std::uint64_t size_bytes,
                              const std::function<Result<void>(const Sink&)>& fill) {
  VERGE_TRY(state_->begin(blob_entry(digest), size_bytes));
  crypto::Sha256 got;
  std::uint64_t there = 0;
  const auto wrong = [&](std::string_view what) {
    return Error(ErrorCode::data_loss, "VRG-BDL-002",
                 fmt::format("{}: expected {} bytes with this digest, got {}", digest, size_bytes, what));
  };
  VERGE_TRY(fill([&](std::span<const std::byte> bytes) -> Result<void> {
    there += bytes.size();
    if (there > size_bytes) return wrong("more");
    got.update(bytes);
    return state_->put(bytes);
  }));
  if (there < size_bytes) return wrong(fmt::format("{}", there));
  if (const auto found = got.finish(); found != digest) return wrong(found);
  state_->blobs.insert(digest);
  return {};
}

bool Writer::has_blob(const std::string& digest) const {
  return state_->blobs.contains(digest);
}

void Writer::list_manifest(const std::string& media_type, const std::string& digest, std::uint64_t size_bytes,
                           const std::string& tag) {
  auto node = wire::Node::map();
  node.add("mediaType", wire::Node::string(media_type));
  node.add("digest", wire::Node::string(digest));
  node.add("size", wire::Node::integer(static_cast<std::int64_t>(size_bytes)));
  if (!tag.empty()) {
    auto annotations = wire::Node::map();
    annotations.add("org.opencontainers.image.ref.name", wire::Node::string(tag));
    node.add("annotations", std::move(annotations));
  }
  state_->manifests.items.push_back(std::move(node));
}

Result<void> Writer::finish() {
  State& s = *state_;
  auto index = wire::Node::map();
  index.add("schemaVersion", wire::Node::integer(2));
  index.add("mediaType", wire::Node::string("application/vnd.oci.image.index.v1+json"));
  index.add("manifests", std::move(s.manifests));
  VERGE_TRY(s.add(std::string(kIndex), wire::write_json_line(index)));
  if (archive_write_close(s.tar.get()) != ARCHIVE_OK) return s.cannot_write();
  VERGE_TRY(sync_path(real_file_system(), s.part.string()));
  if (const auto done = real_file_system().rename(s.part.string(), s.file.string()); !done) {
    return file_error("rename", s.part.string(), done.error());
  }
  const auto folder = s.file.has_parent_path() ? s.file.parent_path().string() : std::string(".");
  return sync_path(real_file_system(), folder);
}

std::uint64_t Writer::size_bytes() const noexcept {
  return state_->size_bytes;
}

}  // namespace verge::bundle
