// Query: rows of records in and out of SQL, column by column.
#pragma once

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "state.hpp"

namespace verge::hub {

/// Rows of `query` as records; `columns` gives references to a record's members in the order of the query's columns.
template <typename Record, typename Columns, typename... Uses>
std::vector<Record> select(soci::session& sql, const std::string& query, Columns columns, const Uses&... uses) {
  Record record;
  soci::statement statement(sql);
  std::apply([&](auto&... member) { (statement.exchange(soci::into(member)), ...); }, columns(record));
  (statement.exchange(soci::use(uses)), ...);
  statement.alloc();
  statement.prepare(query);
  statement.define_and_bind();
  statement.execute();
  std::vector<Record> rows;
  while (statement.fetch()) rows.push_back(record);
  return rows;
}

template <typename Record, typename Columns, typename... Uses>
std::optional<Record> select_one(soci::session& sql, const std::string& query, Columns columns, const Uses&... uses) {
  auto rows = select<Record>(sql, query, columns, uses...);
  if (rows.empty()) return std::nullopt;
  return std::move(rows.front());
}

/// Runs a statement; the number of rows that it touched.
template <typename... Uses>
long long execute(soci::session& sql, const std::string& query, const Uses&... uses) {
  soci::statement statement(sql);
  (statement.exchange(soci::use(uses)), ...);
  statement.alloc();
  statement.prepare(query);
  statement.define_and_bind();
  statement.execute(true);
  return statement.get_affected_rows();
}

/// Inserts a record, or replaces the one with its key: "(a, b, c)" and as many members.
template <typename Columns, typename Record>
void insert(soci::session& sql, const std::string& head, Columns columns, const Record& record) {
  Record copy = record;
  std::apply(
      [&](auto&... member) {
        std::string marks;
        for (std::size_t i = 0; i < sizeof...(member); ++i) marks += (i == 0 ? ":p" : ", :p") + std::to_string(i);
        execute(sql, head + " values (" + marks + ")", member...);
      },
      columns(copy));
}

/// A single text column, or "".
template <typename... Uses>
std::string text_of(soci::session& sql, const std::string& query, const Uses&... uses) {
  const auto rows = select<std::string>(
      sql, query, [](std::string& text) { return std::tie(text); }, uses...);
  return rows.empty() ? std::string() : rows.front();
}

template <typename... Uses>
std::vector<std::string> texts_of(soci::session& sql, const std::string& query, const Uses&... uses) {
  return select<std::string>(
      sql, query, [](std::string& text) { return std::tie(text); }, uses...);
}

template <typename... Uses>
std::int64_t number_of(soci::session& sql, const std::string& query, const Uses&... uses) {
  const auto rows = select<long long>(
      sql, query, [](long long& value) { return std::tie(value); }, uses...);
  return rows.empty() ? 0 : rows.front();
}

}  // namespace verge::hub
