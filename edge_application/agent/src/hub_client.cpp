#include "hub_client.hpp"

#include <ctime>

#include <fmt/format.h>

#include "default_route.hpp"
#include "verge/base/file.hpp"
#include "verge/wire/delta_list.hpp"
#include "verge/wire/telemetry_answer.hpp"

namespace verge::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kPemLimit_bytes = 1U << 20U;

template <typename Document, typename Read>
Result<Document> read_reply(const http_client::Reply& reply, std::string_view what, Read read) {
  if (reply.status >= 400) return http_client::error_of(reply);
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(reply.body, what));
  return read(node, wire::Place(what));
}

}  // namespace

HubClient::HubClient(std::string version, const wire::Hub& configured, const std::filesystem::path& state_directory)
    : version_(std::move(version)),
      configured_(configured),
      policy_(configured.downloads.value_or(wire::HubDownloads{}), state_directory / "downloads.txt",
              [] { return default_route_interface(); }) {}

Result<http_client::ClientOptions> HubClient::options_for(const std::string& hub_url,
                                                          const std::string& ca_certificate) const {
  http_client::ClientOptions options;
  options.base_url = hub_url;
  options.ca_certificate = ca_certificate;
  options.user_agent = "verge-agent/" + version_;
  if (configured_.proxy) {
    options.proxy = configured_.proxy->url;
    if (configured_.proxy->ca_certificate) {
      VERGE_ASSIGN(options.proxy_ca_certificate, read_text(*configured_.proxy->ca_certificate, kPemLimit_bytes));
    }
  }
  return options;
}

Result<void> HubClient::use(const wire::Identity& identity, const crypto::PrivateKey& key) {
  VERGE_ASSIGN(auto options, options_for(identity.hub_url, identity.ca_certificate));
  options.client_certificate = identity.certificate;
  options.client_key = key.pem();
  if (configured_.downloads && configured_.downloads->max_bytes_per_s) {
    options.max_download_bytes_per_s = static_cast<std::uint64_t>(*configured_.downloads->max_bytes_per_s);
  }
  Client made[4];
  for (auto& one : made) {
    VERGE_ASSIGN(auto client, http_client::Client::create(options));
    one = std::move(client);
  }
  const std::lock_guard lock(mutex_);
  desired_ = std::move(made[0]);
  reports_ = std::move(made[1]);
  content_ = std::move(made[2]);
  telemetry_ = std::move(made[3]);
  return {};
}

Result<HubClient::Client> HubClient::client(Client HubClient::*which) {
  const std::lock_guard lock(mutex_);
  if (this->*which) return this->*which;
  return Error(ErrorCode::unavailable, "VRG-AGT-006", "the device has not joined its hub yet");
}

Result<std::string> HubClient::fetch(std::string_view name, std::uint64_t limit_bytes) {
  VERGE_ASSIGN(const Client hub, client(&HubClient::content_));
  http_client::Call call;
  call.path = fmt::format("/tuf/metadata/{}", name);
  call.limit_bytes = limit_bytes;
  VERGE_ASSIGN(http_client::Reply reply, hub->send(call, stop_));
  if (reply.status >= 400) return http_client::error_of(reply);
  return std::move(reply.body);
}

Result<std::vector<update::DeltaOffer>> HubClient::deltas(const std::string& package_digest) {
  VERGE_ASSIGN(const Client hub, client(&HubClient::content_));
  http_client::Call call;
  call.path = fmt::format("/api/v1/device/packages/{}/deltas", package_digest);
  VERGE_ASSIGN(const http_client::Reply reply, hub->send(call, stop_));
  VERGE_ASSIGN(const auto list, read_reply<wire::DeltaList>(reply, "the deltas", wire::read_delta_list));
  std::vector<update::DeltaOffer> offers;
  for (const auto& delta : list.deltas) {
    offered_deltas_.insert(delta.digest);
    offers.push_back({delta.from, delta.to, delta.digest, static_cast<std::uint64_t>(delta.size_bytes)});
  }
  const auto patience = configured_.downloads ? configured_.downloads->wait_for_delta_s : 0;
  if (offers.empty() && list.being_made.value_or(false) && patience > 0) {
    const auto now = std::chrono::steady_clock::now();
    const auto since = waits_for_.emplace(package_digest, now).first->second;
    if (now - since < std::chrono::seconds(patience)) {
      return Error(ErrorCode::unavailable, "VRG-AGT-045",
                   fmt::format("the hub is making a delta; waiting up to {} s for it (hub: downloads: "
                               "wait_for_delta_s)",
                               patience));
    }
  }
  waits_for_.erase(package_digest);
  return offers;
}

Result<void> HubClient::blob(const std::string& digest, std::uint64_t offset,
                             const std::function<Result<void>(std::span<const std::byte>)>& sink) {
  VERGE_ASSIGN(const Client hub, client(&HubClient::content_));
  DownloadContent content{offered_deltas_.contains(digest), offset};
  VERGE_TRY(policy_.admit(std::time(nullptr), content));
  const auto counted = [&](std::span<const std::byte> bytes) -> Result<void> {
    const auto now = std::time(nullptr);
    policy_.count(bytes.size(), now);
    VERGE_TRY(sink(bytes));
    content.bytes_there += bytes.size();
    return policy_.admit(now, content);
  };
  auto done = hub->download("/api/v1/device/blobs/" + digest, offset, counted, 30s, stop_);
  policy_.save();
  return done;
}

Result<std::optional<wire::DesiredState>> HubClient::desired(std::int64_t after, int wait_s) {
  VERGE_ASSIGN(const Client hub, client(&HubClient::desired_));
  http_client::Call call;
  call.path = fmt::format("/api/v1/device/desired?after={}&wait_s={}", after, wait_s);
  call.timeout = std::chrono::seconds(wait_s) + 20s;
  VERGE_ASSIGN(const http_client::Reply reply, hub->send(call, stop_));
  if (reply.status == 204) return std::optional<wire::DesiredState>();
  VERGE_ASSIGN(wire::DesiredState state,
               read_reply<wire::DesiredState>(reply, "the desired state", wire::read_desired_state));
  return std::optional(std::move(state));
}

Result<wire::ReportAnswer> HubClient::report(const wire::ReportedState& state) {
  VERGE_ASSIGN(const Client hub, client(&HubClient::reports_));
  http_client::Call call;
  call.method = "PUT";
  call.path = "/api/v1/device/report";
  call.body = wire::write_json_line(wire::to_node(state));
  VERGE_ASSIGN(const http_client::Reply reply, hub->send(call, stop_));
  return read_reply<wire::ReportAnswer>(reply, "the answer to a report", wire::read_report_answer);
}

Result<std::int64_t> HubClient::telemetry(std::string batch, const std::stop_token& stop) {
  constexpr int kTooMany = 429;
  VERGE_ASSIGN(const Client hub, client(&HubClient::telemetry_));
  http_client::Call call;
  call.method = "POST";
  call.path = "/api/v1/device/telemetry";
  call.body = std::move(batch);
  VERGE_ASSIGN(const http_client::Reply reply, hub->send(call, stop));
  if (reply.status == kTooMany) {
    const auto error = http_client::error_of(reply);
    return Error(ErrorCode::unavailable, error.id(), error.message());
  }
  VERGE_ASSIGN(const auto answer,
               read_reply<wire::TelemetryAnswer>(reply, "the answer to telemetry", wire::read_telemetry_answer));
  return answer.stored_to;
}

Result<wire::CertificateAnswer> HubClient::certificate(const std::string& hub_url, const std::string& ca_certificate,
                                                       const wire::CertificateRequest& request) {
  VERGE_ASSIGN(auto options, options_for(hub_url, ca_certificate));
  VERGE_ASSIGN(const auto hub, http_client::Client::create(options));
  http_client::Call call;
  call.method = "POST";
  call.path = "/api/v1/certificates";
  call.body = wire::write_json_line(wire::to_node(request));
  VERGE_ASSIGN(const http_client::Reply reply, hub->send(call, stop_));
  return read_reply<wire::CertificateAnswer>(reply, "the certificate", wire::read_certificate_answer);
}

Result<std::int64_t> HubClient::hub_time_ms(const std::string& hub_url, const std::string& ca_certificate) {
  VERGE_ASSIGN(auto options, options_for(hub_url, ca_certificate));
  options.check_validity_dates = false;
  VERGE_ASSIGN(const auto hub, http_client::Client::create(options));
  http_client::Call call;
  call.path = "/api/v1/time";
  VERGE_ASSIGN(const http_client::Reply reply, hub->send(call, stop_));
  if (reply.status >= 400) return http_client::error_of(reply);
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(reply.body, "the hub's time"));
  const wire::Node* time = node.find("time_ms");
  if (time == nullptr) return Error(ErrorCode::data_loss, "VRG-AGT-007", "the hub's answer has no time_ms");
  return std::atoll(time->text.c_str());
}

}  // namespace verge::agent
