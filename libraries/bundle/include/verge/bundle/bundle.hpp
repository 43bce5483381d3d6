// Bundle: updates in one file that is carried to devices without a network.
//
// A tar archive without compression: bundle.json, the hub's signed metadata (metadata/NAME), and an OCI image layout
// with everything that they name. Nothing in it is trusted: metadata are checked by their signatures, content by its
// digest, exactly as if a hub had sent them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/wire/bundle.hpp"

namespace verge::bundle {

inline constexpr std::uint64_t kDescriptionLimitBytes = std::uint64_t{64} << 20U;

/// Takes pieces of a blob, front to back.
using Sink = std::function<Result<void>(std::span<const std::byte>)>;

/// Makes a bundle; the file is there once finish() has succeeded, and not before.
class Writer {
 public:
  /// Errors: unavailable (VRG-BDL-001 the file cannot be written).
  static Result<Writer> create(const std::filesystem::path& file);
  ~Writer();
  Writer(Writer&&) noexcept;
  Writer& operator=(Writer&&) noexcept;

  Result<void> describe(const wire::Bundle& description);
  /// As a client asks for it: "timestamp.json", "2.root.json".
  Result<void> add_metadata(std::string_view name, std::string_view content);
  /// Each once; `fill` gives exactly so many bytes. Errors: data_loss (VRG-BDL-002 more or fewer, or another digest);
  /// those of `fill` and of the disk.
  Result<void> add_blob(const std::string& digest, std::uint64_t size_bytes,
                        const std::function<Result<void>(const Sink&)>& fill);
  [[nodiscard]] bool has_blob(const std::string& digest) const;
  /// A manifest among the blobs, for tools that read image layouts. `tag` may be empty.
  void list_manifest(const std::string& media_type, const std::string& digest, std::uint64_t size_bytes,
                     const std::string& tag);
  /// Synced when it returns.
  Result<void> finish();
  [[nodiscard]] std::uint64_t size_bytes() const noexcept;

 private:
  struct State;
  explicit Writer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Reads a bundle, in any order, from several threads. The file may disappear: then reading gives errors.
class Reader {
 public:
  /// Errors: not_found, unavailable (VRG-BDL-001; 006 the archive part is not installed), failed_precondition
  /// (VRG-BDL-006 it is another version's), data_loss (VRG-BDL-003 no bundle, or a damaged one).
  static Result<Reader> open(const std::filesystem::path& file);
  ~Reader();
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;

  [[nodiscard]] const wire::Bundle& description() const noexcept;
  /// Errors: not_found (VRG-BDL-004), resource_exhausted (VRG-BDL-005 larger), unavailable (VRG-BDL-001).
  [[nodiscard]] Result<std::string> metadata(std::string_view name, std::uint64_t limit_bytes) const;
  [[nodiscard]] std::optional<std::uint64_t> blob_bytes(const std::string& digest) const;
  /// From byte `offset` on. Errors: not_found (VRG-BDL-004), unavailable (VRG-BDL-001); those of `sink`.
  [[nodiscard]] Result<void> blob(const std::string& digest, std::uint64_t offset, const Sink& sink) const;
  [[nodiscard]] std::uint64_t size_bytes() const noexcept;

 private:
  struct State;
  explicit Reader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace verge::bundle
