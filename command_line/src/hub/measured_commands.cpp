// verge fleet policy: what devices must have booted, and whose TPMs count.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "verbs.hpp"
#include "verge/base/file.hpp"
#include "verge/wire/endorsement_authorities.hpp"
#include "verge/wire/measured_pin.hpp"
#include "verge/wire/measured_policy.hpp"

namespace verge::cli {
namespace {

using wire::Node;

constexpr const char* kPath = "/api/v1/measured-policy";
constexpr const char* kAuthoritiesPath = "/api/v1/endorsement-authorities";
constexpr std::uint64_t kAuthoritiesLimitBytes = 1U << 20U;

struct PolicyOptions : HubOptions {
  std::string file, selector;
  std::vector<int> pcrs;
  std::vector<std::string> authorities;
  bool add = false, none = false;
};

std::string needs_of(const wire::MeasuredRule& rule) {
  std::vector<std::string> needs;
  if (rule.secure_boot) needs.emplace_back("secure boot");
  if (rule.quote || rule.endorsed || !rule.pcrs.empty())
    needs.push_back(fmt::format("a quote of the last {} s", rule.max_age_s));
  if (rule.endorsed) needs.emplace_back("a TPM of an endorsement authority");
  for (const auto& allowed : rule.pcrs) {
    needs.push_back(fmt::format("register {} with one of {} values", allowed.pcr, allowed.values.size()));
  }
  return needs.empty() ? "a report" : fmt::format("{}", fmt::join(needs, ", "));
}

Result<void> show_policy(const PolicyOptions& options, const Node& node) {
  VERGE_ASSIGN(const auto policy, wire::read_measured_policy(node, wire::Place(kPath)));
  show(options, node, [&] {
    if (policy.rules.empty()) return std::string("No rules: every device may have everything.");
    std::vector<std::vector<std::string>> rows{{"SELECTOR", "DEVICES", "NEED"}};
    for (const auto& rule : policy.rules) {
      rows.push_back({rule.selector, std::to_string(rule.devices.value_or(0)), needs_of(rule)});
    }
    return table(rows);
  });
  for (const auto& rule : policy.rules) {
    if (rule.devices.value_or(0) > 0) continue;
    note(fmt::format("the rule '{}' is about no device: only names and labels set with 'verge device label' count",
                     rule.selector));
  }
  return {};
}

Result<void> get_policy(HubSession& hub, const PolicyOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get(kPath));
  return show_policy(options, node);
}

Result<void> set_policy(HubSession& hub, const PolicyOptions& options) {
  VERGE_ASSIGN(const Node document, wire::read_document(options.file));
  VERGE_ASSIGN(const auto policy, wire::read_measured_policy(document, wire::Place(options.file)));
  VERGE_ASSIGN(const Node node, hub.call("PUT", kPath, wire::write_json_line(wire::to_node(policy))));
  return show_policy(options, node);
}

Result<void> pin(HubSession& hub, const PolicyOptions& options) {
  wire::MeasuredPin wanted;
  wanted.selector = options.selector;
  wanted.pcrs.assign(options.pcrs.begin(), options.pcrs.end());
  wanted.add = options.add;
  VERGE_ASSIGN(const Node node,
               hub.call("POST", std::string(kPath) + "/pins", wire::write_json_line(wire::to_node(wanted))));
  return show_policy(options, node);
}

Result<void> show_authorities(const PolicyOptions& options, const Node& node) {
  VERGE_ASSIGN(const auto document, wire::read_endorsement_authorities(node, wire::Place(kAuthoritiesPath)));
  show(options, node, [&] {
    if (document.authorities.empty()) return std::string("No authorities: no TPM passes for a real one.");
    std::vector<std::vector<std::string>> rows{{"AUTHORITY", "UNTIL", "DIGEST"}};
    for (const auto& one : document.authorities) rows.push_back({one.name, moment(one.until_ms), one.digest});
    return table(rows);
  });
  return {};
}

Result<void> authorities(HubSession& hub, const PolicyOptions& options) {
  if (options.authorities.empty() && !options.none) {
    VERGE_ASSIGN(const Node node, hub.get(kAuthoritiesPath));
    return show_authorities(options, node);
  }
  wire::EndorsementAuthorities wanted;
  for (const auto& file : options.authorities) {
    VERGE_ASSIGN(const auto text, read_text(file, kAuthoritiesLimitBytes));
    wanted.certificates += text + "\n";
  }
  VERGE_ASSIGN(const Node node, hub.call("PUT", kAuthoritiesPath, wire::write_json_line(wire::to_node(wanted))));
  return show_authorities(options, node);
}

void add_authorities_command(CLI::App& group, Action& action) {
  auto [verb, o] = add_hub_verb<PolicyOptions>(
      group, action, "authorities",
      "Show, or set, whose word counts that a TPM is a real one\n\nExamples:\n"
      "  verge fleet policy authorities\n  verge fleet policy authorities maker-1.pem maker-2.pem",
      authorities);
  auto* const files = verb->add_option("FILES", o->authorities, "Certificates of all of them, as PEM");
  verb->add_flag("--none", o->none, "Nobody's")->excludes(files);
}

}  // namespace

void add_measured_commands(CLI::App& app, Action& action) {
  auto* group =
      app.get_subcommand("fleet")->add_subcommand("policy", "What devices must have booted to be given models");
  group->require_subcommand(1);
  add_hub_verb<PolicyOptions>(*group, action, "show", "The rules, and how many devices each is about", get_policy);
  {
    auto [verb, o] = add_hub_verb<PolicyOptions>(*group, action, "set",
                                                 "Set the rules, all of them\n\nExample:\n"
                                                 "  verge fleet policy set -f policy.yaml",
                                                 set_policy);
    verb->add_option("-f,--file", o->file, "policy.yaml")->required();
  }
  add_authorities_command(*group, action);
  auto [verb, o] = add_hub_verb<PolicyOptions>(*group, action, "pin",
                                               "Allow what the registers of devices hold now\n\nExample:\n"
                                               "  verge fleet policy pin site=plant1 --pcr 0 4 7",
                                               pin);
  constexpr int kLastPcr = 23;
  verb->add_option("SELECTOR", o->selector, "Names, or labels set on the hub; 'all'")->required();
  verb->add_option("--pcr", o->pcrs, "Registers of the TPM")->required()->check(CLI::Range(0, kLastPcr));
  verb->add_flag("--add", o->add, "What was allowed before stays allowed");
}

}  // namespace verge::cli
