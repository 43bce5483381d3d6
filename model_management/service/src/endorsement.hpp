// Endorsement: whether a device's attestation key lies in a real TPM. The hub tells the TPM a secret that only it can
// read, and only together with that key, and sees whom the maker's certificate is by.
#pragma once

#include <string>

#include "core.hpp"

namespace verge::hub {

/// Takes what a report says of the endorsement key, and puts into the answer what is wanted next.
void note_endorsement(Core& core, Change& change, MeasuredRecord& record, const wire::ReportedState& report,
                      wire::ReportAnswer& answer);
/// Errors: failed_precondition, VRG-HUB-083 (the key has not been shown to lie in its TPM), 084 (nobody whose word
/// counts has certified that TPM, or no longer).
Result<void> check_endorsed(const std::string& device, const MeasuredRecord& measured, std::int64_t now_ms);
[[nodiscard]] inline bool is_endorsed(const MeasuredRecord& measured, std::int64_t now_ms) {
  return measured.activated_ms > 0 && measured.endorsed_until_ms > now_ms;
}

}  // namespace verge::hub
