#include "output.hpp"

#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <cstdio>

#include <fmt/format.h>

namespace verge::cli {
namespace {

/// Characters of a UTF-8 text; good enough for columns of Latin text.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

}  // namespace

bool is_terminal(int fd) {
  return ::isatty(fd) == 1;
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - width(row[i]) + 2, ' ');
    }
    out += '\n';
  }
  if (!out.empty()) out.pop_back();
  return out;
}

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

void note(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fputc('\n', stderr);
}

int report(const Error& error, Format format) {
  if (format == Format::json) {
    wire::Node body = wire::Node::map();
    body.add("code", wire::Node::string(name(error.code())));
    body.add("id", wire::Node::string(error.id()));
    body.add("message", wire::Node::string(error.message()));
    wire::Node node = wire::Node::map();
    node.add("error", std::move(body));
    note(wire::write_json_line(node));
  } else {
    note("verge: " + error.text());
  }
  return exit_status(error.code());
}

Progress::Progress() : terminal_(is_terminal(STDERR_FILENO)) {}
Progress::~Progress() {
  clear();
}

void Progress::show(std::string_view text) {
  if (!terminal_) return;
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count();
  if (shown_ && now - last_ms_ < 100) return;
  last_ms_ = now;
  shown_ = true;
  std::fprintf(stderr, "\r\033[K%.*s", static_cast<int>(text.size()), text.data());
}

void Progress::clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

}  // namespace verge::cli
