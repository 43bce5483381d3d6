// Measured state: what devices have shown of what they booted, and what the policy makes of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core.hpp"
#include "verge/base/hex.hpp"
#include "verge/hub/selector.hpp"
#include "verge/wire/measured_verdict.hpp"

namespace verge::hub {

/// Of hexadecimal digits that a schema has let pass.
inline std::vector<std::byte> bytes_of(std::string_view hex) {
  return from_hex(hex).value_or(std::vector<std::byte>{});
}

/// Takes the attestation key with which a device joins, or forgets the one that it had. Errors: those of
/// attestation::verify_quote(): the key did not sign this request.
Result<void> note_attestation_key(Core& core, Change& change, const std::string& device,
                                  const wire::CertificateRequest& request);
/// Judges what a report says, and puts into the answer the nonce of the quote that is wanted next.
void note_measured(Core& core, Change& change, const DeviceRecord& device, const wire::ReportedState& report,
                   wire::ReportAnswer& answer);

/// The policy, as it is now. Used inside the transaction that it was read in.
class MeasuredRules {
 public:
  explicit MeasuredRules(Transaction& store);

  /// Why no version is to go to the device: failed_precondition, VRG-HUB-070 (it has shown nothing), 071 (what it has
  /// shown is not good), 072 (too long ago), 073 (secure boot), 074 (a register holds what is not allowed), 075 (a
  /// register was not quoted), 078 (the policy cannot be read), and those of check_endorsed().
  [[nodiscard]] std::optional<Error> hold(const DeviceRecord& device, const std::optional<MeasuredRecord>& measured,
                                          std::int64_t now_ms) const;
  /// Whether any rule is about the device.
  [[nodiscard]] bool concern(const DeviceRecord& device) const;
  /// How old a quote may become before the next is asked for.
  [[nodiscard]] std::int64_t renew_ms(const DeviceRecord& device) const;
  [[nodiscard]] const wire::MeasuredPolicy& policy() const noexcept { return policy_; }

 private:
  wire::MeasuredPolicy policy_;
  bool readable_ = true;
};

/// Whether a rule's selector is about the device, by its name and the hub's labels alone: a device must not be able to
/// talk itself out of a rule.
bool is_about(const std::string& selector, const DeviceRecord& device);
/// hold() of the rules as they are now.
std::optional<Error> held_back(const Core& core, Transaction& store, const DeviceRecord& device);
/// As people see it; nothing when there is nothing to say.
std::optional<wire::MeasuredVerdict> verdict_of(const Core& core, const MeasuredRules& rules,
                                                const DeviceRecord& device,
                                                const std::optional<MeasuredRecord>& measured);
/// The newest report; its quote, where there is one, is good.
wire::MeasuredReport measured_report_of(const MeasuredRecord& measured);

}  // namespace verge::hub
