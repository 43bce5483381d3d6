#include "verge/at_rest/encrypted_file.hpp"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

#include "file_cipher.hpp"

namespace verge::at_rest {
namespace {

constexpr std::size_t kFrameBytes = kChunkBytes + kFrameExtraBytes;
static_assert(kFrameExtraBytes == kNonceBytes + kTagBytes);

std::uint64_t frame_at(std::uint64_t index) {
  return kHeaderBytes + index * kFrameBytes;
}

Error changed(std::uint64_t index) {
  return Error(ErrorCode::data_loss, "VRG-RST-001",
               fmt::format("expected the file as it was encrypted, got another at chunk {}: it was changed, cut or "
                           "mixed with another",
                           index));
}

Result<std::unique_ptr<FileCipher>> cipher_of(const Stored& stored, const DataKeys& keys) {
  if (stored.size_bytes < kHeaderBytes) {
    return Error(ErrorCode::data_loss, "VRG-RST-002",
                 fmt::format("expected an encrypted file of at least {} bytes, got {}; it is damaged", kHeaderBytes,
                             stored.size_bytes));
  }
  Header header;
  VERGE_TRY(stored.read(0, header));
  return FileCipher::of(header, keys);
}

/// The chunk in `chunk`, whose size is set by what is stored. False: it is not the one that it should be.
Result<bool> read_chunk(const Stored& stored, FileCipher& cipher, std::uint64_t index, bool last, std::size_t size,
                        PlainBytes& frame, PlainBytes& chunk) {
  frame.resize(size + kFrameExtraBytes);
  chunk.resize(size);
  VERGE_TRY(stored.read(frame_at(index), frame));
  return cipher.open(index, last, frame, chunk);
}

}  // namespace

std::uint64_t stored_size(std::uint64_t content_bytes) noexcept {
  const auto chunks = std::max<std::uint64_t>((content_bytes + kChunkBytes - 1) / kChunkBytes, 1);
  return kHeaderBytes + content_bytes + chunks * kFrameExtraBytes;
}

std::optional<std::uint64_t> content_size(std::uint64_t stored_bytes) noexcept {
  if (stored_bytes < kHeaderBytes + kFrameExtraBytes) return std::nullopt;
  const auto frames = stored_bytes - kHeaderBytes;
  const auto whole = frames / kFrameBytes;
  const auto rest = frames % kFrameBytes;
  if (rest == 0) return whole * kChunkBytes;
  // An empty last chunk is the only one.
  if (rest < kFrameExtraBytes || (rest == kFrameExtraBytes && whole > 0)) return std::nullopt;
  return whole * kChunkBytes + rest - kFrameExtraBytes;
}

Reader::Reader(Stored stored, std::unique_ptr<FileCipher> cipher, std::uint64_t whole, PlainBytes last)
    : stored_(std::move(stored)),
      cipher_(std::move(cipher)),
      whole_(whole),
      last_(std::move(last)),
      held_index_(whole) {}
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;
Reader::~Reader() = default;

Result<Reader> Reader::open(Stored stored, const DataKeys& keys) {
  VERGE_ASSIGN(auto cipher, cipher_of(stored, keys));
  const auto content = content_size(stored.size_bytes);
  if (!content || *content > kContentLimitBytes) return changed(0);
  const auto whole = *content == 0 ? 0 : (*content - 1) / kChunkBytes;
  PlainBytes frame;
  PlainBytes last;
  VERGE_ASSIGN(const bool authentic, read_chunk(stored, *cipher, whole, true,
                                                static_cast<std::size_t>(*content - whole * kChunkBytes), frame, last));
  if (!authentic) return changed(whole);
  return Reader(std::move(stored), std::move(cipher), whole, std::move(last));
}

std::uint64_t Reader::size_bytes() const noexcept {
  return whole_ * kChunkBytes + last_.size();
}

Result<std::span<const std::byte>> Reader::chunk(std::uint64_t index) {
  if (index == whole_) return std::span<const std::byte>(last_);
  if (index == held_index_) return std::span<const std::byte>(held_);
  held_index_ = whole_;  // Holds nothing until it is authentic.
  VERGE_ASSIGN(const bool authentic, read_chunk(stored_, *cipher_, index, false, kChunkBytes, frame_, held_));
  if (!authentic) return changed(index);
  held_index_ = index;
  return std::span<const std::byte>(held_);
}

Result<void> Reader::read(std::uint64_t offset_bytes, std::span<std::byte> into) {
  if (offset_bytes > size_bytes() || into.size() > size_bytes() - offset_bytes) {
    return Error(
        ErrorCode::out_of_range, "VRG-RST-004",
        fmt::format("expected a place within {} bytes, got {} bytes at {}", size_bytes(), into.size(), offset_bytes));
  }
  while (!into.empty()) {
    VERGE_ASSIGN(const auto found, chunk(offset_bytes / kChunkBytes));
    const auto from = found.subspan(static_cast<std::size_t>(offset_bytes % kChunkBytes));
    const auto count = std::min(from.size(), into.size());
    std::ranges::copy(from.first(count), into.begin());
    into = into.subspan(count);
    offset_bytes += count;
  }
  return {};
}

Result<void> Reader::read_all(const std::function<Result<void>(std::span<const std::byte>)>& piece) {
  for (std::uint64_t index = 0; index <= whole_; ++index) {
    VERGE_ASSIGN(const auto found, chunk(index));
    VERGE_TRY(piece(found));
  }
  return {};
}

GrowingFile::GrowingFile(std::unique_ptr<FileCipher> cipher, bool header_is_stored)
    : cipher_(std::move(cipher)), header_is_stored_(header_is_stored) {}
GrowingFile::GrowingFile(GrowingFile&&) noexcept = default;
GrowingFile& GrowingFile::operator=(GrowingFile&&) noexcept = default;
GrowingFile::~GrowingFile() = default;

GrowingFile GrowingFile::begin(const DataKeys& keys) {
  return {FileCipher::make(keys), false};
}

Result<GrowingFile> GrowingFile::resume(const Stored& stored, const DataKeys& keys) {
  VERGE_ASSIGN(auto cipher, cipher_of(stored, keys));
  GrowingFile file(std::move(cipher), true);
  PlainBytes frame;
  PlainBytes chunk;
  while (true) {
    const auto left = stored.size_bytes - std::min(stored.size_bytes, frame_at(file.whole_));
    if (left >= kFrameBytes) {
      VERGE_ASSIGN(const bool authentic,
                   read_chunk(stored, *file.cipher_, file.whole_, false, kChunkBytes, frame, chunk));
      if (authentic) {
        ++file.whole_;
        continue;
      }
    }
    // The last one, or what a loss of power has left.
    if (left < kFrameExtraBytes || left > kFrameBytes) return file;
    const auto size = static_cast<std::size_t>(left) - kFrameExtraBytes;
    if (size == 0 && file.whole_ > 0) return file;
    VERGE_ASSIGN(file.finished_, read_chunk(stored, *file.cipher_, file.whole_, true, size, frame, chunk));
    if (file.finished_) file.last_ = std::move(chunk);
    return file;
  }
}

std::uint64_t GrowingFile::size_bytes() const noexcept {
  return whole_ * kChunkBytes + last_.size();
}

std::uint64_t GrowingFile::stored_bytes() const noexcept {
  if (!header_is_stored_) return 0;
  return frame_at(whole_) + (finished_ ? last_.size() + kFrameExtraBytes : 0);
}

KeyId GrowingFile::key() const noexcept {
  return *key_of(cipher_->header());
}

Result<void> GrowingFile::add(std::span<const std::byte> chunk, bool last, const Sink& sink) {
  const auto begin = header_is_stored_ ? 0 : kHeaderBytes;
  std::vector<std::byte> added(begin + chunk.size() + kFrameExtraBytes);
  if (!header_is_stored_) std::ranges::copy(cipher_->header(), added.begin());
  cipher_->seal(whole_, last, chunk, std::span(added).subspan(begin));
  VERGE_TRY(sink(added));
  header_is_stored_ = true;
  return {};
}

Result<void> GrowingFile::append(std::span<const std::byte> bytes, const Sink& sink) {
  assert(!finished_);
  if (bytes.size() > kContentLimitBytes - size_bytes()) {
    return Error(ErrorCode::resource_exhausted, "VRG-RST-005",
                 fmt::format("expected at most {} bytes of content, got more", kContentLimitBytes));
  }
  if (!header_is_stored_) {
    VERGE_TRY(sink(cipher_->header()));
    header_is_stored_ = true;
  }
  while (!bytes.empty()) {
    // A full chunk stays until more comes: it may be the last.
    if (last_.size() == kChunkBytes) {
      VERGE_TRY(add(last_, false, sink));
      ++whole_;
      last_.clear();
    }
    const auto count = std::min(bytes.size(), kChunkBytes - last_.size());
    last_.insert(last_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
  }
  return {};
}

Result<void> GrowingFile::finish(const Sink& sink) {
  if (finished_) return {};
  VERGE_TRY(add(last_, true, sink));
  finished_ = true;
  return {};
}

void GrowingFile::reopen() noexcept {
  finished_ = false;
}

Reader GrowingFile::reader(Stored stored) const {
  return {std::move(stored), cipher_->copy(), whole_, last_};
}

std::vector<std::byte> encrypt(std::span<const std::byte> content, const DataKeys& keys) {
  std::vector<std::byte> made;
  made.reserve(static_cast<std::size_t>(stored_size(content.size())));
  const auto sink = [&](std::span<const std::byte> bytes) -> Result<void> {
    made.insert(made.end(), bytes.begin(), bytes.end());
    return {};
  };
  auto file = GrowingFile::begin(keys);
  [[maybe_unused]] const bool done = file.append(content, sink).has_value() && file.finish(sink).has_value();
  assert(done);
  return made;
}

}  // namespace verge::at_rest
