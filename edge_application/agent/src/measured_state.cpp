#include "measured_state.hpp"

#include <utility>

#include "verge/base/file.hpp"
#include "verge/base/hex.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/wire/attestation_key.hpp"

namespace verge::agent {
namespace {

constexpr std::uint64_t kKeyLimitBytes = 65536;
constexpr const char* kKeyFile = "attestation_key.json";

std::vector<std::byte> bytes_of(std::string_view hex) {
  return from_hex(hex).value_or(std::vector<std::byte>{});
}

wire::TpmQuote document_of(const at_rest::Quote& quote) {
  wire::TpmQuote document;
  document.message = to_hex(quote.message);
  document.signature = to_hex(quote.signature);
  for (const auto& [pcr, value] : quote.registers) {
    auto& entry = document.registers.emplace_back();
    entry.pcr = pcr;
    entry.value = to_hex(value);
  }
  return document;
}

}  // namespace

MeasuredState::MeasuredState(Log& log, const wire::MeasuredState& configured,
                             const std::filesystem::path& state_directory)
    : log_(log),
      tcti_(configured.tcti),
      pcrs_(configured.pcrs.begin(), configured.pcrs.end()),
      key_file_(state_directory / "identity" / kKeyFile),
      boot_(telemetry::read_boot_state()) {
  if (pcrs_.empty()) pcrs_ = {0, 2, 4, 7};
  const auto tpm = at_rest::open_tpm(tcti_);
  present_ = tpm.has_value();
  note_trouble(tpm ? "" : tpm.error().text());
}

Result<at_rest::WrappedKey> MeasuredState::key() const {
  VERGE_ASSIGN(const auto text, read_text(key_file_, kKeyLimitBytes));
  VERGE_ASSIGN(const auto node, wire::parse_json(text, kKeyFile));
  VERGE_ASSIGN(const auto file, wire::read_attestation_key_file(node, wire::Place(kKeyFile)));
  return at_rest::WrappedKey{bytes_of(file.public_area), bytes_of(file.private_area)};
}

Result<at_rest::WrappedKey> MeasuredState::make_key(at_rest::Tpm& tpm) {
  VERGE_ASSIGN(auto made, tpm.make_attestation_key());
  wire::AttestationKeyFile file;
  file.version = 1;
  file.public_area = to_hex(made.public_area);
  file.private_area = to_hex(made.private_area);
  VERGE_TRY(write_file(key_file_, std::string_view(wire::write_json(wire::to_node(file)))));
  log_.info("the TPM has made an attestation key", {{"file", key_file_.string()}});
  return made;
}

Result<wire::JoinAttestation> MeasuredState::attest(std::string_view request) {
  VERGE_ASSIGN(const auto tpm, at_rest::open_tpm(tcti_));
  const auto digest = crypto::sha256(request);
  const auto nonce = bytes_of(std::string_view(digest).substr(digest.find(':') + 1));
  auto present = key();
  const bool made = !present;
  if (made) {
    VERGE_ASSIGN(present, make_key(*tpm));
  }
  auto quoted = tpm->quote(*present, pcrs_, nonce);
  if (!quoted && !made && quoted.error().id() == "VRG-RST-009") {
    VERGE_ASSIGN(present, make_key(*tpm));
    quoted = tpm->quote(*present, pcrs_, nonce);
  }
  if (!quoted) return std::move(quoted).error();
  VERGE_ASSIGN(const auto certificate, tpm->endorsement_certificate());
  wire::JoinAttestation attestation;
  attestation.key = to_hex(present->public_area);
  attestation.quote = document_of(*quoted);
  if (!certificate.empty()) attestation.endorsement_certificate = to_hex(certificate);
  return attestation;
}

Result<wire::TpmQuote> MeasuredState::quote() {
  const auto tpm = at_rest::open_tpm(tcti_);
  present_ = tpm.has_value();
  if (!tpm) return Error(tpm.error());
  const auto present = key();
  if (!present) {
    return Error(ErrorCode::failed_precondition, "VRG-AGT-080",
                 "expected the attestation key with which this device joined its hub, got none (" +
                     present.error().message() + "); let it join anew: verge device enrol");
  }
  auto made = (*tpm)->quote(*present, pcrs_, bytes_of(nonce_));
  if (!made && made.error().id() == "VRG-RST-009") {
    return Error(ErrorCode::failed_precondition, "VRG-AGT-081",
                 "the TPM does not know the attestation key with which this device joined: it is another TPM, or was "
                 "cleared since; where that is as it should be, let the device join anew: verge device enrol");
  }
  if (!made) return std::move(made).error();
  return document_of(*made);
}

void MeasuredState::note_trouble(const std::string& text) {
  if (text == trouble_) return;
  trouble_ = text;
  if (text.empty()) {
    log_.info("the TPM quotes its registers again");
  } else {
    log_.warning("what was booted cannot be shown to the hub", {{"error", text}});
  }
}

Result<wire::TpmEndorsement> MeasuredState::show_endorsement() {
  VERGE_ASSIGN(const auto tpm, at_rest::open_tpm(tcti_));
  VERGE_ASSIGN(const auto made, tpm->endorsement());
  endorsement_key_ = made.public_area;
  wire::TpmEndorsement said;
  said.key = to_hex(made.public_area);
  if (!made.certificate.empty()) said.certificate = to_hex(made.certificate);
  return said;
}

Result<wire::TpmEndorsement> MeasuredState::activate(const wire::TpmCredential& credential) {
  VERGE_ASSIGN(const auto tpm, at_rest::open_tpm(tcti_));
  VERGE_ASSIGN(const auto present, key());
  VERGE_ASSIGN(const auto secret,
               tpm->activate(present, endorsement_key_, {bytes_of(credential.blob), bytes_of(credential.seed)}));
  wire::TpmEndorsement said;
  said.secret = to_hex(secret);
  return said;
}

wire::TpmEndorsement MeasuredState::endorsement() {
  auto said = credential_ ? activate(*credential_) : show_endorsement();
  if (said) return std::move(*said);
  if (std::exchange(endorsement_trouble_, said.error().text()) != said.error().text()) {
    log_.warning("the hub cannot be shown that the TPM is a real one", {{"error", said.error().text()}});
  }
  wire::TpmEndorsement trouble;
  trouble.message = said.error().text();
  return trouble;
}

bool MeasuredState::take(const wire::ReportAnswer& answer) {
  const auto nonce = answer.measured_nonce.value_or("");
  bool asks = (!nonce.empty() && nonce != nonce_) || answer.measured_credential;
  // A hub that asks again and again does so at the usual pace.
  asks |= answer.measured_endorsement && !std::exchange(endorsement_was_wanted_, true);
  nonce_ = nonce;
  endorsement_wanted_ = answer.measured_endorsement;
  credential_ = answer.measured_credential;
  return asks;
}

wire::MeasuredReport MeasuredState::report() {
  wire::MeasuredReport report;
  report.secure_boot = boot_.secure_boot;
  if (!boot_.event_log_digest.empty()) report.event_log_digest = boot_.event_log_digest;
  if (!nonce_.empty()) {
    auto made = quote();
    note_trouble(made ? "" : made.error().text());
    if (made) report.quote = std::move(*made);
  }
  if (endorsement_wanted_ || credential_) report.endorsement = endorsement();
  report.tpm = present_ ? wire::TpmState::present : wire::TpmState::absent;
  if (!trouble_.empty()) report.message = trouble_;
  return report;
}

}  // namespace verge::agent
