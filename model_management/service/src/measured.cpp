#include "measured.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "endorsement.hpp"
#include "verge/attestation/quote.hpp"
#include "verge/crypto/random.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::hub {
namespace {

constexpr std::size_t kNonceBytes = 32;

attestation::Evidence evidence_of(const wire::TpmQuote& quote) {
  attestation::Evidence evidence;
  evidence.message = bytes_of(quote.message);
  evidence.signature = bytes_of(quote.signature);
  for (const auto& reported : quote.registers) {
    const auto bytes = bytes_of(reported.value);
    auto& place = evidence.registers[static_cast<unsigned>(reported.pcr)];
    std::copy_n(bytes.begin(), std::min(bytes.size(), place.size()), place.begin());
  }
  return evidence;
}

/// The verdict goes back to none: there is no quote that counts.
void forget_quote(MeasuredRecord& record, std::string_view why) {
  record.verdict = "none";
  record.reason_id = "VRG-HUB-070";
  record.reason = why;
  record.quoted_ms = 0;
  record.nonce_before.clear();
}

void fail(MeasuredRecord& record, const Error& error) {
  record.verdict = "failed";
  record.reason_id = error.id();
  record.reason = error.message();
  record.nonce_before.clear();  // The good quote before it is not to be shown again, too.
}

/// Good with the nonce that is outstanding; or with the one before, when the answer to that report was lost.
void judge_quote(MeasuredRecord& record, const wire::TpmQuote& quote) {
  const auto key = attestation::AttestationKey::read(bytes_of(record.key_area));
  if (!key) return fail(record, key.error());
  const auto evidence = evidence_of(quote);
  const auto with = [&](const std::string& nonce) {
    return attestation::verify_quote(*key, evidence, bytes_of(nonce));
  };
  const auto fresh = with(record.nonce);
  const bool again = !fresh && !record.nonce_before.empty() && with(record.nonce_before).has_value();
  // Without a nonce none was asked for: what comes then is old, whatever it carries.
  const bool asked = fresh && !record.nonce.empty();
  if (!asked && !again) {
    return fail(record, fresh ? Error(ErrorCode::unauthenticated, "VRG-HUB-071", "a quote came that was not asked for")
                              : fresh.error());
  }
  record.verdict = "trusted";
  record.reason_id.clear();
  record.reason.clear();
  if (again) return;
  record.quoted_ms = record.nonce_ms;
  record.nonce_before = std::exchange(record.nonce, "");
}

void judge(MeasuredRecord& record, wire::MeasuredReport& shown, const std::string& instance) {
  if (record.instance != instance) {
    record.instance = instance;
    record.nonce.clear();
    record.unable_ms = 0;
    forget_quote(record, "waits for a quote of the run of its agent that has just begun");
  }
  if (record.key_area.empty()) {
    forget_quote(record, fmt::format("it joined without an attestation key{}; let it join anew: verge device enrol {}",
                                     shown.message ? " (" + *shown.message + ")" : "", record.device));
    shown.quote.reset();
    return;
  }
  if (shown.tpm == wire::TpmState::absent) {
    forget_quote(record, fmt::format("no TPM answers on it: {}", shown.message.value_or("it does not say why")));
  } else if (shown.quote) {
    judge_quote(record, *shown.quote);
  } else if (record.verdict == "trusted") {
    shown.quote = measured_report_of(record).quote;
  } else if (shown.message) {
    forget_quote(record, fmt::format("it cannot quote its TPM's registers: {}", *shown.message));
  }
  if (record.verdict != "trusted") shown.quote.reset();
}

void tell(Core& core, Change& change, const MeasuredRecord& record) {
  Principal caller;
  caller.device = record.device;
  const auto why = record.reason.empty() ? std::string() : fmt::format(" {} [{}]", record.reason, record.reason_id);
  core.event(change.store, caller, "device.measured", record.device, record.verdict + (why.empty() ? "" : ":" + why));
  if (record.verdict == "failed") {
    core.log.warning("a device's measured state is not to be trusted",
                     {{"device", record.device}, {"error", record.reason}, {"id", record.reason_id}});
  }
}

}  // namespace

wire::MeasuredReport measured_report_of(const MeasuredRecord& measured) {
  return read_own<wire::MeasuredReport>(measured.report, wire::read_measured_report);
}

Result<void> note_attestation_key(Core& core, Change& change, const std::string& device,
                                  const wire::CertificateRequest& request) {
  change.store.remove_measured(device);
  if (!request.attestation) return {};
  const auto area = bytes_of(request.attestation->key);
  VERGE_ASSIGN(const auto key, attestation::AttestationKey::read(area));
  const auto digest = crypto::sha256(request.request);
  const auto nonce = bytes_of(digest.substr(digest.find(':') + 1));
  VERGE_TRY(attestation::verify_quote(key, evidence_of(request.attestation->quote), nonce));
  MeasuredRecord record;
  record.device = device;
  record.key_area = request.attestation->key;
  record.endorsement = request.attestation->endorsement_certificate.value_or("");
  forget_quote(record, "waits for its first quote");
  change.store.put(record);
  Principal caller;
  caller.device = device;
  core.event(change.store, caller, "device.attestation_key", device, key.fingerprint());
  return {};
}

void note_measured(Core& core, Change& change, const DeviceRecord& device, const wire::ReportedState& report,
                   wire::ReportAnswer& answer) {
  auto found = change.store.measured(device.name);
  if (!found && !report.measured) return;
  auto record = found.value_or(MeasuredRecord{});
  record.device = device.name;
  const auto before = std::make_pair(record.verdict, record.reason_id);
  if (!report.measured) {
    forget_quote(record, "its reports no longer say what was booted; look at 'measured_state' in its edge_config.yaml");
    record.report.clear();
  } else {
    auto shown = *report.measured;
    shown.endorsement.reset();
    judge(record, shown, report.instance);
    record.report = wire::write_json_line(wire::to_node(shown));
    const auto age_ms = core.now() - record.quoted_ms;
    const bool due = record.verdict != "trusted" || age_ms >= MeasuredRules(change.store).renew_ms(device);
    if (due && record.nonce.empty() && !record.key_area.empty()) {
      record.nonce = crypto::random_hex(kNonceBytes);
      record.nonce_ms = core.now();
    }
    if (!record.nonce.empty()) answer.measured_nonce = record.nonce;
    note_endorsement(core, change, record, report, answer);
  }
  if (before != std::make_pair(record.verdict, record.reason_id)) tell(core, change, record);
  change.store.put(record);
}

std::optional<wire::MeasuredVerdict> verdict_of(const Core& core, const MeasuredRules& rules,
                                                const DeviceRecord& device,
                                                const std::optional<MeasuredRecord>& measured) {
  if (!measured && !rules.concern(device)) return std::nullopt;
  wire::MeasuredVerdict verdict;
  if (const auto held = rules.hold(device, measured, core.now())) {
    verdict.held.emplace();
    verdict.held->id = held->id();
    verdict.held->message = held->message();
  }
  if (!measured) return verdict;
  verdict.verdict = wire::to_verdict(measured->verdict).value_or(wire::Verdict::failed);
  if (!measured->reason.empty()) {
    verdict.reason.emplace();
    verdict.reason->id = measured->reason_id;
    verdict.reason->message = measured->reason;
  }
  if (measured->quoted_ms > 0) verdict.quoted_ms = measured->quoted_ms;
  if (const auto key = attestation::AttestationKey::read(bytes_of(measured->key_area))) {
    verdict.key = key->fingerprint();
  }
  if (!measured->endorsement.empty()) verdict.endorsement = crypto::sha256(bytes_of(measured->endorsement));
  verdict.activated = measured->activated_ms > 0;
  verdict.endorsed = is_endorsed(*measured, core.now());
  if (!measured->endorsed_by.empty()) verdict.authority = measured->endorsed_by;
  if (!measured->endorsement_reason.empty()) {
    verdict.endorsement_reason.emplace();
    verdict.endorsement_reason->id = measured->endorsement_reason_id;
    verdict.endorsement_reason->message = measured->endorsement_reason;
  }
  if (measured->report.empty()) return verdict;
  const auto shown = measured_report_of(*measured);
  verdict.secure_boot = shown.secure_boot;
  verdict.event_log_digest = shown.event_log_digest;
  if (shown.quote) verdict.registers = shown.quote->registers;
  return verdict;
}

}  // namespace verge::hub
