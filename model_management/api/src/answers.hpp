// Answers: documents, errors, ranges and parameters, as HTTP has them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/http/server.hpp"
#include "verge/hub/hub.hpp"
#include "verge/wire/document.hpp"

namespace verge::hub {

/// A request, taken apart. Lives as long as the handler runs.
struct Call {
  const http::Request& request;
  Principal caller;
  std::map<std::string, std::string> path;   ///< The parts that the route names, decoded.
  std::map<std::string, std::string> query;  ///< Decoded.
  int status = 200;                          ///< Of success.

  [[nodiscard]] std::string at(const std::string& name) const;
  [[nodiscard]] std::string parameter(const std::string& name) const;
  /// Whether it is "true" or "1".
  [[nodiscard]] bool flag(const std::string& name) const;
  /// Errors: invalid_argument (VRG-HUB-040).
  [[nodiscard]] Result<std::int64_t> number(const std::string& name, std::int64_t otherwise, std::int64_t low,
                                            std::int64_t high) const;
};

/// Where the caller reached the hub: what it wrote, as far as it can be a host and a port. Errors: invalid_argument
/// (VRG-HUB-042).
Result<std::string> reached_url(const http::Request& request);

http::Response error_answer(const Error& error);
http::Response empty_answer(int status, std::vector<std::pair<std::string, std::string>> headers = {});
http::Response document(int status, const wire::Node& node);
template <typename T>
http::Response answer(int status, const Result<T>& result) {
  if (!result) return error_answer(result.error());
  return document(status, wire::to_node(*result));
}
inline http::Response answer(int status, const Result<void>& result) {
  if (!result) return error_answer(result.error());
  http::Response response;
  response.status = status;
  return response;
}
/// The body, checked against its schema. Errors: those of documents (VRG-DOC-…).
template <typename T, typename Read>
Result<T> body_of(const http::Request& request, Read read) {
  const std::string_view text(reinterpret_cast<const char*>(request.body.data()), request.body.size());
  VERGE_ASSIGN(const auto node, wire::parse_json(text, "request"));
  return read(node, wire::Place("request"));
}
/// A file, or the part of it that "Range" asks for (206, or 416 as `refuse` makes it).
http::Response file_answer(const http::Request& request, const std::filesystem::path& file, std::uint64_t size_bytes,
                           const std::string& digest, http::Response (*refuse)(const Error&) = error_answer);
/// Decoded; of parameters that come several times, the last.
std::map<std::string, std::string> parse_query(std::string_view query);
/// The values of one parameter, decoded, in their order and each once.
std::vector<std::string> query_values(std::string_view query, std::string_view name);

}  // namespace verge::hub
