// Bytes packed by zstd or LZMA, with others as what came before them: whichever comes out smaller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::delta {

enum class Packing : std::uint8_t { zstd, lzma };

struct Packed {
  Packing packing = Packing::zstd;
  std::vector<std::byte> bytes;
};

/// Seconds for each ten MB.
[[nodiscard]] Packed pack(std::span<const std::byte> bytes, std::span<const std::byte> prefix);
/// Size that zstd comes to, sooner: for trials.
[[nodiscard]] std::size_t quickly_packed_bytes(std::span<const std::byte> bytes, std::span<const std::byte> prefix);

/// Unpacks as it is asked. Takes at most 32 MiB beside the prefix, whatever the packed bytes say.
class Unpacker {
 public:
  /// `refill` gives the next packed bytes, valid until it is called again; none: the end. `prefix` must outlive this;
  /// `size_bytes`: of all that will be taken.
  using Refill = std::function<Result<std::span<const std::byte>>()>;
  static std::unique_ptr<Unpacker> create(Packing packing, std::span<const std::byte> prefix, std::uint64_t size_bytes,
                                          Refill refill);
  virtual ~Unpacker() = default;
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;
  Unpacker(Unpacker&&) = delete;
  Unpacker& operator=(Unpacker&&) = delete;

  /// Fills `into`. Errors: data_loss (VRG-DLT-002 damaged, or no more there); those of `refill`.
  virtual Result<void> take(std::span<std::byte> into) = 0;

 protected:
  Unpacker() = default;
};

}  // namespace verge::delta
