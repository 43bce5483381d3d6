// Any bytes as a delta: refused, or applied within the limits. And any two files: the second comes back from the first.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "verge/delta/delta.hpp"

namespace {

using verge::Result;
using Bytes = std::span<const std::byte>;

verge::delta::Source source_of(Bytes bytes) {
  verge::delta::Source source;
  source.size_bytes = bytes.size();
  source.read = [bytes](std::uint64_t offset, std::span<std::byte> into) -> Result<void> {
    if (offset > bytes.size() || into.size() > bytes.size() - offset) std::abort();  // It must not ask for more.
    if (!into.empty()) std::memcpy(into.data(), bytes.data() + offset, into.size());
    return {};
  };
  return source;
}

Result<std::vector<std::byte>> applied(Bytes old, Bytes delta) {
  std::vector<std::byte> fresh;
  auto result = verge::delta::apply(source_of(old), source_of(delta), [&](Bytes piece) -> Result<void> {
    if (piece.size() > verge::delta::kPiece_bytes) std::abort();
    fresh.insert(fresh.end(), piece.begin(), piece.end());
    // Enough: what a delta promises is bounded by its header, not by the patience of this program.
    if (fresh.size() > (std::size_t{16} << 20U)) {
      return verge::Error(verge::ErrorCode::resource_exhausted, "VRG-TST-002", "large enough");
    }
    return {};
  });
  if (!result) return std::move(result).error();
  return fresh;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const auto bytes = std::as_bytes(std::span(data, size_bytes));
  static const std::vector<std::byte> old(4096, std::byte{7});
  (void)applied(old, bytes).has_value();
  constexpr std::byte kOften{7};  // Making one takes a hundred times as long.
  if (size_bytes < 2 || (bytes.back() & kOften) != std::byte{0}) return 0;
  const auto cut = std::to_integer<std::size_t>(bytes[0]) * (size_bytes - 1) / 256;
  const auto first = bytes.subspan(1, cut);
  const auto second = bytes.subspan(1 + cut);
  using verge::model_file::ElementKind;
  const auto tensors = [&](Bytes file) {
    std::vector<verge::model_file::FileTensor> found;
    const auto kind = static_cast<ElementKind>(size_bytes % verge::model_file::kElementKinds);
    const auto whole = file.size() / verge::model_file::size_bytes(kind) * verge::model_file::size_bytes(kind);
    if (whole > 0) found.push_back({"w", kind, 0, whole});
    return found;
  };
  const auto delta = verge::delta::make({first, tensors(first)}, {second, tensors(second)});
  if (!delta) std::abort();
  const auto back = applied(first, *delta);
  if (!back || !std::ranges::equal(*back, second)) std::abort();
  return 0;
}
