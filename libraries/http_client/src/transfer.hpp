// Transfer: libcurl's handles, and one request on its way until it ends, times out or is stopped.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include <curl/curl.h>

#include "tls.hpp"
#include "verge/base/error.hpp"

namespace verge::http_client {

// CURL and CURLM are both void.
struct EasyFree {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiFree {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct CurlFree {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

/// The handles of one connection. Not thread-safe.
class Transfer {
 public:
  Transfer();
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  /// Forgets all options but keeps the connection; what a request needs always is set again.
  CURL* begin(const std::string& url);
  /// How long it may take; `idle`: from one byte to the next, else in all.
  struct Patience {
    std::chrono::milliseconds time;
    bool idle = false;
  };
  /// Errors: those of transport. A refusal by a callback of the request comes as `internal`; the caller knows better.
  Result<void> run(const Patience& patience, const std::stop_token& stop);
  /// Filled by watch_certificates().
  CertificateNote& note() noexcept { return note_; }
  /// Called with the bytes sent so far, when set.
  std::function<void(std::uint64_t sent)> on_sent;

 private:
  static int count(void* self, curl_off_t, curl_off_t received, curl_off_t, curl_off_t sent);
  std::optional<Error> wait(const Patience& patience, const std::stop_token& stop);
  Error error_of_code(CURLcode code) const;
  CertificateNote note_;
  std::unique_ptr<CURL, EasyFree> easy_;
  std::unique_ptr<CURLM, MultiFree> multi_;
  std::string url_;
  std::array<char, CURL_ERROR_SIZE> message_{};
  std::chrono::steady_clock::time_point moved_at_;
  curl_off_t moved_bytes_ = 0;
};

/// The URL's parts, checked. Errors: invalid_argument (VRG-HTC-008).
Result<std::unique_ptr<CURLU, CurlFree>> parse_url(const std::string& url);
std::string host_of(CURLU* url);
bool is_loopback(const std::string& host);

}  // namespace verge::http_client
