#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "verge/http_client/client.hpp"

namespace verge::http_client {
namespace {

constexpr std::size_t kShownBytes = 200;

ErrorCode code_of(int status) {
  switch (status) {
    case 401: return ErrorCode::unauthenticated;
    case 403: return ErrorCode::permission_denied;
    case 404:
    case 410: return ErrorCode::not_found;
    case 408: return ErrorCode::deadline_exceeded;
    case 409:
    case 412: return ErrorCode::failed_precondition;
    case 413: return ErrorCode::resource_exhausted;
    case 416: return ErrorCode::out_of_range;
    case 422: return ErrorCode::data_loss;
    case 429: return ErrorCode::resource_exhausted;
    case 499: return ErrorCode::cancelled;
    case 501: return ErrorCode::unimplemented;
    case 502:
    case 503: return ErrorCode::unavailable;
    case 504: return ErrorCode::deadline_exceeded;
    default: break;
  }
  if (status >= 500) return ErrorCode::internal;
  return status >= 400 ? ErrorCode::invalid_argument : ErrorCode::failed_precondition;
}

/// Takes " [VRG-ABC-123]" from the end of `text`; empty when there is none.
std::string take_id(std::string& text) {
  constexpr std::size_t kSize = sizeof(" [VRG-ABC-123]") - 1;
  if (text.size() < kSize || text.back() != ']') return {};
  const auto at = text.size() - kSize;
  const std::string_view tail = std::string_view(text).substr(at);
  const auto is = [](int (*kind)(int), std::string_view part) {
    return std::ranges::all_of(part, [&](char c) { return kind(static_cast<unsigned char>(c)) != 0; });
  };
  if (!tail.starts_with(" [VRG-") || tail[9] != '-' || !is(std::isupper, tail.substr(6, 3)) ||
      !is(std::isdigit, tail.substr(10, 3))) {
    return {};
  }
  std::string id(tail.substr(2, kSize - 3));
  text.resize(at);
  return id;
}

/// The first words of a body that is no error of ours, fit for one line.
std::string shown(std::string_view body) {
  std::string text(body.substr(0, kShownBytes));
  std::ranges::replace_if(
      text, [](char c) { return std::iscntrl(static_cast<unsigned char>(c)) != 0; }, ' ');
  return text;
}

}  // namespace

std::string_view Reply::header(std::string_view name) const {
  const auto found = std::ranges::find(headers, name, &std::pair<std::string, std::string>::first);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

Error error_of(const Reply& reply) {
  std::string message;
  std::string id;
  const auto document = nlohmann::json::parse(reply.body, nullptr, false);
  if (document.is_object()) {
    if (const auto error = document.find("error"); error != document.end() && error->is_string()) {
      message = error->get<std::string>();
    }
    if (const auto given = document.find("id"); given != document.end() && given->is_string()) {
      id = given->get<std::string>();
    }
    // As registries say it.
    if (const auto list = document.find("errors"); list != document.end() && list->is_array() && !list->empty()) {
      const auto& first = list->front();
      if (first.is_object() && first.contains("message") && first["message"].is_string()) {
        message = first["message"].get<std::string>();
      }
    }
  }
  if (id.empty()) id = take_id(message);
  if (message.empty()) {
    message = fmt::format("the server answered with status {}", reply.status);
    if (const auto text = shown(reply.body); !text.empty()) message += ": " + text;
    if (const auto place = reply.header("location"); !place.empty()) {
      message += fmt::format("; it names '{}', which is not followed", place);
    }
  }
  if (const auto after = reply.header("retry-after"); !after.empty())
    message += fmt::format(" (Retry-After: {})", after);
  if (!id.empty()) return Error(code_of(reply.status), id, std::move(message));
  return Error(code_of(reply.status), "VRG-HTC-009", std::move(message));
}

}  // namespace verge::http_client
