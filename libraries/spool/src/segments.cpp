#include "segments.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

namespace verge::spool {
namespace {

constexpr std::size_t kDigits = 16;
constexpr std::size_t kPieceBytes = std::size_t{64} << 10U;
constexpr std::string_view kMagic = "VSB1";

}  // namespace

std::string segment_path(const std::filesystem::path& folder, std::uint64_t number) {
  return (folder / fmt::format("{:016x}{}", number, kSegmentSuffix)).string();
}

Result<std::vector<std::uint64_t>> segment_numbers(FileSystem& system, const std::string& folder) {
  const auto names = system.list(folder);
  if (!names) return file_error("list", folder, names.error());
  std::vector<std::uint64_t> numbers;
  for (const std::string_view name : *names) {
    std::uint64_t number = 0;
    if (name.size() != kDigits + std::string_view(kSegmentSuffix).size() || !name.ends_with(kSegmentSuffix)) continue;
    const auto read = std::from_chars(name.data(), name.data() + kDigits, number, 16);
    if (read.ec == std::errc() && read.ptr == name.data() + kDigits) numbers.push_back(number);
  }
  std::ranges::sort(numbers);
  return numbers;
}

Result<SegmentReader> SegmentReader::open(FileSystem& system, const std::string& path) {
  const auto number = system.open(path);
  if (!number) return file_error("read", path, number.error());
  auto file = std::make_unique<OpenFile>(system, *number);
  const auto status = system.status(file->get());
  if (!status) return file_error("read", path, status.error());
  return SegmentReader(system, std::move(file), status->is_file ? status->size_bytes : 0);
}

bool SegmentReader::read(std::uint64_t at, std::span<std::byte> into) const {
  while (!into.empty()) {
    const auto got = system_->read_at(file_->get(), at, into);
    if (!got || *got == 0) return false;
    at += *got;
    into = into.subspan(*got);
  }
  return true;
}

std::optional<Head> SegmentReader::head_at(std::uint64_t at, std::uint64_t end_bytes) const {
  std::array<std::byte, kHeadBytes> bytes{};
  if (end_bytes < at || end_bytes - at < kHeadBytes || !read(at, bytes)) return std::nullopt;
  auto head = read_head(bytes);
  if (head && end_bytes - at - kHeadBytes < head->body_bytes) return std::nullopt;
  return head;
}

/// The end when there is none.
std::uint64_t SegmentReader::find_head(std::uint64_t from, std::uint64_t end_bytes) const {
  std::vector<std::byte> piece;
  while (end_bytes > from && end_bytes - from >= kHeadBytes) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, end_bytes - from)));
    if (!read(from, piece)) return end_bytes;
    const std::string_view text(reinterpret_cast<const char*>(piece.data()), piece.size());
    for (auto found = text.find(kMagic); found != std::string_view::npos; found = text.find(kMagic, found + 1)) {
      if (head_at(from + found, end_bytes)) return from + found;
    }
    if (piece.size() == end_bytes - from) return end_bytes;
    from += piece.size() - kMagic.size() + 1;
  }
  return end_bytes;
}

std::optional<Head> SegmentReader::next(std::uint64_t end_bytes, std::uint64_t& passed_over) {
  end_bytes = std::min(end_bytes, size_bytes_);
  if (at_ >= end_bytes) return std::nullopt;
  auto head = head_at(at_, end_bytes);
  if (!head) {
    at_ = find_head(at_ + 1, end_bytes);
    ++passed_over;
    head = head_at(at_, end_bytes);
    if (!head) return std::nullopt;
  }
  head_ = *head;
  at_ += kHeadBytes + head_.body_bytes;
  return head_;
}

std::span<const std::byte> SegmentReader::stored_body() {
  stored_.resize(head_.body_bytes);
  if (!read(at_ - head_.body_bytes, stored_)) stored_.clear();
  return stored_;
}

std::optional<Body> SegmentReader::body(const at_rest::DataKeys* keys) {
  return read_body(head_, stored_body(), keys, plain_);
}

Result<void> SegmentWriter::begin() {
  const auto path = segment_path(folder_, next_);
  const auto made = system_.create(path);
  if (!made) return file_error("write", path, made.error());
  file_ = std::make_unique<OpenFile>(system_, *made);
  number_ = next_++;
  size_bytes_ = 0;
  counts_ = false;
  unsynced_ = false;
  return {};
}

void SegmentWriter::give_up() {
  file_.reset();
  // What it may hold is written again; where it cannot be removed it only comes twice, with the same numbers.
  if (!counts_) (void)system_.unlink(segment_path(folder_, number_)).has_value();
}

void SegmentWriter::close() {
  file_.reset();
}

Result<SegmentWriter::Place> SegmentWriter::append(std::span<const std::byte> block) {
  if (file_ && size_bytes_ + block.size() > segment_bytes_) {
    if (unsynced_) VERGE_TRY(sync());
    close();
  }
  if (!file_) VERGE_TRY(begin());
  if (const auto written = file_->write_all(block); !written) {
    give_up();
    return file_error("write", segment_path(folder_, number_), written.error());
  }
  unsynced_ = true;
  size_bytes_ += block.size();
  ++writes;
  written_bytes += block.size();
  return Place{number_, size_bytes_};
}

Result<void> SegmentWriter::sync() {
  ++syncs;
  if (const auto synced = system_.sync(file_->get()); !synced) {
    give_up();
    return file_error("sync", segment_path(folder_, number_), synced.error());
  }
  unsynced_ = false;
  if (counts_) return {};
  ++syncs;
  if (auto named = sync_path(system_, folder_.string()); !named) {
    give_up();
    return named;
  }
  counts_ = true;
  return {};
}

}  // namespace verge::spool
