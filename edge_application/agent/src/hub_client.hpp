// Hub client: the device's side of the two documents, of metadata and of blobs, over mutual TLS.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>

#include "download_policy.hpp"
#include "identity.hpp"
#include "verge/http_client/client.hpp"
#include "verge/update/ports.hpp"
#include "verge/wire/certificate_answer.hpp"
#include "verge/wire/certificate_request.hpp"
#include "verge/wire/desired_state.hpp"
#include "verge/wire/edge_config.hpp"
#include "verge/wire/report_answer.hpp"
#include "verge/wire/reported_state.hpp"

namespace verge::agent {

/// Thread-safe; its four kinds of call do not wait for one another. Errors: those of http_client.
class HubClient final : public update::Network {
 public:
  /// `state_directory` keeps what the policy counts. Errors of use() tell of a proxy's authority that cannot be read.
  HubClient(std::string version, const wire::Hub& configured, const std::filesystem::path& state_directory);

  /// From now on: this hub, this certificate. Errors: VRG-HTC-008.
  Result<void> use(const wire::Identity& identity, const crypto::PrivateKey& key);
  /// Ends calls when requested.
  void stop_with(std::stop_token stop) { stop_ = std::move(stop); }

  Result<std::string> fetch(std::string_view name, std::uint64_t limit_bytes) override;
  /// Where the configuration says to wait for deltas that are being made: unavailable (VRG-AGT-045) until then.
  Result<std::vector<update::DeltaOffer>> deltas(const std::string& package_digest) override;
  Result<void> blob(const std::string& digest, std::uint64_t offset,
                    const std::function<Result<void>(std::span<const std::byte>)>& sink) override;

  /// Nothing when there is no newer version within `wait_s`.
  Result<std::optional<wire::DesiredState>> desired(std::int64_t after, int wait_s);
  Result<wire::ReportAnswer> report(const wire::ReportedState& state);

  /// Sends a TelemetryBatch; gives up to which number the hub has its stream. Errors: unavailable, also when the hub
  /// asks to wait; those of the hub.
  Result<std::int64_t> telemetry(std::string batch, const std::stop_token& stop);

  /// Joins or renews; needs no certificate.
  Result<wire::CertificateAnswer> certificate(const std::string& hub_url, const std::string& ca_certificate,
                                              const wire::CertificateRequest& request);
  /// The hub's clock in milliseconds since 1970, from a server whose certificate is checked but for its dates.
  Result<std::int64_t> hub_time_ms(const std::string& hub_url, const std::string& ca_certificate);

 private:
  using Client = std::shared_ptr<http_client::Client>;
  Result<Client> client(Client HubClient::*which);
  [[nodiscard]] Result<http_client::ClientOptions> options_for(const std::string& hub_url,
                                                               const std::string& ca_certificate) const;

  std::string version_;
  wire::Hub configured_;
  DownloadPolicy policy_;                                                   ///< Of the thread that updates.
  std::map<std::string, std::chrono::steady_clock::time_point> waits_for_;  ///< Since when, by package.
  std::set<std::string> offered_deltas_;                                    ///< By digest.
  std::stop_token stop_;
  std::mutex mutex_;
  Client desired_;
  Client reports_;
  Client content_;
  Client telemetry_;  ///< Its own: what the hub throttles is telemetry, and nothing else.
};

}  // namespace verge::agent
