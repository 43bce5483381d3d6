// Encrypted file: content in authenticated chunks of 64 KiB, which may grow, and is read at any place.
//
//   header   "VRGREST1", the data key's identifier (8 bytes), a random salt (32), zeros (16)
//   frame    nonce (12), a chunk of the content, encrypted, tag (16); one after the other
//
// Each chunk is sealed with AES-256-GCM under a key of this file alone: HKDF-SHA256 of the data key, with the salt and
// the header. What is authenticated with it says which chunk it is and whether it is the last one, so that a file that
// was changed, cut, extended, put together anew or mixed with another is noticed. All chunks but the last are full; the
// last one is empty only in an empty file. Nonces are random: a chunk that was torn by a loss of power is sealed again,
// under another. documentation/adr/0010-encrypted-files.md has the reasons.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "verge/at_rest/data_keys.hpp"
#include "verge/at_rest/secret.hpp"
#include "verge/base/error.hpp"

namespace verge::at_rest {

inline constexpr std::size_t kHeaderBytes = 64;
inline constexpr std::size_t kChunkBytes = std::size_t{64} << 10U;
/// What a chunk needs beside its content.
inline constexpr std::size_t kFrameExtraBytes = 28;
/// Largest content: within it, nonces do not come twice (NIST SP 800-38D asks for less than 2^32 of them).
inline constexpr std::uint64_t kContentLimitBytes = std::uint64_t{1} << 40U;

/// Whether a file that begins so is meant to be one of these.
[[nodiscard]] bool looks_encrypted(std::span<const std::byte> begin) noexcept;
/// How large a finished file with this much content is.
[[nodiscard]] std::uint64_t stored_size(std::uint64_t content_bytes) noexcept;
/// How much content a finished file of this size has; nothing: no finished file has this size.
[[nodiscard]] std::optional<std::uint64_t> content_size(std::uint64_t stored_bytes) noexcept;

/// A file as it is stored. `read` gives exactly the bytes asked for.
struct Stored {
  std::uint64_t size_bytes = 0;
  std::function<Result<void>(std::uint64_t offset_bytes, std::span<std::byte> into)> read;
};
/// Takes what is to be added to the end of a stored file.
using Sink = std::function<Result<void>(std::span<const std::byte>)>;

class FileCipher;

/// The content of a file, at any place. Used by one thread at a time.
///
/// Errors of all calls: data_loss (VRG-RST-001 it was changed, or ends before its end; 002 it is no such file),
/// failed_precondition (VRG-RST-003 its key is unknown), and those of `stored`.
class Reader {
 public:
  /// Of a finished file: reads its last chunk, so that its size is authentic.
  static Result<Reader> open(Stored stored, const DataKeys& keys);
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;
  ~Reader();

  [[nodiscard]] std::uint64_t size_bytes() const noexcept;
  /// Exactly so many bytes. Errors beside the above: out_of_range (VRG-RST-004).
  Result<void> read(std::uint64_t offset_bytes, std::span<std::byte> into);
  /// All of it, a chunk at a time.
  Result<void> read_all(const std::function<Result<void>(std::span<const std::byte>)>& piece);

 private:
  friend class GrowingFile;
  Reader(Stored stored, std::unique_ptr<FileCipher> cipher, std::uint64_t whole, PlainBytes last);
  Result<std::span<const std::byte>> chunk(std::uint64_t index);

  Stored stored_;
  std::unique_ptr<FileCipher> cipher_;
  std::uint64_t whole_ = 0;  ///< Chunks before the last.
  PlainBytes last_;
  PlainBytes frame_;
  PlainBytes held_;  ///< The chunk that was read before: `held_index_`.
  std::uint64_t held_index_ = 0;
};

/// A file that is written from its beginning to its end, maybe in several runs of a program. Used by one thread at a
/// time. What it was given last, at most 64 KiB, is in memory only until finish(): a run that ends before loses it.
class GrowingFile {
 public:
  /// A new one: its header is the first that append() or finish() gives.
  static GrowingFile begin(const DataKeys& keys);
  /// What is good of a file that a run before has left, finished or torn. Errors: VRG-RST-002 not even its header is
  /// whole, VRG-RST-003, those of `stored`.
  static Result<GrowingFile> resume(const Stored& stored, const DataKeys& keys);
  GrowingFile(GrowingFile&&) noexcept;
  GrowingFile& operator=(GrowingFile&&) noexcept;
  ~GrowingFile();

  /// Content so far.
  [[nodiscard]] std::uint64_t size_bytes() const noexcept;
  /// How much of the stored file is good. What is behind it must go before anything is added.
  [[nodiscard]] std::uint64_t stored_bytes() const noexcept;
  [[nodiscard]] bool is_finished() const noexcept { return finished_; }
  /// The data key that it is encrypted with.
  [[nodiscard]] KeyId key() const noexcept;
  /// Not of a finished file. When `sink` fails, the object is of no more use: resume() anew. Errors: those of `sink`;
  /// resource_exhausted (VRG-RST-005 past kContentLimitBytes).
  Result<void> append(std::span<const std::byte> bytes, const Sink& sink);
  /// Seals the last chunk; nothing happens when that is done.
  Result<void> finish(const Sink& sink);
  /// Takes the end of a finished file back into memory: stored_bytes() is less then.
  void reopen() noexcept;
  /// What there is so far; `stored` has at least stored_bytes().
  [[nodiscard]] Reader reader(Stored stored) const;

 private:
  GrowingFile(std::unique_ptr<FileCipher> cipher, bool header_is_stored);
  Result<void> add(std::span<const std::byte> chunk, bool last, const Sink& sink);

  std::unique_ptr<FileCipher> cipher_;
  bool header_is_stored_ = false;
  std::uint64_t whole_ = 0;  ///< Stored chunks that are not the last.
  PlainBytes last_;
  bool finished_ = false;  ///< `last_` is stored, too.
};

/// Encrypts whole content at once.
[[nodiscard]] std::vector<std::byte> encrypt(std::span<const std::byte> content, const DataKeys& keys);
/// The identifier in a header; nothing: it is none.
[[nodiscard]] std::optional<KeyId> key_of(std::span<const std::byte> begin) noexcept;

}  // namespace verge::at_rest
