// Principal: who calls, and what the caller may do.
#pragma once

#include <set>
#include <string>

#include "verge/base/error.hpp"
#include "verge/wire/token_request.hpp"

namespace verge::hub {

struct Principal {
  std::string name;  ///< Of the token; "" when nobody is known.
  std::set<wire::Right> rights;
  std::string device;           ///< Set when a device calls, by its certificate.
  std::string key_fingerprint;  ///< Of that certificate's key.
  std::string address;          ///< Where the call came from.

  /// As written into the log of events.
  [[nodiscard]] std::string who() const;
};

/// Errors: unauthenticated (VRG-HUB-010) when nobody is known, permission_denied (VRG-HUB-011) naming the right.
Result<void> check_right(const Principal& caller, wire::Right right);
/// The device that calls. Errors: unauthenticated (VRG-HUB-012).
Result<std::string> check_device(const Principal& caller);

}  // namespace verge::hub
