// XNNPACK's graph inside an ExecuTorch program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace verge::engines::executorch_file {

/// The part of a program that a graph is checked against.
struct Surroundings {
  /// Bytes of the program's named data; nothing for a name that is not there.
  std::function<std::optional<std::uint64_t>(std::string_view)> named_size_bytes;
  /// Bytes of an element of each tensor that the program hands to the graph, in order; 0 for what is no tensor.
  std::vector<std::size_t> argument_element_bytes;
};

/// Throws Failure(CORRUPT). `blob`: the delegate's data, with or without XNNPACK's header.
void check_xnnpack_graph(std::span<const std::byte> blob, const Surroundings& surroundings);

}  // namespace verge::engines::executorch_file
