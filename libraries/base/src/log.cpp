#include "verge/base/log.hpp"

#include <atomic>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace verge {
namespace {

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string render(std::string_view message, std::initializer_list<LogField> fields, LogFormat format) {
  std::string line;
  if (format == LogFormat::json) {
    append_json_string(line, message);
  } else {
    line += message;
  }
  for (const auto& field : fields) {
    if (format == LogFormat::json) {
      line += ',';
      append_json_string(line, field.key);
      line += ':';
    } else {
      line += fmt::format("  {}=", field.key);
    }
    std::visit(
        [&](const auto& value) {
          using T = std::decay_t<decltype(value)>;
          if constexpr (std::is_same_v<T, std::string_view>) {
            const bool quoted = format == LogFormat::json || value.find_first_of(" \"\n\\") != std::string_view::npos;
            quoted ? append_json_string(line, value) : void(line += value);
          } else if constexpr (std::is_same_v<T, double>) {
            line += fmt::format("{:.6g}", value);
          } else {
            line += fmt::format("{}", value);
          }
        },
        field.value);
  }
  return line;
}

}  // namespace

struct Log::State {
  std::shared_ptr<spdlog::logger> logger;
  std::atomic<LogFormat> format{LogFormat::text};
};

Log::Log(LogLevel level, LogFormat format) : state_(std::make_unique<State>()) {
  state_->logger = std::make_shared<spdlog::logger>("verge", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  state_->logger->flush_on(spdlog::level::debug);
  set(level, format);
}

Log::~Log() = default;

void Log::set(LogLevel level, LogFormat format) {
  state_->format = format;
  state_->logger->set_level(spdlog_level(level));
  state_->logger->set_pattern(format == LogFormat::json
                                  ? R"({"time":"%Y-%m-%dT%H:%M:%S.%f%z","level":"%l","message":%v})"
                                  : "%Y-%m-%d %H:%M:%S.%e %^%-7l%$ %v");
}

void Log::debug(std::string_view message, std::initializer_list<LogField> fields) {
  write(LogLevel::debug, message, fields);
}
void Log::info(std::string_view message, std::initializer_list<LogField> fields) {
  write(LogLevel::info, message, fields);
}
void Log::warning(std::string_view message, std::initializer_list<LogField> fields) {
  write(LogLevel::warning, message, fields);
}
void Log::error(std::string_view message, std::initializer_list<LogField> fields) {
  write(LogLevel::error, message, fields);
}

void Log::write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!state_->logger->should_log(spdlog_level(level))) return;
  state_->logger->log(spdlog_level(level), "{}", render(message, fields, state_->format));
}

}  // namespace verge
