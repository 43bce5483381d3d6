#include "answers.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <fmt/format.h>

#include "verge/wire/hub_error.hpp"

namespace verge::hub {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Part {
  std::uint64_t first = 0;
  std::uint64_t length = 0;
};

/// One range of "bytes=a-b", "bytes=a-" or "bytes=-n"; nothing when it cannot be satisfied.
std::optional<Part> parse_range(std::string_view text, std::uint64_t size_bytes) {
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = number(text.substr(0, dash));
  const auto last = number(text.substr(dash + 1));
  if (dash == 0) {
    if (!last || *last == 0 || size_bytes == 0) return std::nullopt;
    const auto length = std::min(*last, size_bytes);
    return Part{size_bytes - length, length};
  }
  if (!first || *first >= size_bytes || (dash + 1 < text.size() && (!last || *last < *first))) return std::nullopt;
  const auto end = last ? std::min(*last, size_bytes - 1) : size_bytes - 1;
  return Part{*first, end - *first + 1};
}

std::vector<std::pair<std::string, std::string>> parameters_of(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> parameters;
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const auto item = query.substr(0, end);
    const auto equal = std::min(item.find('='), item.size());
    std::string raw(item.substr(std::min(equal + 1, item.size())));
    std::ranges::replace(raw, '+', ' ');
    std::string key;
    std::string value;
    if (http::decode_percent(item.substr(0, equal), key) && http::decode_percent(raw, value) && !key.empty()) {
      parameters.emplace_back(std::move(key), std::move(value));
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return parameters;
}

}  // namespace

std::string Call::at(const std::string& name) const {
  const auto found = path.find(name);
  return found == path.end() ? std::string() : found->second;
}

std::string Call::parameter(const std::string& name) const {
  const auto found = query.find(name);
  return found == query.end() ? std::string() : found->second;
}

bool Call::flag(const std::string& name) const {
  const auto value = parameter(name);
  return value == "true" || value == "1";
}

Result<std::int64_t> Call::number(const std::string& name, std::int64_t otherwise, std::int64_t low,
                                  std::int64_t high) const {
  const auto found = query.find(name);
  if (found == query.end()) return otherwise;
  std::int64_t value = 0;
  const auto& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high) {
    return Error(ErrorCode::invalid_argument, "VRG-HUB-040",
                 fmt::format("expected '{}' to be a whole number from {} to {}, got '{}'", name, low, high, text));
  }
  return value;
}

Result<std::string> reached_url(const http::Request& request) {
  const std::string host(request.header("host"));
  const bool plain = !host.empty() && std::ranges::all_of(host, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == ':' || c == '[' || c == ']';
  });
  if (plain) return "https://" + host;
  return Error(ErrorCode::invalid_argument, "VRG-HUB-042",
               "expected a Host header with the hub's name, got '" + host + "'");
}

http::Response document(int status, const wire::Node& node) {
  http::Response response;
  response.status = status;
  response.body = wire::write_json_line(node);
  return response;
}

http::Response error_answer(const Error& error) {
  wire::HubError body;
  body.error = error.message();
  body.id = error.id();
  auto response = document(http_status(error.code()), wire::to_node(body));
  if (error.code() == ErrorCode::unauthenticated) {
    response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"verge\"");
  }
  return response;
}

http::Response empty_answer(int status, std::vector<std::pair<std::string, std::string>> headers) {
  http::Response response;
  response.status = status;
  response.headers = std::move(headers);
  return response;
}

http::Response file_answer(const http::Request& request, const std::filesystem::path& file, std::uint64_t size_bytes,
                           const std::string& digest, http::Response (*refuse)(const Error&)) {
  http::Response response;
  response.content_type = "application/octet-stream";
  response.headers.emplace_back("Accept-Ranges", "bytes");
  response.headers.emplace_back("ETag", "\"" + digest + "\"");
  response.file = file;
  response.length_bytes = size_bytes;
  const auto range = request.header("range");
  if (request.method != "GET" || !range.starts_with("bytes=") || range.find(',') != std::string_view::npos)
    return response;
  const auto part = parse_range(range.substr(6), size_bytes);
  if (!part) {
    auto refused = refuse(Error(ErrorCode::out_of_range, "VRG-HUB-041",
                                fmt::format("expected a range within {} bytes, got '{}'", size_bytes, range)));
    refused.status = 416;
    refused.headers.emplace_back("Content-Range", fmt::format("bytes */{}", size_bytes));
    return refused;
  }
  response.status = 206;
  response.offset_bytes = part->first;
  response.length_bytes = part->length;
  response.headers.emplace_back("Content-Range",
                                fmt::format("bytes {}-{}/{}", part->first, part->first + part->length - 1, size_bytes));
  return response;
}

std::map<std::string, std::string> parse_query(std::string_view query) {
  std::map<std::string, std::string> values;
  for (auto& [key, value] : parameters_of(query)) values[key] = std::move(value);
  return values;
}

std::vector<std::string> query_values(std::string_view query, std::string_view name) {
  std::vector<std::string> values;
  for (auto& [key, value] : parameters_of(query)) {
    if (key == name && std::ranges::find(values, value) == values.end()) values.push_back(std::move(value));
  }
  return values;
}

}  // namespace verge::hub
