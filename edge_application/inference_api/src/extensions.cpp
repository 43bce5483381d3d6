// The protocol's extensions beside inference: the repository, and shared memory.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "api.hpp"
#include "malformed.hpp"
#include "verge/wire/json_reader.hpp"

namespace verge::inference_api {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kDocumentLimit = std::size_t{64} << 10U;

/// Small documents, of a few members.
Result<nlohmann::json> read_document(const http::Request& request) {
  const std::string_view text(reinterpret_cast<const char*>(request.body.data()), request.body.size());
  if (text.empty()) return nlohmann::json::object();
  wire::JsonReader reader(text);
  reader.skip();
  auto document = !reader.failed() && text.size() <= kDocumentLimit
                      ? nlohmann::json::parse(text, nullptr, false)
                      : nlohmann::json(nlohmann::json::value_t::discarded);
  if (document.is_object()) return document;
  return malformed("VRG-API-010",
                   fmt::format("expected a JSON object of at most {} bytes as the body, got {} bytes that "
                               "are none; for example {{}}",
                               kDocumentLimit, text.size()));
}

/// "a/b/c" into its decoded parts; nothing when one cannot be decoded or is empty.
std::optional<std::vector<std::string>> parts_of(std::string_view rest) {
  std::vector<std::string> parts;
  while (!rest.empty()) {
    const auto end = std::min(rest.find('/'), rest.size());
    std::string part;
    if (!http::decode_percent(rest.substr(0, end), part) || part.empty()) return std::nullopt;
    parts.push_back(std::move(part));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return parts;
}

http::Response repository_index(const http::Request& request, const Service& service) {
  const auto document = read_document(request);
  if (!document) return refuse(document.error());
  const auto ready = document->find("ready");
  if (ready != document->end() && !ready->is_boolean()) {
    return refuse(malformed("VRG-API-010", R"(expected 'ready' to be true or false; for example {"ready":true})"));
  }
  ordered_json body = ordered_json::array();
  for (const auto& entry : service.index(ready != document->end() && ready->get<bool>())) {
    ordered_json line{{"name", entry.name}};
    if (!entry.version.empty()) line["version"] = entry.version;
    line["state"] = entry.state;
    if (!entry.reason.empty()) line["reason"] = entry.reason;
    body.push_back(std::move(line));
  }
  return json_response(body);
}

http::Response change_model(const http::Request& request, const std::string& name, bool load, const Service& service) {
  const auto document = read_document(request);
  if (!document) return refuse(document.error());
  const auto parameters = document->find("parameters");
  if (parameters != document->end() && parameters->is_object()) {
    for (const auto& [key, value] : parameters->items()) {
      if (key == "unload_dependents") continue;
      return refuse(malformed("VRG-API-043", fmt::format("the parameter '{}' is not served: a model is loaded as the "
                                                         "agent's configuration names it; leave the parameter out",
                                                         key)));
    }
  }
  const auto done = load ? service.load(name) : service.unload(name);
  return done ? empty_response() : refuse(done.error());
}

Result<std::uint64_t> size_member(const nlohmann::json& document, const char* name) {
  const auto found = document.find(name);
  if (found == document.end()) return std::uint64_t{0};
  if (found->is_number_unsigned() && found->get<std::uint64_t>() <= (std::uint64_t{1} << 62U)) {
    return found->get<std::uint64_t>();
  }
  return malformed("VRG-API-030",
                   fmt::format("expected '{}' as a whole number of bytes, got {}", name,
                               found->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 80)));
}

Result<void> register_region(const http::Request& request, std::string name, SharedMemory& memory) {
  VERGE_ASSIGN(const auto document, read_document(request));
  SharedMemory::Region region;
  region.name = std::move(name);
  const auto key = document.find("key");
  if (key == document.end() || !key->is_string()) {
    return malformed("VRG-API-030",
                     "expected 'key' as the name of the shared memory, got none; for example "
                     R"({"key":"/input","offset":0,"byte_size":602112})");
  }
  region.key = key->get<std::string>();
  VERGE_ASSIGN(region.offset_bytes, size_member(document, "offset"));
  VERGE_ASSIGN(region.size_bytes, size_member(document, "byte_size"));
  return memory.add(std::move(region));
}

http::Response memory_status(std::string_view name, const SharedMemory& memory) {
  const auto regions = memory.list(name);
  if (!regions) return refuse(regions.error());
  ordered_json body = ordered_json::array();
  for (const auto& region : *regions) {
    body.push_back({{"name", region.name},
                    {"key", region.key},
                    {"offset", region.offset_bytes},
                    {"byte_size", region.size_bytes}});
  }
  return json_response(body);
}

bool reads(const http::Request& request) {
  return request.method == "GET" || request.method == "HEAD";
}

}  // namespace

http::Response repository_request(const http::Request& request, std::string_view rest, const Service& service) {
  const auto parts = parts_of(rest);
  const bool index = parts && parts->size() == 1 && (*parts)[0] == "index";
  const bool change =
      parts && parts->size() == 3 && (*parts)[0] == "models" && ((*parts)[2] == "load" || (*parts)[2] == "unload");
  if (!index && !change) return refuse(unknown_path(request.path));
  if (request.method != "POST") return wrong_method(request.path, "POST");
  return index ? repository_index(request, service)
               : change_model(request, (*parts)[1], (*parts)[2] == "load", service);
}

http::Response shared_memory_request(const http::Request& request, std::string_view rest, SharedMemory& memory) {
  auto parts = parts_of(rest);
  if (!parts || parts->empty() || parts->size() > 3 || (parts->size() > 1 && (*parts)[0] != "region") ||
      parts->size() == 2) {
    return refuse(unknown_path(request.path));
  }
  const std::string action = parts->back();
  const std::string name = parts->size() == 3 ? (*parts)[1] : std::string();
  if (action == "status") return reads(request) ? memory_status(name, memory) : wrong_method(request.path, "GET");
  if (action != "unregister" && (action != "register" || name.empty())) return refuse(unknown_path(request.path));
  if (request.method != "POST") return wrong_method(request.path, "POST");
  if (action == "register") {
    const auto added = register_region(request, name, memory);
    return added ? empty_response() : refuse(added.error());
  }
  name.empty() ? memory.remove_all() : memory.remove(name);
  return empty_response();
}

// No region is ever registered, so their list is empty and ending all of them is done.
http::Response device_memory_request(const http::Request& request, std::string_view rest) {
  if (rest == "status")
    return reads(request) ? json_response(ordered_json::array()) : wrong_method(request.path, "GET");
  if (rest == "unregister") {
    return request.method == "POST" ? empty_response() : wrong_method(request.path, "POST");
  }
  if (!rest.starts_with("region/")) return refuse(unknown_path(request.path));
  return refuse(Error(ErrorCode::failed_precondition, "VRG-API-037",
                      "this agent has no CUDA memory; register POSIX shared memory with /v2/systemsharedmemory"));
}

}  // namespace verge::inference_api
