// Identity: who this device is to its hub. Kept in <state directory>/identity/.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "verge/base/error.hpp"
#include "verge/crypto/key.hpp"
#include "verge/wire/enrolment.hpp"
#include "verge/wire/identity.hpp"

namespace verge::agent {

struct IdentityFiles {
  std::filesystem::path folder;

  /// What is kept; nothing when the device has not joined. Errors: VRG-DOC-… when it is damaged.
  Result<std::optional<wire::Identity>> read() const;
  Result<void> write(const wire::Identity& identity) const;
  /// The device's key; made at the first call.
  Result<crypto::PrivateKey> key() const;
  /// A new key, for a device that joins anew.
  Result<crypto::PrivateKey> new_key() const;
};

/// Reads enrolment.json. Errors: not_found, VRG-DOC-….
Result<wire::Enrolment> read_enrolment(const std::filesystem::path& file);
/// A device name made of a host name: lower-case letters, digits and '-'.
[[nodiscard]] std::string device_name(std::string_view host_name);

}  // namespace verge::agent
