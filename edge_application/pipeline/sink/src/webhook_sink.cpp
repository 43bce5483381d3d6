#include <charconv>

#include <fmt/format.h>

#include "delivery_queue.hpp"
#include "verge/base/file.hpp"
#include "verge/http_client/client.hpp"

namespace verge::pipeline {
namespace {

constexpr std::uint64_t kFileLimitBytes = std::uint64_t{1} << 20U;

/// "https://host:1" and "/path?query".
std::pair<std::string, std::string> parts_of(const std::string& url) {
  const auto slash = url.find('/', url.find("//") + 2);
  if (slash == std::string::npos) return {url, "/"};
  return {url.substr(0, slash), url.substr(slash)};
}

class WebhookSink final : public Sink {
 public:
  WebhookSink(WebhookOptions options, OnSinkError on_error)
      : options_(std::move(options)), on_error_(std::move(on_error)) {}

  Result<void> start() {
    VERGE_TRY(connect());
    queue_ = std::make_unique<DeliveryQueue>(
        options_.spool ? spooled_outbox(std::move(options_.spool)) : memory_outbox(options_.queue),
        [this](const Message& message, std::chrono::milliseconds& pause, const std::stop_token& stop) {
          return post(message, pause, stop);
        },
        on_error_);
    return {};
  }
  Result<void> put(const Event& event) override { return queue_->push(event.json); }
  [[nodiscard]] Deliveries deliveries() const override { return queue_->deliveries(); }

 private:
  Result<void> connect() {
    http_client::ClientOptions client;
    std::tie(client.base_url, path_) = parts_of(options_.url);
    if (!options_.authority.empty()) {
      VERGE_ASSIGN(client.ca_certificate, read_text(options_.authority, kFileLimitBytes));
    }
    VERGE_ASSIGN(token_, read_token());
    client.bearer_token = token_;
    VERGE_ASSIGN(client_, http_client::Client::create(std::move(client)));
    return {};
  }
  Result<std::string> read_token() const {
    if (options_.token.empty()) return std::string();
    VERGE_ASSIGN(std::string token, read_text(options_.token, kFileLimitBytes));
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) token.pop_back();
    return token;
  }
  Result<void> post(const Message& message, std::chrono::milliseconds& pause, const std::stop_token& stop) {
    http_client::Call call;
    call.method = "POST";
    call.path = path_;
    call.body = message.text;
    if (!message.key.empty()) call.headers.emplace_back("Idempotency-Key", message.key);
    call.timeout = options_.timeout;
    const auto reply = client_->send(call, stop);
    if (!reply) return transport(reply.error());
    if (reply->status < 400) return {};
    if (reply->status == 401 && token_was_renewed()) return post(message, pause, stop);
    const bool again = reply->status == 408 || reply->status == 429 || reply->status >= 500;
    if (again) pause = retry_after(*reply);
    return Error(again ? ErrorCode::unavailable : ErrorCode::failed_precondition, "VRG-SNK-003",
                 fmt::format("'{}' answers {}; {}", options_.url, reply->status,
                             again ? "it is tried again" : "the event is given up; check the address and the token"));
  }
  static Result<void> transport(const Error& error) {
    if (error.code() == ErrorCode::cancelled) return error;
    return Error(ErrorCode::unavailable, error.id(), error.message() + "; it is tried again");
  }
  bool token_was_renewed() {
    const auto token = read_token();
    return token && *token != token_ && connect();
  }
  static std::chrono::milliseconds retry_after(const http_client::Reply& reply) {
    const auto text = reply.header("retry-after");
    std::int64_t seconds = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
    const bool right = read.ec == std::errc() && seconds > 0 && seconds < 86400;
    return std::chrono::seconds(right ? seconds : 0);
  }

  WebhookOptions options_;
  const OnSinkError on_error_;
  std::string path_;
  std::string token_;
  std::unique_ptr<http_client::Client> client_;
  std::unique_ptr<DeliveryQueue> queue_;
};

}  // namespace

Result<std::unique_ptr<Sink>> webhook_sink(WebhookOptions options, OnSinkError on_error) {
  auto sink = std::make_unique<WebhookSink>(std::move(options), std::move(on_error));
  VERGE_TRY(sink->start());
  return std::unique_ptr<Sink>(std::move(sink));
}

}  // namespace verge::pipeline
