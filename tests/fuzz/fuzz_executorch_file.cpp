// Any bytes as an ExecuTorch program, or as XNNPACK's graph in one (by the first byte): accepted, or refused.
#include <cstdint>
#include <span>

#include "verge/engines/executorch_file.hpp"
#include "xnnpack_graph.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  namespace engines = verge::engines;
  if (size_bytes == 0) return 0;
  const auto content = std::as_bytes(std::span(data, size_bytes)).subspan(1);
  try {
    if (data[0] % 2 == 0) {
      engines::check_executorch(content);
    } else {
      engines::executorch_file::Surroundings surroundings;
      surroundings.named_size_bytes = [](std::string_view name) {
        return name.empty() ? std::nullopt : std::optional<std::uint64_t>(1U << 24U);
      };
      surroundings.argument_element_bytes = {4, 4};
      engines::executorch_file::check_xnnpack_graph(content, surroundings);
    }
  } catch (const engines::Failure&) {
    return 0;  // Refused, as it should be.
  }
  return 0;
}
