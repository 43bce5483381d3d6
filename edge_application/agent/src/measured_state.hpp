// Measured state: what this device has booted, told to its hub in the words of its TPM.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verge/at_rest/tpm_part.hpp"
#include "verge/base/log.hpp"
#include "verge/telemetry/boot_state.hpp"
#include "verge/wire/edge_config.hpp"
#include "verge/wire/measured_report.hpp"
#include "verge/wire/report_answer.hpp"

namespace verge::agent {

/// Opens the TPM for a quote and closes it again: others use it, too. Used by one thread at a time.
class MeasuredState {
 public:
  MeasuredState(Log& log, const wire::MeasuredState& configured, const std::filesystem::path& state_directory);

  /// For a device that joins: its attestation key (made once, and again when the TPM no longer knows it), with a quote
  /// over the request. Errors: those of the TPM and the disk.
  Result<wire::JoinAttestation> attest(std::string_view request);
  /// For a report, with what the hub's newest answer asks for. What does not go says so in the report.
  wire::MeasuredReport report();
  /// Takes the answer to a report; whether it asks for something that the next report should not wait for.
  bool take(const wire::ReportAnswer& answer);

 private:
  [[nodiscard]] Result<at_rest::WrappedKey> key() const;
  Result<at_rest::WrappedKey> make_key(at_rest::Tpm& tpm);
  Result<wire::TpmQuote> quote();
  Result<wire::TpmEndorsement> show_endorsement();
  Result<wire::TpmEndorsement> activate(const wire::TpmCredential& credential);
  wire::TpmEndorsement endorsement();
  void note_trouble(const std::string& text);

  Log& log_;
  std::string tcti_;
  std::vector<unsigned> pcrs_;
  std::filesystem::path key_file_;
  telemetry::BootState boot_;
  bool present_ = false;
  std::string trouble_;
  std::string endorsement_trouble_;  ///< That was logged last.
  std::string nonce_;                ///< Hexadecimal digits that the hub wants to be quoted; empty: none.
  bool endorsement_wanted_ = false;
  bool endorsement_was_wanted_ = false;  ///< In this run.
  std::optional<wire::TpmCredential> credential_;
  std::vector<std::byte> endorsement_key_;  ///< That the hub was shown last.
};

}  // namespace verge::agent
