#include "table_row.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "verge/base/text.hpp"

namespace verge::processing {
namespace {

using nlohmann::json;

constexpr std::size_t kRowLimitBytes = std::size_t{16} << 20U;

Error wrong(std::string what) {
  return {ErrorCode::invalid_argument, "VRG-FEA-011", std::move(what)};
}

/// What a cell holds; an empty one, or null, is missing.
struct Cell {
  std::optional<double> number;
  std::optional<std::string> text;
};

Cell cell_of(const json& value) {
  Cell cell;
  if (value.is_number()) cell.number = value.get<double>();
  if (value.is_boolean()) cell.number = value.get<bool>() ? 1 : 0;
  if (value.is_string()) cell.text = value.get<std::string>();
  return cell;
}

Cell cell_of(std::string_view text) {
  Cell cell;
  if (text.empty()) return cell;
  cell.text = std::string(text);
  double number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed == std::errc{} && end == text.data() + text.size()) cell.number = number;
  return cell;
}

/// Fields of a line of CSV; quotes as in RFC 4180.
std::vector<std::string> split(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

using Row = std::map<std::string, Cell, std::less<>>;

Result<Row> read_csv(std::string_view text) {
  std::vector<std::vector<std::string>> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) lines.push_back(split(line));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (lines.size() != 2 || lines[0].size() != lines[1].size()) {
    return wrong(fmt::format(
        "expected CSV with a header and one row of as many fields, got {} lines{}; send a row at "
        "a time",
        lines.size(), lines.size() == 2 ? fmt::format(" of {} and {} fields", lines[0].size(), lines[1].size()) : ""));
  }
  Row row;
  for (std::size_t i = 0; i < lines[0].size(); ++i) row[lines[0][i]] = cell_of(std::string_view(lines[1][i]));
  return row;
}

Result<Row> read_cells(std::string_view text, std::span<const wire::Column> columns) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return wrong("expected a row (JSON object, JSON array or CSV), got nothing");
  if (text[first] != '{' && text[first] != '[') return read_csv(text);
  const auto document = json::parse(text.begin(), text.end(), nullptr, false);
  Row row;
  if (document.is_object()) {
    for (const auto& [name, value] : document.items()) row[name] = cell_of(value);
    return row;
  }
  if (!document.is_array()) return wrong("the row is not valid JSON; write it as {\"column\": value, …}");
  if (document.size() != columns.size()) {
    return wrong(fmt::format("expected {} values, one for each column, got {}", columns.size(), document.size()));
  }
  for (std::size_t i = 0; i < columns.size(); ++i) row[columns[i].name] = cell_of(document[i]);
  return row;
}

Result<void> add_number(const wire::Column& column, const Cell& cell, std::vector<float>& values) {
  const auto number = cell.number ? cell.number : cell.text ? std::nullopt : column.missing;
  if (!number || !std::isfinite(*number)) {
    return wrong(fmt::format("expected a number in column '{}', got {}", column.name,
                             cell.text ? "'" + *cell.text + "'" : "nothing"));
  }
  values.push_back(static_cast<float>((*number - column.mean) / column.std));
  return {};
}

Result<void> add_category(const wire::Column& column, const Cell& cell, std::vector<float>& values) {
  std::string text;
  if (cell.text) {
    text = *cell.text;
  } else if (cell.number) {
    text = fmt::format("{}", *cell.number);
  }
  const auto found = std::ranges::find(column.categories, text);
  if (found == column.categories.end()) {
    const std::vector<std::string_view> known(column.categories.begin(), column.categories.end());
    return wrong(fmt::format("expected column '{}' to be {}, got '{}'", column.name, one_of(known), text));
  }
  for (auto at = column.categories.begin(); at != column.categories.end(); ++at) {
    values.push_back(at == found ? 1.0F : 0.0F);
  }
  return {};
}

}  // namespace

std::size_t value_count(std::span<const wire::Column> columns) noexcept {
  std::size_t count = 0;
  for (const auto& column : columns) count += std::max<std::size_t>(column.categories.size(), 1);
  return count;
}

Result<void> read_row(std::span<const std::byte> content, std::span<const wire::Column> columns,
                      std::vector<float>& values) {
  if (content.size() > kRowLimitBytes) {
    return wrong(fmt::format("expected a row of at most {} bytes, got {}", kRowLimitBytes, content.size()));
  }
  VERGE_ASSIGN(const Row row, read_cells({reinterpret_cast<const char*>(content.data()), content.size()}, columns));
  values.clear();
  for (const auto& column : columns) {
    const auto found = row.find(column.name);
    if (found == row.end() && !column.missing) {
      std::vector<std::string_view> names;
      for (const auto& [name, cell] : row) names.push_back(name);
      const auto meant = nearest(column.name, names);
      return wrong(fmt::format("expected a column '{}', got a row without it{}", column.name,
                               meant.empty() ? "" : fmt::format("; did you mean it by '{}'?", meant)));
    }
    const Cell cell = found == row.end() ? Cell{} : found->second;
    VERGE_TRY(column.categories.empty() ? add_number(column, cell, values) : add_category(column, cell, values));
  }
  return {};
}

}  // namespace verge::processing
