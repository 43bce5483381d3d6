// Any request to the hub: paths of the registry and of the API, ranges, queries and bodies. The first byte chooses
// method and caller; path, query, range, Content-Type and body follow, cut by zero bytes. In the path, the word $B
// stands for the digest of a blob that is there, $C for the same content's digest by sha512.
#include <array>
#include <regex>

#include "files.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/crypto/sha512.hpp"
#include "verge/hub/api.hpp"
#include "verge/hub/registry.hpp"
#include "verge/wire/document.hpp"

using namespace verge;

namespace {

constexpr std::string_view kBlob = "what devices fetch in parts";
constexpr std::array<std::string_view, 6> kMethods{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

void check(bool holds) {
  if (!holds) __builtin_trap();
}

template <typename T>
T must(Result<T> result) {
  check(result.has_value());
  return std::move(*result);
}

/// A hub with a blob in models/cat; made anew now and then, so that a long run does not fill the memory.
struct Fixture {
  std::filesystem::path folder = fuzz::folder() / "hub";
  Log log{LogLevel::error};
  std::unique_ptr<hub::Hub> hub;
  std::string authorization;
  std::string blob = crypto::sha256(kBlob);
  std::unique_ptr<hub::Api> api;

  Fixture() {
    std::filesystem::remove_all(folder);
    hub::RegistrySetup setup;
    setup.disk_reserve_bytes = 0;  // The folder may be in memory.
    hub = must(hub::Hub::open({folder, {}, [] { return std::int64_t{1'800'000'000'000}; }, "1", setup}, log));
    authorization = "Bearer " + hub->first_token();
    const auto admin = must(hub->authenticate(hub->first_token()));
    const auto upload = must(hub->registry().begin_upload(admin, "models/cat"));
    const auto file = folder / "uploads" / "blob";
    fuzz::put(file, kBlob);
    must(hub->registry().finish(admin, "models/cat", upload.id, blob, {file}));
    api = std::make_unique<hub::Api>(*hub, log, folder / "uploads");
  }
};

void check_answer(const http::Request& request, const http::Response& response) {
  check(response.status >= 200 && response.status < 500);
  if (response.content_type == "application/json" && !response.body.empty()) {
    check(wire::parse_json(response.body, "answer").has_value());
  }
  // No header, and no answer, in a header.
  const auto one_line = [](std::string_view text) { return text.find_first_of("\r\n") == std::string_view::npos; };
  check(one_line(response.content_type));
  for (const auto& [name, value] : response.headers) check(one_line(name) && one_line(value));
  if (!response.file.empty()) {
    const auto size_bytes = std::filesystem::file_size(response.file);
    check(response.offset_bytes <= size_bytes && response.length_bytes <= size_bytes - response.offset_bytes);
    check(response.status == 200 ? response.length_bytes == size_bytes : response.length_bytes > 0);
  }
  constexpr std::string_view kTags = "/tags/list";
  if (response.status == 200 && request.path.starts_with("/v2/") && request.path.ends_with(kTags) &&
      request.path.find('%') == std::string_view::npos) {
    static const std::regex name("[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*");
    check(std::regex_match(std::string(request.path.substr(4, request.path.size() - 4 - kTags.size())), name));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  static std::unique_ptr<Fixture> fixture;
  static unsigned runs = 0;
  if (size_bytes == 0) return 0;
  if (runs++ % 4096 == 0) {
    fixture.reset();
    fixture = std::make_unique<Fixture>();
  }
  auto texts = fuzz::parts(data + 1, size_bytes - 1, 5);
  if (const auto at = texts[0].find("$B"); at != std::string::npos) texts[0].replace(at, 2, fixture->blob);
  if (const auto at = texts[0].find("$C"); at != std::string::npos) texts[0].replace(at, 2, crypto::sha512(kBlob));
  const bool known = (data[0] & 8U) == 0;
  http::Request request;
  request.method = kMethods.at((data[0] & 7U) % kMethods.size());
  request.path = texts[0];
  request.query = texts[1];
  request.remote_address = "127.0.0.1";
  request.header = [&](std::string_view name) -> std::string_view {
    if (name == "authorization") return known ? std::string_view(fixture->authorization) : texts[3];
    if (name == "range" || name == "content-range") return texts[2];
    if (name == "content-type" || name == "host") return texts[3];
    return {};
  };
  const auto folder = fixture->api->body_folder(request);
  check(folder.empty() || known);
  if (folder.empty()) {
    request.body = std::as_bytes(std::span(texts[4]));
  } else {
    request.body_file = folder / "body";
    fuzz::put(request.body_file, texts[4]);
  }
  check_answer(request, fixture->api->handle(request));
  if (!request.body_file.empty()) std::filesystem::remove(request.body_file);
  return 0;
}
