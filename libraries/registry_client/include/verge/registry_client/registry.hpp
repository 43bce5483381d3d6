// Registry: a repository in any registry that speaks the OCI distribution specification 1.1.
//
// Who asks is shown as the registry wants it: not at all, by Basic, or by a token (Bearer) that is fetched where its
// challenge says and kept until it expires. Nothing of it goes to another host than the registry and that of its
// tokens: redirects and upload locations elsewhere are followed without.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "verge/base/error.hpp"
#include "verge/registry_client/artifact_store.hpp"
#include "verge/registry_client/credentials.hpp"
#include "verge/registry_client/reference.hpp"

namespace verge::registry_client {

struct RegistryOptions {
  Credentials credentials;     ///< Empty: nobody is shown.
  std::string ca_certificate;  ///< PEM; only servers whose chain ends here are trusted. Empty: the system's.
  bool plain_http = false;     ///< Without TLS. Without it, this machine's own registries may be so, too.
  std::string proxy;           ///< URL; empty: that of the environment.
  std::string proxy_ca_certificate;
  std::string user_agent = "verge";
  std::uint64_t max_download_bytes_per_s = 0;  ///< 0: no limit.
  std::uint64_t chunk_bytes = 0;               ///< Blobs are sent in pieces of so many bytes; 0: in one.
  int attempts = 4;                            ///< Of what broke off, without a byte more.
  std::chrono::milliseconds first_pause{500};  ///< Before the second attempt; doubled each time.
  std::chrono::milliseconds idle_timeout{60'000};
  std::stop_token stop{};
};

/// Asks nothing yet, but whether a registry of this machine speaks TLS. Errors, then and later: those of http_client;
/// unauthenticated (VRG-REG-003 credentials are wanted, or refused), permission_denied (VRG-REG-004), unavailable
/// (VRG-REG-005 too much asked for by the registry's own count), data_loss (VRG-REG-010 not what a registry answers),
/// permission_denied (VRG-REG-011 it leads to a place that is not gone to).
Result<std::unique_ptr<ArtifactStore>> open_repository(const Reference& reference, RegistryOptions options);

}  // namespace verge::registry_client
