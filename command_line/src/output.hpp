// Output: what people and scripts see, in one style for all verbs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/wire/document.hpp"

namespace verge::cli {

/// How a command prints its result on standard output.
enum class Format { table, json };

[[nodiscard]] bool is_terminal(int fd);

/// Rows in aligned columns, the first row as heading.
[[nodiscard]] std::string table(const std::vector<std::vector<std::string>>& rows);

/// Text, then a line feed, to standard output.
void print(std::string_view text);
/// A note for people on standard error.
void note(std::string_view text);

/// Prints an error on standard error ("verge: …", or a JSON object for Format::json); gives the exit status.
int report(const Error& error, Format format);

/// A line on standard error that replaces itself, on a terminal only and not more than ten times a second.
class Progress {
 public:
  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void show(std::string_view text);
  void clear();

 private:
  bool terminal_;
  bool shown_ = false;
  long long last_ms_ = 0;
};

}  // namespace verge::cli
