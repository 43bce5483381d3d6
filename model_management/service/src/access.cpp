// Who may call: tokens, one-time tokens, certificates; and who did what.
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "core.hpp"
#include "measured.hpp"
#include "verge/crypto/certificate.hpp"
#include "verge/crypto/random.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::hub {
namespace {

constexpr int kDeviceDays = 365;

std::string join(const std::vector<wire::Right>& rights) {
  std::string text;
  for (const auto right : rights) text += (text.empty() ? "" : ",") + std::string(wire::name(right));
  return text;
}

std::vector<wire::Right> split(std::string_view text) {
  std::vector<wire::Right> rights;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    if (const auto right = wire::to_right(text.substr(0, comma))) rights.push_back(*right);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return rights;
}

std::string date(std::int64_t at_ms) {
  const auto seconds = static_cast<std::time_t>(at_ms / 1000);
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(seconds));
}

Error refused(std::string_view why) {
  return Error(ErrorCode::unauthenticated, "VRG-HUB-013", fmt::format("{}; make another: verge device enrol", why));
}

struct Joining {
  Core& core;
  const wire::CertificateRequest& request;
  std::string fingerprint;  ///< Of the key that asks.
  Principal caller;
};

/// A name taken from the token, the request, or both.
Result<std::string> joining_name(const EnrolmentRecord& enrolment, const wire::CertificateRequest& request) {
  const auto wanted = request.device.value_or("");
  if (enrolment.device.empty() && wanted.empty()) {
    return Error(ErrorCode::invalid_argument, "VRG-HUB-019",
                 "expected the name that the device wants to have, got none; set device.name in edge_config.yaml");
  }
  if (!enrolment.device.empty() && !wanted.empty() && wanted != enrolment.device) {
    return refused(fmt::format("expected the device '{}', for which this one-time token was made, got '{}'",
                               enrolment.device, wanted));
  }
  return wanted.empty() ? enrolment.device : wanted;
}

Result<DeviceRecord> join_device(Transaction& store, Joining& joining) {
  const auto now = joining.core.now();
  auto enrolment = store.enrolment_by_hash(crypto::sha256(*joining.request.token));
  if (!enrolment) return refused("expected a one-time token of this hub, got one that it does not know");
  VERGE_ASSIGN(const auto name, joining_name(*enrolment, joining.request));
  auto device = store.device(name).value_or(DeviceRecord{});
  if (enrolment->used_ms > 0) {
    // The answer may have been lost on its way: the same key may ask again.
    const bool again = enrolment->used_by == name && enrolment->used_key == joining.fingerprint &&
                       device.key_fingerprint == joining.fingerprint && device.revoked_ms == 0;
    if (again) return device;
    return refused(fmt::format("expected an unused one-time token, got one that '{}' used at {}", enrolment->used_by,
                               date(enrolment->used_ms)));
  }
  if (enrolment->expires_ms <= now) {
    return Error(
        ErrorCode::unauthenticated, "VRG-HUB-014",
        fmt::format("expected a one-time token that is still good, got one that expired at {}; it is now {}; "
                    "make another: verge device enrol{}",
                    date(enrolment->expires_ms), date(now), enrolment->device.empty() ? "" : " " + enrolment->device));
  }
  if (!device.name.empty() && device.revoked_ms == 0 && enrolment->device.empty()) {
    return Error(
        ErrorCode::already_exists, "VRG-HUB-015",
        fmt::format("a device named '{}' has joined already; choose another name, or let this one take its place "
                    "with a token that is made for it: verge device enrol {}",
                    name, name));
  }
  if (const auto other = store.device_by_key(joining.fingerprint); other && other->name != name) {
    return Error(
        ErrorCode::already_exists, "VRG-HUB-015",
        fmt::format("the key is that of the device '{}'; remove the agent's identity so that it makes a new key",
                    other->name));
  }
  enrolment->used_ms = now;
  enrolment->used_by = name;
  enrolment->used_key = joining.fingerprint;
  store.put(*enrolment);
  device.name = name;
  device.joined_ms = now;
  device.key_fingerprint = joining.fingerprint;
  device.revoked_ms = 0;
  device.conflict.clear();
  device.continuation.clear();
  device.continuation_before.clear();
  device.accept_next = 0;
  device.reported_ms = 0;
  device.report.clear();
  if (joining.request.report) {
    wire::ReportedState first;
    first.version = 1;
    first.device = *joining.request.report;
    first.instance = joining.request.instance.value_or("");
    device.report = wire::write_json_line(wire::to_node(first));
  }
  return device;
}

Result<DeviceRecord> renew_device(Transaction& store, const Joining& joining) {
  const auto device = store.device_by_key(joining.fingerprint);
  if (!device) {
    return Error(ErrorCode::unauthenticated, "VRG-HUB-016",
                 "expected the key of a device that has joined, got another; join with a one-time token: verge device "
                 "enrol");
  }
  if (device->revoked_ms > 0) {
    return Error(ErrorCode::permission_denied, "VRG-HUB-017",
                 fmt::format("the device '{}' was revoked at {}; it may join again with a new one-time token: verge "
                             "device enrol {}",
                             device->name, date(device->revoked_ms), device->name));
  }
  return *device;
}

}  // namespace

Result<Principal> Hub::authenticate(const std::string& token) {
  const auto hash = crypto::sha256(token);
  return core_->read<Principal>([&](Transaction& store) -> Result<Principal> {
    Principal principal;
    if (const auto record = store.token_by_hash(hash)) {
      principal.name = record->name;
      for (const auto right : split(record->rights)) principal.rights.insert(right);
    }
    return principal;
  });
}

Result<wire::TokenAnswer> Hub::create_token(const Principal& caller, const wire::TokenRequest& request) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  return core_->change<wire::TokenAnswer>([&](Change& change) -> Result<wire::TokenAnswer> {
    wire::TokenAnswer answer;
    answer.id = "t-" + crypto::random_hex(4);
    answer.name = request.name;
    answer.rights = split(join(request.rights));
    answer.token = crypto::random_hex(24);
    change.store.add(
        TokenRecord{answer.id, answer.name, crypto::sha256(answer.token), join(answer.rights), core_->now()});
    core_->event(change.store, caller, "token.create", answer.name, join(answer.rights));
    return answer;
  });
}

Result<wire::TokenList> Hub::list_tokens(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  return core_->read<wire::TokenList>([&](Transaction& store) -> Result<wire::TokenList> {
    wire::TokenList list;
    for (const auto& record : store.tokens()) {
      wire::TokenInfo info;
      info.id = record.id;
      info.name = record.name;
      info.rights = split(record.rights);
      info.created_ms = record.created_ms;
      list.tokens.push_back(std::move(info));
    }
    return list;
  });
}

Result<void> Hub::delete_token(const Principal& caller, const std::string& id) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  return core_->change_only([&](Change& change) -> Result<void> {
    const auto tokens = change.store.tokens();
    const auto administers = [&](const TokenRecord& token) {
      return token.rights.find("administer") != std::string::npos && token.id != id;
    };
    if (!change.store.remove_token(id)) return unknown("token", id);
    if (std::none_of(tokens.begin(), tokens.end(), administers)) {
      return Error(ErrorCode::failed_precondition, "VRG-HUB-007",
                   "this is the last token that may administer; make another before you end it");
    }
    core_->event(change.store, caller, "token.delete", id);
    return {};
  });
}

Result<wire::Enrolment> Hub::create_enrolment(const Principal& caller, const wire::EnrolmentRequest& request,
                                              const std::string& url) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  std::string root;
  {
    const std::lock_guard lock(core_->trust_mutex);
    root = core_->trust.root();
  }
  return core_->change<wire::Enrolment>([&](Change& change) -> Result<wire::Enrolment> {
    wire::Enrolment answer;
    answer.version = 1;
    answer.hub_url = url;
    answer.ca_certificate = core_->authority_certificate;
    answer.token = crypto::random_hex(24);
    answer.expires_ms = core_->now() + request.expires_s * 1000;
    answer.trust_root = root;
    EnrolmentRecord record;
    record.id = "e-" + crypto::random_hex(4);
    record.hash = crypto::sha256(answer.token);
    record.device = request.device.value_or("");
    record.created_ms = core_->now();
    record.created_by = caller.who();
    record.expires_ms = *answer.expires_ms;
    change.store.put(record);
    core_->event(change.store, caller, "enrolment.create", record.device.empty() ? "any device" : record.device,
                 "good until " + date(record.expires_ms));
    return answer;
  });
}

Result<wire::EnrolmentList> Hub::list_enrolments(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  return core_->read<wire::EnrolmentList>([&](Transaction& store) -> Result<wire::EnrolmentList> {
    wire::EnrolmentList list;
    for (const auto& record : store.enrolments()) {
      wire::EnrolmentInfo info;
      info.id = record.id;
      if (!record.device.empty()) info.device = record.device;
      info.created_ms = record.created_ms;
      info.created_by = record.created_by;
      info.expires_ms = record.expires_ms;
      if (record.used_ms > 0) info.used_ms = record.used_ms;
      if (!record.used_by.empty()) info.used_by = record.used_by;
      list.enrolments.push_back(std::move(info));
    }
    return list;
  });
}

Result<wire::CertificateAnswer> Hub::certificate(const wire::CertificateRequest& request, const std::string& address) {
  VERGE_ASSIGN(const auto signing, crypto::read_request(request.request));
  Joining joining{*core_, request, signing.key.fingerprint(), {}};
  return core_->change<wire::CertificateAnswer>([&](Change& change) -> Result<wire::CertificateAnswer> {
    const bool joins = request.token && !request.token->empty();
    auto found = joins ? join_device(change.store, joining) : renew_device(change.store, joining);
    if (!found) return Error(std::move(found).error());
    auto& device = *found;
    crypto::CertificateOrder order;
    order.common_name = device.name;
    order.now_s = core_->now() / 1000;
    order.days = kDeviceDays;
    wire::CertificateAnswer answer;
    answer.device = device.name;
    VERGE_ASSIGN(answer.certificate,
                 crypto::issue_certificate(order, signing.key, core_->authority_certificate, core_->authority_key));
    answer.ca_certificate = core_->authority_certificate;
    device.certificate_until_ms = (order.now_s + std::int64_t{kDeviceDays} * 86400) * 1000;
    if (joins) device.address = address;
    change.store.put(device);
    if (joins) VERGE_TRY(note_attestation_key(*core_, change, device.name, request));
    Principal caller;
    caller.device = device.name;
    core_->event(change.store, caller, joins ? "device.join" : "device.renew", device.name, "from " + address);
    return answer;
  });
}

Result<wire::EventList> Hub::events(const Principal& caller, std::int64_t after, std::int64_t limit) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::EventList>([&](Transaction& store) -> Result<wire::EventList> {
    wire::EventList list;
    for (const auto& record : store.events(after, limit)) {
      wire::HubEvent event;
      event.id = record.id;
      event.at_ms = record.at_ms;
      event.who = record.who;
      event.action = record.action;
      event.subject = record.subject;
      if (!record.text.empty()) event.text = record.text;
      list.events.push_back(std::move(event));
    }
    if (std::ssize(list.events) == limit && list.events.back().id > 1) list.next_after = list.events.back().id;
    return list;
  });
}

}  // namespace verge::hub
