// Plan: which bytes of the new file come from where.
#pragma once

#include <vector>

#include "delta_format.hpp"

namespace verge::delta {

/// Segments of the new file, front to back, the sizes of what is coded still 0. Where a tensor lies in both files, and
/// whether its differences, its values or zstd make it smallest, is tried on samples.
[[nodiscard]] std::vector<Segment> make_plan(const Content& old, const Content& fresh);

/// All of the new file as other bytes.
[[nodiscard]] std::vector<Segment> plain_plan(std::uint64_t new_size_bytes);

}  // namespace verge::delta
