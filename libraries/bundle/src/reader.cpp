#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "entry_names.hpp"
#include "verge/bundle/bundle.hpp"

namespace verge::bundle {
namespace {

constexpr std::size_t kPiece_bytes = std::size_t{256} << 10U;
/// Of a header with its extensions, so that a hostile one does not fill the memory.
constexpr std::size_t kNameLimit = 512;

Error cannot_read(const std::filesystem::path& file, int number) {
  return Error(
      number == ENOENT ? ErrorCode::not_found : ErrorCode::unavailable, "VRG-BDL-001",
      fmt::format("cannot read '{}': {}", file.string(), std::error_code(number, std::generic_category()).message()));
}

Error no_bundle(const std::filesystem::path& file, std::string_view why) {
  return Error(ErrorCode::data_loss, "VRG-BDL-003",
               fmt::format("'{}': expected a bundle that 'verge bundle create' made, got one where {}; make it again",
                           file.string(), why));
}

Error not_in_it(std::string_view name) {
  return Error(ErrorCode::not_found, "VRG-BDL-004", fmt::format("the bundle has no '{}'", name));
}

struct Close {
  void operator()(archive* a) const noexcept { archive_read_free(a); }
};

struct Place {
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
};

}  // namespace

struct Reader::State {
  std::filesystem::path file;
  int descriptor = -1;
  std::uint64_t size_bytes = 0;
  std::map<std::string, Place, std::less<>> entries;
  wire::Bundle description;

  State() = default;
  ~State() {
    if (descriptor >= 0) ::close(descriptor);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  /// Where everything lies; the contents are not read.
  Result<void> find_entries() {
    const std::unique_ptr<archive, Close> tar(archive_read_new());
    archive_read_support_format_tar(tar.get());
    if (archive_read_open_fd(tar.get(), descriptor, std::size_t{64} << 10U) != ARCHIVE_OK) {
      return no_bundle(file, "there is no archive");
    }
    for (;;) {
      archive_entry* entry = nullptr;
      const int got = archive_read_next_header(tar.get(), &entry);
      if (got == ARCHIVE_EOF) return {};
      if (got != ARCHIVE_OK) {
        const char* why = archive_error_string(tar.get());
        return no_bundle(file, why == nullptr ? "the archive is damaged" : why);
      }
      VERGE_TRY(take(*tar, *entry));
    }
  }

  Result<void> take(archive& tar, archive_entry& entry) {
    const char* name = archive_entry_pathname(&entry);
    if (name == nullptr || std::string_view(name).size() > kNameLimit) return no_bundle(file, "a name is too long");
    if (archive_entry_filetype(&entry) != AE_IFREG || archive_entry_hardlink(&entry) != nullptr ||
        archive_entry_sparse_count(&entry) > 0) {
      return no_bundle(file, fmt::format("'{}' is no plain file", name));
    }
    const auto offset = static_cast<std::uint64_t>(archive_filter_bytes(&tar, 0));
    const auto size = static_cast<std::uint64_t>(std::max<la_int64_t>(archive_entry_size(&entry), 0));
    if (offset > size_bytes || size > size_bytes - offset) return no_bundle(file, "its end is missing");
    if (entries.size() >= kEntriesLimit)
      return no_bundle(file, fmt::format("there are over {} entries", kEntriesLimit));
    if (!entries.emplace(name, Place{offset, size}).second) {
      return no_bundle(file, fmt::format("'{}' comes twice", name));
    }
    return {};
  }

  Result<void> read(std::uint64_t offset, std::span<std::byte> into) const {
    while (!into.empty()) {
      const auto got = ::pread(descriptor, into.data(), into.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return cannot_read(file, got < 0 ? errno : EIO);
      offset += static_cast<std::uint64_t>(got);
      into = into.subspan(static_cast<std::size_t>(got));
    }
    return {};
  }

  [[nodiscard]] Result<std::string> text(std::string_view name, std::uint64_t limit_bytes) const {
    const auto found = entries.find(name);
    if (found == entries.end()) return not_in_it(name);
    if (found->second.size_bytes > limit_bytes) {
      return Error(ErrorCode::resource_exhausted, "VRG-BDL-005",
                   fmt::format("'{}' in the bundle: expected at most {} bytes, got {}", name, limit_bytes,
                               found->second.size_bytes));
    }
    std::string content(static_cast<std::size_t>(found->second.size_bytes), '\0');
    VERGE_TRY(read(found->second.offset_bytes, std::as_writable_bytes(std::span(content))));
    return content;
  }
};

Reader::Reader(std::unique_ptr<State> state) : state_(std::move(state)) {}
Reader::~Reader() = default;
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;

Result<Reader> Reader::open(const std::filesystem::path& file) {
  auto state = std::make_unique<State>();
  state->file = file;
  state->descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (state->descriptor < 0 || ::fstat(state->descriptor, &status) != 0) return cannot_read(file, errno);
  if (!S_ISREG(status.st_mode)) return no_bundle(file, "it is no file");
  state->size_bytes = static_cast<std::uint64_t>(status.st_size);
  VERGE_TRY(state->find_entries());
  const auto text = state->text(kDescription, kDescriptionLimitBytes);
  if (!text) return no_bundle(file, text.error().message());
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(*text, kDescription));
  VERGE_ASSIGN(state->description, wire::read_bundle(node, wire::Place(std::string(kDescription))));
  return Reader(std::move(state));
}

const wire::Bundle& Reader::description() const noexcept {
  return state_->description;
}

Result<std::string> Reader::metadata(std::string_view name, std::uint64_t limit_bytes) const {
  return state_->text(std::string(kMetadata) + std::string(name), limit_bytes);
}

std::optional<std::uint64_t> Reader::blob_bytes(const std::string& digest) const {
  const auto found = state_->entries.find(blob_entry(digest));
  if (found == state_->entries.end()) return std::nullopt;
  return found->second.size_bytes;
}

Result<void> Reader::blob(const std::string& digest, std::uint64_t offset, const Sink& sink) const {
  const auto found = state_->entries.find(blob_entry(digest));
  if (found == state_->entries.end()) return not_in_it(digest);
  std::vector<std::byte> piece(kPiece_bytes);
  while (offset < found->second.size_bytes) {
    const auto part = std::span(piece).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), found->second.size_bytes - offset)));
    VERGE_TRY(state_->read(found->second.offset_bytes + offset, part));
    VERGE_TRY(sink(part));
    offset += part.size();
  }
  return {};
}

std::uint64_t Reader::size_bytes() const noexcept {
  return state_->size_bytes;
}

}  // namespace verge::bundle
