// Log: structured lines, for people (text) or machines (one JSON object a line), on standard error.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace verge {

enum class LogLevel { debug, info, warning, error };
enum class LogFormat { text, json };

/// A named value of a log line.
struct LogField {
  std::string_view key;
  std::variant<std::string_view, double, long long, bool> value;

  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, double v) : key(k), value(v) {}
  LogField(std::string_view k, long long v) : key(k), value(v) {}
  LogField(std::string_view k, int v) : key(k), value(static_cast<long long>(v)) {}
  LogField(std::string_view k, std::size_t v) : key(k), value(static_cast<long long>(v)) {}
  LogField(std::string_view k, bool v) : key(k), value(v) {}
};

/// Writes structured lines. Handed to whoever logs by constructor; safe to call from several threads.
/// Whoever handles an error logs it; an error that is returned is not logged.
class Log {
 public:
  explicit Log(LogLevel level = LogLevel::info, LogFormat format = LogFormat::text);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void set(LogLevel level, LogFormat format);
  void debug(std::string_view message, std::initializer_list<LogField> fields = {});
  void info(std::string_view message, std::initializer_list<LogField> fields = {});
  void warning(std::string_view message, std::initializer_list<LogField> fields = {});
  void error(std::string_view message, std::initializer_list<LogField> fields = {});

 private:
  void write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace verge
