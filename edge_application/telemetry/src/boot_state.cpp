#include "verge/telemetry/boot_state.hpp"

#include <optional>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::telemetry {
namespace {

constexpr std::uint64_t kLogLimitBytes = 16U << 20U;
constexpr const char* kGlobalVariable = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Linux puts four bytes of attributes before the value.
constexpr std::size_t kVariableBytes = 5;

std::optional<bool> variable(const std::filesystem::path& sys, const std::string& name) {
  const auto text = read_text(sys / "firmware/efi/efivars" / (name + "-" + kGlobalVariable), kVariableBytes);
  if (!text || text->size() != kVariableBytes) return std::nullopt;
  const auto value = static_cast<unsigned char>(text->back());
  return value > 1 ? std::nullopt : std::optional(value == 1);
}

wire::SecureBoot secure_boot(const std::filesystem::path& sys) {
  const auto enforced = variable(sys, "SecureBoot");
  const auto open = variable(sys, "SetupMode");
  if (!enforced || !open) return wire::SecureBoot::unknown;
  if (*open) return wire::SecureBoot::setup_mode;
  return *enforced ? wire::SecureBoot::enabled : wire::SecureBoot::disabled;
}

}  // namespace

BootState read_boot_state(const std::filesystem::path& sys) {
  BootState state;
  state.secure_boot = secure_boot(sys);
  const auto log = crypto::sha256_of_file(sys / "kernel/security/tpm0/binary_bios_measurements", kLogLimitBytes);
  if (log) state.event_log_digest = log->digest;
  return state;
}

}  // namespace verge::telemetry
