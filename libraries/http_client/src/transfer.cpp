#include "transfer.hpp"

#include <algorithm>
#include <new>

#include <fmt/format.h>

namespace verge::http_client {
namespace {

using Clock = std::chrono::steady_clock;

/// The alerts that a server sends when it does not like the client's certificate, or wants one.
bool is_refusal_of_ours(std::string_view message) {
  const auto alert = message.find("alert ");
  if (alert == std::string_view::npos) return false;
  const auto text = message.substr(alert);
  return text.find("certificate") != std::string_view::npos || text.find("unknown ca") != std::string_view::npos ||
         text.find("access denied") != std::string_view::npos;
}

void set_up_libcurl() {
  // Not thread-safe in old versions; a static's initialisation is.
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (done != CURLE_OK) throw std::bad_alloc();
}

}  // namespace

Transfer::Transfer() {
  set_up_libcurl();
  easy_.reset(curl_easy_init());
  multi_.reset(curl_multi_init());
  if (easy_ == nullptr || multi_ == nullptr) throw std::bad_alloc();
}

Transfer::~Transfer() = default;

CURL* Transfer::begin(const std::string& url) {
  CURL* easy = easy_.get();
  url_ = url;
  note_.text.clear();
  message_.front() = '\0';
  on_sent = nullptr;
  curl_easy_reset(easy);
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message_.data());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);  // Else a stop waits for the name server.
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, &Transfer::count);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, this);
  return easy;
}

int Transfer::count(void* self, curl_off_t, curl_off_t received, curl_off_t, curl_off_t sent) {
  auto* transfer = static_cast<Transfer*>(self);
  if (received + sent != transfer->moved_bytes_) {
    transfer->moved_bytes_ = received + sent;
    transfer->moved_at_ = Clock::now();
    if (transfer->on_sent) transfer->on_sent(static_cast<std::uint64_t>(sent));
  }
  return 0;
}

Result<void> Transfer::run(const Patience& patience, const std::stop_token& stop) {
  moved_at_ = Clock::now();
  moved_bytes_ = 0;
  if (curl_multi_add_handle(multi_.get(), easy_.get()) != CURLM_OK) throw std::bad_alloc();
  auto ended = wait(patience, stop);
  CURLcode code = CURLE_OK;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) code = message->data.result;
  // Closes the connection when the request did not end by itself.
  curl_multi_remove_handle(multi_.get(), easy_.get());
  if (ended) return std::move(*ended);
  if (code != CURLE_OK) return error_of_code(code);
  return {};
}

std::optional<Error> Transfer::wait(const Patience& patience, const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { curl_multi_wakeup(multi_.get()); });
  const auto start = Clock::now();
  for (;;) {
    if (stop.stop_requested()) {
      return Error(ErrorCode::cancelled, "VRG-HTC-005", fmt::format("the request to '{}' was stopped", url_));
    }
    int running = 0;
    if (curl_multi_perform(multi_.get(), &running) != CURLM_OK) throw std::bad_alloc();
    if (running == 0) return std::nullopt;
    const auto passed = Clock::now() - (patience.idle ? moved_at_ : start);
    if (passed >= patience.time) {
      return Error(ErrorCode::deadline_exceeded, "VRG-HTC-004",
                   fmt::format("expected '{}' to {} within {} ms, but it took longer; check the connection", url_,
                               patience.idle ? "send or take a byte" : "answer", patience.time.count()));
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(patience.time - passed);
    const auto pause = std::min(left, std::chrono::milliseconds(60'000));
    curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(pause.count()), nullptr);
  }
}

Error Transfer::error_of_code(CURLcode code) const {
  std::string message = message_.front() != '\0' ? std::string(message_.data()) : curl_easy_strerror(code);
  switch (code) {
    case CURLE_OUT_OF_MEMORY: throw std::bad_alloc();
    case CURLE_WRITE_ERROR:
    case CURLE_READ_ERROR:
    case CURLE_ABORTED_BY_CALLBACK:
      return Error(ErrorCode::internal, "VRG-HTC-002", fmt::format("the request to '{}' was given up", url_));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return Error(ErrorCode::unauthenticated, "VRG-HTC-003",
                   fmt::format("the certificate that '{}' shows is refused: {}", url_,
                               note_.text.empty() ? message : note_.text));
    default: break;
  }
  if (is_refusal_of_ours(message)) {
    return Error(ErrorCode::permission_denied, "VRG-HTC-007",
                 fmt::format("'{}' refused the certificate that we showed, or wants one: {}", url_, message));
  }
  if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_COULDNT_CONNECT ||
      code == CURLE_OPERATION_TIMEDOUT || code == CURLE_SSL_CONNECT_ERROR) {
    return Error(ErrorCode::unavailable, "VRG-HTC-001", fmt::format("cannot connect to '{}': {}", url_, message));
  }
  return Error(ErrorCode::unavailable, "VRG-HTC-002",
               fmt::format("the connection to '{}' broke off: {}; try again", url_, message));
}

Result<std::unique_ptr<CURLU, CurlFree>> parse_url(const std::string& url) {
  set_up_libcurl();
  std::unique_ptr<CURLU, CurlFree> parsed(curl_url());
  if (parsed == nullptr) throw std::bad_alloc();
  char* part = nullptr;
  const bool valid = curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) == CURLUE_OK;
  const bool query = valid && curl_url_get(parsed.get(), CURLUPART_QUERY, &part, 0) == CURLUE_OK;
  curl_free(part);
  part = nullptr;
  const bool fragment = valid && curl_url_get(parsed.get(), CURLUPART_FRAGMENT, &part, 0) == CURLUE_OK;
  curl_free(part);
  const bool http = url.starts_with("http://") || url.starts_with("https://");
  if (!valid || !http || query || fragment) {
    return Error(ErrorCode::invalid_argument, "VRG-HTC-008",
                 fmt::format("expected a URL such as 'https://hub:8700', got '{}'", url));
  }
  return parsed;
}

std::string host_of(CURLU* url) {
  char* host = nullptr;
  if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK) return {};
  std::string text(host);
  curl_free(host);
  return text;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

}  // namespace verge::http_client
