// Table row: named columns of a row as the values that a model takes.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/wire/preprocessing.hpp"

namespace verge::processing {

/// Values that the columns give: one each, or one for each category.
[[nodiscard]] std::size_t value_count(std::span<const wire::Column> columns) noexcept;

/// Reads a JSON object, a JSON array in the order of the columns, or CSV (a header and one row) into `values`
/// (resized). Errors: invalid_argument (VRG-FEA-011), naming the column.
Result<void> read_row(std::span<const std::byte> content, std::span<const wire::Column> columns,
                      std::vector<float>& values);

}  // namespace verge::processing
