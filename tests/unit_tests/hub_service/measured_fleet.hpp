// A hub, and devices with software TPMs that show it what they booted.
#pragma once

#include "fleet_of.hpp"
#include "software_tpm.hpp"
#include "verge/at_rest/tpm_part.hpp"
#include "verge/base/hex.hpp"

namespace verge::hub {

inline std::vector<std::byte> bytes_of(const std::string& hex) {
  return from_hex(hex).value();
}

/// A device with a TPM.
struct Machine {
  at_rest::test::SoftwareTpm software;
  at_rest::WrappedKey key = at_rest::open_tpm(software.tcti()).value()->make_attestation_key().value();
  std::string name;
  Principal principal;
  std::string instance = "run";
  wire::ReportAnswer answer;
  std::string nonce;

  [[nodiscard]] wire::TpmQuote quote(const std::string& with, const std::vector<unsigned>& pcrs = {0, 7}) const {
    const auto made = at_rest::open_tpm(software.tcti()).value()->quote(key, pcrs, bytes_of(with));
    wire::TpmQuote document;
    if (!made) {
      ADD_FAILURE() << made.error().text();
      return document;
    }
    document.message = to_hex(made->message);
    document.signature = to_hex(made->signature);
    for (const auto& [pcr, value] : made->registers) {
      auto& entry = document.registers.emplace_back();
      entry.pcr = pcr;
      entry.value = to_hex(value);
    }
    return document;
  }
};

class MeasuredTest : public HubTest {
 protected:
  wire::CertificateRequest request_of(const std::string& name, const crypto::PrivateKey& key) {
    wire::EnrolmentRequest wanted;
    wanted.device = name;
    wire::CertificateRequest request;
    request.device = name;
    request.token = must(hub_->create_enrolment(admin_, wanted, "https://hub:1")).token;
    request.request = crypto::make_request(key, name);
    return request;
  }
  static wire::JoinAttestation attestation_of(const Machine& machine, const std::string& request) {
    wire::JoinAttestation attestation;
    attestation.key = to_hex(machine.key.public_area);
    attestation.quote = machine.quote(crypto::sha256(request).substr(7));
    return attestation;
  }
  void join_as(Machine& machine, const std::string& name) {
    const auto key = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
    auto request = request_of(name, key);
    request.attestation = attestation_of(machine, request.request);
    must(hub_->certificate(request, "10.0.0.1"));
    machine.name = name;
    machine.principal.device = name;
    machine.principal.key_fingerprint = key.public_key().fingerprint();
  }
  /// Reports with what is given; what the hub wants next is kept.
  void report(Machine& machine, const std::optional<wire::TpmQuote>& quote,
              wire::SecureBoot secure_boot = wire::SecureBoot::enabled,
              const std::optional<wire::TpmEndorsement>& endorsement = std::nullopt) {
    auto report = report_for(machine.principal);
    report.instance = machine.instance;
    report.measured.emplace();
    report.measured->secure_boot = secure_boot;
    report.measured->tpm = wire::TpmState::present;
    report.measured->quote = quote;
    report.measured->endorsement = endorsement;
    machine.answer = must(send(machine.principal, report));
    machine.nonce = machine.answer.measured_nonce.value_or("");
  }
  /// As an honest agent does after its start.
  void show(Machine& machine) {
    report(machine, std::nullopt);
    ASSERT_NE(machine.nonce, "");
    report(machine, machine.quote(machine.nonce));
  }
  wire::MeasuredVerdict measured(const Machine& machine) {
    return must(hub_->device(admin_, machine.name)).summary.measured.value_or(wire::MeasuredVerdict{});
  }
  std::string why(const Machine& machine) {
    const auto verdict = measured(machine);
    return verdict.reason ? verdict.reason->id : "";
  }
  wire::MeasuredRule rule(const std::string& selector = "all") const {
    wire::MeasuredRule rule;
    rule.selector = selector;
    rule.quote = true;
    return rule;
  }
  void require(const wire::MeasuredRule& rule) {
    wire::MeasuredPolicy policy;
    policy.rules = {rule};
    must(hub_->set_measured_policy(admin_, policy));
  }
  Result<wire::MeasuredPolicy> pin(const std::string& selector, std::vector<std::int64_t> pcrs, bool add = false) {
    wire::MeasuredPin wanted;
    wanted.selector = selector;
    wanted.pcrs = std::move(pcrs);
    wanted.add = add;
    return hub_->pin_measured(admin_, wanted);
  }
  std::string held(const Machine& machine) {
    const auto verdict = measured(machine);
    return verdict.held ? verdict.held->id : "";
  }
  bool gets_content(const Machine& machine, const std::string& digest) {
    const auto content = hub_->device_blob(machine.principal, digest);
    if (!content) {
      EXPECT_EQ(content.error().code(), ErrorCode::unavailable);
    }
    return content.has_value();
  }
};

}  // namespace verge::hub
