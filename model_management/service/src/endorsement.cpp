#include "endorsement.hpp"

#include <tuple>

#include <fmt/format.h>

#include "deploying.hpp"
#include "measured.hpp"
#include "verge/attestation/credential.hpp"
#include "verge/attestation/endorsement_authorities.hpp"
#include "verge/crypto/random.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::hub {
namespace {

using attestation::EndorsementAuthorities;

constexpr const char* kSetting = "endorsement_authorities";
/// What a device could not do it is asked for again after this time: its TPM may have been busy, or away.
constexpr std::int64_t kAskAgain_ms = 300'000;

void explain(MeasuredRecord& record, std::string_view id, std::string_view text) {
  record.endorsement_reason_id = id;
  record.endorsement_reason = text;
}

/// The maker's certificate of a key that is activated, against the authorities as they are now.
void judge_certificate(const Result<EndorsementAuthorities>& authorities, MeasuredRecord& record, std::int64_t now_ms) {
  record.endorsed_by.clear();
  record.endorsed_until_ms = 0;
  if (!authorities) return explain(record, authorities.error().id(), authorities.error().message());
  if (record.endorsement.empty()) {
    return explain(record, "VRG-HUB-084", "its TPM has no certificate of its maker");
  }
  if (authorities->empty()) {
    return explain(record, "VRG-HUB-084",
                   "no endorsement authorities are named on this hub: verge fleet policy authorities");
  }
  const auto key = attestation::EndorsementKey::read(bytes_of(record.endorsement_key));
  if (!key) return explain(record, key.error().id(), key.error().message());
  const auto good = authorities->check(*key, bytes_of(record.endorsement), now_ms / 1000);
  if (!good) return explain(record, good.error().id(), good.error().message());
  record.endorsed_by = good->authority;
  record.endorsed_until_ms = good->until_s * 1000;
  explain(record, "", "");
}

/// What it was certified and activated with counts no more; why is kept, for people.
void refuse(MeasuredRecord& record, std::string_view id, std::string_view text) {
  record.activated_ms = 0;
  record.credential.clear();
  record.endorsed_by.clear();
  record.endorsed_until_ms = 0;
  explain(record, id, text);
}

auto standing_of(const MeasuredRecord& record) {
  return std::make_tuple(record.activated_ms > 0, record.endorsed_by, record.endorsement_reason_id);
}

void tell(Core& core, Change& change, const MeasuredRecord& record) {
  Principal caller;
  caller.device = record.device;
  const auto why = record.endorsement_reason_id.empty()
                       ? std::string()
                       : fmt::format(": {} [{}]", record.endorsement_reason, record.endorsement_reason_id);
  const auto by = record.endorsed_by.empty() ? " not endorsed" : " endorsed by " + record.endorsed_by;
  core.event(change.store, caller, "device.endorsement", record.device,
             (record.activated_ms > 0 ? "activated," + by : "not activated") + why);
}

/// Whether it was the right one.
bool judge_secret(Core& core, Change& change, MeasuredRecord& record, const std::string& secret) {
  if (!record.credential.empty() && crypto::same_secret(crypto::sha256(bytes_of(secret)), record.credential)) {
    if (record.activated_ms > 0) return true;  // The answer to the report before was lost.
    record.activated_ms = core.now();
    judge_certificate(EndorsementAuthorities::read(change.store.setting(kSetting)), record, core.now());
    return true;
  }
  refuse(record, "VRG-HUB-085",
         "expected the secret of the newest credential, got another: it is an old one, played again, or does not come "
         "from the TPM with the attestation key");
  core.log.warning("a device has given back a wrong secret of its TPM",
                   {{"device", record.device}, {"id", record.endorsement_reason_id}});
  return false;
}

/// Tells the TPM a new secret.
Result<void> offer(MeasuredRecord& record, const wire::TpmEndorsement& said, wire::ReportAnswer& answer) {
  record.endorsement_key = *said.key;
  record.endorsement = said.certificate.value_or("");
  VERGE_ASSIGN(const auto endorsement, attestation::EndorsementKey::read(bytes_of(record.endorsement_key)));
  VERGE_ASSIGN(const auto key, attestation::AttestationKey::read(bytes_of(record.key_area)));
  const auto secret = bytes_of(crypto::random_hex(attestation::kCredentialSecretBytes));
  VERGE_ASSIGN(const auto made, attestation::make_credential(endorsement, key, secret));
  record.credential = crypto::sha256(secret);
  answer.measured_credential.emplace();
  answer.measured_credential->blob = to_hex(made.blob);
  answer.measured_credential->seed = to_hex(made.seed);
  return {};
}

/// What is wanted of a device whose key is not activated.
void go_on(MeasuredRecord& record, const wire::TpmEndorsement& said, std::int64_t now_ms, wire::ReportAnswer& answer) {
  if (said.key) {
    const auto offered = offer(record, said, answer);
    if (offered) return;
    refuse(record, offered.error().id(), offered.error().message());
    record.unable_ms = now_ms;
  } else if (said.message) {
    refuse(record, "VRG-HUB-083", *said.message);
    record.unable_ms = now_ms;
  } else if (record.unable_ms == 0 || now_ms - record.unable_ms >= kAskAgain_ms) {
    answer.measured_endorsement = true;
  }
}

wire::EndorsementAuthorities document_of(const std::string& pem, const EndorsementAuthorities& read) {
  wire::EndorsementAuthorities document;
  document.certificates = pem;
  for (const auto& one : read.list()) {
    auto& entry = document.authorities.emplace_back();
    entry.name = one.name;
    entry.digest = one.fingerprint;
    entry.until_ms = one.until_s * 1000;
  }
  return document;
}

}  // namespace

void note_endorsement(Core& core, Change& change, MeasuredRecord& record, const wire::ReportedState& report,
                      wire::ReportAnswer& answer) {
  if (record.key_area.empty() || !report.measured) return;
  const auto before = standing_of(record);
  const auto said = report.measured->endorsement.value_or(wire::TpmEndorsement{});
  const bool wrong = said.secret && !judge_secret(core, change, record, *said.secret);
  if (record.activated_ms == 0) go_on(record, said, core.now(), answer);
  if (wrong || standing_of(record) != before) tell(core, change, record);
}

Result<void> check_endorsed(const std::string& device, const MeasuredRecord& measured, std::int64_t now_ms) {
  const auto held = [&](std::string_view id, const std::string& why) {
    return Error(ErrorCode::failed_precondition, id, fmt::format("{} is given no version: {}", device, why));
  };
  const auto& reason = measured.endorsement_reason;
  const auto said = reason.empty() ? std::string() : fmt::format(" ({} [{}])", reason, measured.endorsement_reason_id);
  if (measured.activated_ms == 0) {
    return held("VRG-HUB-083",
                fmt::format("its attestation key has not been shown to lie in its TPM{}; see that its agent runs, "
                            "knows of endorsement keys and may use the TPM's endorsement hierarchy",
                            said));
  }
  if (is_endorsed(measured, now_ms)) return {};
  if (measured.endorsed_until_ms > 0) {
    return held("VRG-HUB-084", fmt::format("the certificate of its TPM's maker, or that of the authority '{}', is no "
                                           "longer valid; name a newer one: verge fleet policy authorities",
                                           measured.endorsed_by));
  }
  return held("VRG-HUB-084", fmt::format("its TPM is not certified by a maker whose word counts here{}; where that "
                                         "maker is to be trusted: verge fleet policy authorities",
                                         said));
}

Result<wire::EndorsementAuthorities> Hub::endorsement_authorities(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::EndorsementAuthorities>([](Transaction& store) -> Result<wire::EndorsementAuthorities> {
    const auto pem = store.setting(kSetting);
    VERGE_ASSIGN(const auto read, EndorsementAuthorities::read(pem));
    return document_of(pem, read);
  });
}

Result<wire::EndorsementAuthorities> Hub::set_endorsement_authorities(const Principal& caller,
                                                                      const wire::EndorsementAuthorities& wanted) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  const auto read = EndorsementAuthorities::read(wanted.certificates);
  if (!read) return Error(read.error());
  const auto document = document_of(wanted.certificates, *read);
  return core_->change<wire::EndorsementAuthorities>([&](Change& change) -> Result<wire::EndorsementAuthorities> {
    change.store.set_setting(kSetting, document.authorities.empty() ? "" : document.certificates);
    core_->event(change.store, caller, "fleet.endorsement_authorities", "fleet",
                 fmt::format("{} authorities", document.authorities.size()));
    for (auto record : change.store.all_measured()) {
      if (record.activated_ms == 0) continue;
      const auto before = standing_of(record);
      judge_certificate(read, record, core_->now());
      if (standing_of(record) != before) tell(*core_, change, record);
      change.store.put(record);
    }
    release_waiting(*core_, change, "");
    return document;
  });
}

}  // namespace verge::hub
