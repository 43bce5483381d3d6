#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "archive_part.hpp"
#include "entry_names.hpp"
#include "verge/bundle/bundle.hpp"

namespace verge::bundle {
namespace {

constexpr std::size_t kPiece_bytes = std::size_t{256} << 10U;

Error cannot_read(const std::filesystem::path& file, int number) {
  return Error(
      number == ENOENT ? ErrorCode::not_found : ErrorCode::unavailable, "VRG-BDL-001",
      fmt::format("cannot read '{}': {}", file.string(), std::error_code(number, std::generic_category()).message()));
}

Error not_in_it(std::string_view name) {
  return Error(ErrorCode::not_found, "VRG-BDL-004", fmt::format("the bundle has no '{}'", name));
}

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
    VERGE_ASSIGN(const ArchivePart* part, archive_part());
    VERGE_ASSIGN(auto found, part->list(descriptor, size_bytes, file));
    for (auto& entry : found) entries.emplace(std::move(entry.name), Place{entry.offset_bytes, entry.size_bytes});
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
