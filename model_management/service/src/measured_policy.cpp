// The policy about measured state: its rules, and how they are set.
#include <algorithm>

#include <fmt/format.h>

#include "deploying.hpp"
#include "endorsement.hpp"
#include "measured.hpp"

namespace verge::hub {
namespace {

constexpr const char* kSetting = "measured_policy";
/// Without a rule a quote is for people: now and then is enough.
constexpr std::int64_t kRenew_ms = 300'000;
/// A quote is asked for so often within its time that one that is lost does not matter.
constexpr std::int64_t kTriesWithinAge = 3;

Error held(std::string_view id, std::string_view device, std::string_view why) {
  return Error(ErrorCode::failed_precondition, id, fmt::format("{} is given no version: {}", device, why));
}

/// Errors: VRG-HUB-072.
Result<void> check_age(const std::string& device, std::string_view what, std::int64_t at_ms, std::int64_t now_ms,
                       std::int64_t max_age_s) {
  const auto age_s = (now_ms - at_ms) / 1000;
  if (age_s <= max_age_s) return {};
  return held("VRG-HUB-072", device,
              fmt::format("expected {} of the last {} s, got one from {} s ago; see that its agent runs and reaches "
                          "this hub",
                          what, max_age_s, age_s));
}

/// Errors: VRG-HUB-074, 075.
Result<void> check_register(const std::string& device, const wire::AllowedPcr& allowed,
                            const std::optional<wire::TpmQuote>& quote) {
  const auto registers = quote ? quote->registers : std::vector<wire::PcrValue>{};
  const auto found = std::ranges::find(registers, allowed.pcr, &wire::PcrValue::pcr);
  if (found == registers.end()) {
    return held("VRG-HUB-075", device,
                fmt::format("expected a quote of register {}, got one without it; add it to 'measured_state: pcrs' in "
                            "the device's edge_config.yaml",
                            allowed.pcr));
  }
  if (std::ranges::find(allowed.values, found->value) != allowed.values.end()) return {};
  return held("VRG-HUB-074", device,
              fmt::format("register {} holds {}, which is none of the {} allowed values; boot what is allowed, or, "
                          "where the change is yours: verge fleet policy pin name={} --pcr {}",
                          allowed.pcr, found->value, allowed.values.size(), device, allowed.pcr));
}

Result<void> check_rule(const wire::MeasuredRule& rule, const DeviceRecord& device,
                        const std::optional<MeasuredRecord>& measured, std::int64_t now_ms) {
  if (!measured || measured->report.empty()) {
    return held("VRG-HUB-070", device.name,
                "it does not say what was booted; set 'measured_state' in its edge_config.yaml and let it join anew");
  }
  VERGE_TRY(check_age(device.name, "a report", device.reported_ms, now_ms, rule.max_age_s));
  const auto shown = measured_report_of(*measured);
  if (rule.secure_boot && shown.secure_boot != wire::SecureBoot::enabled) {
    return held("VRG-HUB-073", device.name,
                fmt::format("expected secure boot to be enabled, got '{}'; switch it on in the firmware",
                            wire::name(shown.secure_boot)));
  }
  if (!rule.quote && !rule.endorsed && rule.pcrs.empty()) return {};
  if (measured->verdict == "none") return held("VRG-HUB-070", device.name, measured->reason);
  if (measured->verdict != "trusted") {
    return held("VRG-HUB-071", device.name, fmt::format("{} [{}]", measured->reason, measured->reason_id));
  }
  VERGE_TRY(check_age(device.name, "a quote", measured->quoted_ms, now_ms, rule.max_age_s));
  if (rule.endorsed) VERGE_TRY(check_endorsed(device.name, *measured, now_ms));
  for (const auto& allowed : rule.pcrs) VERGE_TRY(check_register(device.name, allowed, shown.quote));
  return {};
}

std::vector<DeviceRecord> devices_of(Transaction& store, const std::string& selector) {
  auto devices = store.devices();
  std::erase_if(devices, [&](const auto& device) { return device.revoked_ms > 0 || !is_about(selector, device); });
  return devices;
}

wire::MeasuredPolicy with_counts(Transaction& store, wire::MeasuredPolicy policy) {
  const auto devices = store.devices();
  for (auto& rule : policy.rules) {
    rule.devices = std::ranges::count_if(
        devices, [&](const auto& device) { return device.revoked_ms == 0 && is_about(rule.selector, device); });
  }
  return policy;
}

wire::MeasuredPolicy set(Core& core, Change& change, const Principal& caller, wire::MeasuredPolicy policy,
                         const std::string& text) {
  policy.since_ms = core.now();
  policy.by = caller.who();
  for (auto& rule : policy.rules) rule.devices.reset();
  change.store.set_setting(kSetting, wire::write_json_line(wire::to_node(policy)));
  core.event(change.store, caller, "fleet.measured_policy", "fleet", text);
  release_waiting(core, change, "");
  return with_counts(change.store, std::move(policy));
}

/// What the device's registers hold, once all is well with its quote. Errors: VRG-HUB-076.
Result<std::vector<wire::PcrValue>> present_registers(Core& core, Transaction& store, const DeviceRecord& device,
                                                      const wire::MeasuredPin& pin) {
  wire::MeasuredRule any;
  any.quote = true;
  const auto measured = store.measured(device.name);
  auto good = check_rule(any, device, measured, core.now());
  const auto registers =
      good ? measured_report_of(*measured).quote.value_or(wire::TpmQuote{}).registers : std::vector<wire::PcrValue>{};
  std::vector<wire::PcrValue> present;
  for (const auto pcr : pin.pcrs) {
    const auto found = std::ranges::find(registers, pcr, &wire::PcrValue::pcr);
    if (found != registers.end()) present.push_back(*found);
  }
  if (good && present.size() == pin.pcrs.size()) return present;
  return Error(ErrorCode::failed_precondition, "VRG-HUB-076",
               fmt::format("expected a good quote of the registers from each device of '{}', got none from {}{}; "
                           "nothing was changed",
                           pin.selector, device.name, good ? "" : ": " + good.error().message()));
}

void allow(wire::MeasuredRule& rule, const wire::PcrValue& present) {
  auto allowed = std::ranges::find(rule.pcrs, present.pcr, &wire::AllowedPcr::pcr);
  if (allowed == rule.pcrs.end()) {
    rule.pcrs.emplace_back().pcr = present.pcr;
    allowed = std::prev(rule.pcrs.end());
  }
  if (std::ranges::find(allowed->values, present.value) == allowed->values.end()) {
    allowed->values.push_back(present.value);
  }
}

}  // namespace

bool is_about(const std::string& selector, const DeviceRecord& device) {
  auto labels = hub_labels_of(device);
  labels["name"] = device.name;
  const auto parsed = Selector::parse(selector);
  return !parsed || parsed->matches(labels);  // A rule that cannot be read holds everything.
}

MeasuredRules::MeasuredRules(Transaction& store) {
  const auto text = store.setting(kSetting);
  if (text.empty()) return;
  const auto node = wire::parse_json(text, "hub.db");
  auto policy = node ? wire::read_measured_policy(*node, wire::Place("hub.db")) : node.error();
  readable_ = policy.has_value();
  if (policy) policy_ = std::move(*policy);
}

bool MeasuredRules::concern(const DeviceRecord& device) const {
  return !readable_ ||
         std::ranges::any_of(policy_.rules, [&](const auto& rule) { return is_about(rule.selector, device); });
}

std::optional<Error> MeasuredRules::hold(const DeviceRecord& device, const std::optional<MeasuredRecord>& measured,
                                         std::int64_t now_ms) const {
  if (!readable_) {
    return held("VRG-HUB-078", device.name,
                "the hub cannot read its own policy about measured state; set it again: verge fleet policy set");
  }
  for (const auto& rule : policy_.rules) {
    if (!is_about(rule.selector, device)) continue;
    auto passed = check_rule(rule, device, measured, now_ms);
    if (!passed) return std::move(passed).error();
  }
  return std::nullopt;
}

std::int64_t MeasuredRules::renew_ms(const DeviceRecord& device) const {
  auto renew_ms = kRenew_ms;
  for (const auto& rule : policy_.rules) {
    if (is_about(rule.selector, device)) renew_ms = std::min(renew_ms, rule.max_age_s * 1000 / kTriesWithinAge);
  }
  return renew_ms;
}

std::optional<Error> held_back(const Core& core, Transaction& store, const DeviceRecord& device) {
  const MeasuredRules rules(store);
  if (!rules.concern(device)) return std::nullopt;
  return rules.hold(device, store.measured(device.name), core.now());
}

Result<wire::MeasuredPolicy> Hub::measured_policy(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::MeasuredPolicy>([&](Transaction& store) -> Result<wire::MeasuredPolicy> {
    return with_counts(store, MeasuredRules(store).policy());
  });
}

Result<wire::MeasuredPolicy> Hub::set_measured_policy(const Principal& caller, const wire::MeasuredPolicy& policy) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  for (const auto& rule : policy.rules) VERGE_TRY(Selector::parse(rule.selector));
  return core_->change<wire::MeasuredPolicy>([&](Change& change) -> Result<wire::MeasuredPolicy> {
    return set(*core_, change, caller, policy, fmt::format("{} rules", policy.rules.size()));
  });
}

Result<wire::MeasuredPolicy> Hub::pin_measured(const Principal& caller, const wire::MeasuredPin& pin) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  VERGE_TRY(Selector::parse(pin.selector));
  return core_->change<wire::MeasuredPolicy>([&](Change& change) -> Result<wire::MeasuredPolicy> {
    const auto devices = devices_of(change.store, pin.selector);
    if (devices.empty()) {
      return Error(ErrorCode::not_found, "VRG-HUB-079",
                   fmt::format("'{}' matches no device by its name and the labels that were set on the hub (verge "
                               "device label); labels that a device gives itself do not count here",
                               pin.selector));
    }
    auto policy = MeasuredRules(change.store).policy();
    auto rule = std::ranges::find(policy.rules, pin.selector, &wire::MeasuredRule::selector);
    if (rule == policy.rules.end()) {
      policy.rules.emplace_back().selector = pin.selector;
      rule = std::prev(policy.rules.end());
    }
    if (!pin.add) {
      std::erase_if(rule->pcrs,
                    [&](const auto& old) { return std::ranges::find(pin.pcrs, old.pcr) != pin.pcrs.end(); });
    }
    for (const auto& device : devices) {
      VERGE_ASSIGN(const auto present, present_registers(*core_, change.store, device, pin));
      for (const auto& value : present) allow(*rule, value);
    }
    return set(*core_, change, caller, std::move(policy),
               fmt::format("pinned {} registers of {} devices of {}", pin.pcrs.size(), devices.size(), pin.selector));
  });
}

}  // namespace verge::hub
