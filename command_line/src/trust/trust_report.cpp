#include "trust_report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "../output.hpp"
#include "hub_exchange.hpp"

namespace verge::cli {
namespace {

constexpr std::int64_t kDay_s = 86'400;
constexpr std::size_t kMostShown = 200;

std::string day(std::int64_t time_s) {
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<std::time_t>(time_s)));
}

std::string expiry(std::int64_t expires_s) {
  const auto left_s = expires_s - now_s();
  return fmt::format("{} ({})", day(expires_s),
                     left_s <= 0 ? std::string("EXPIRED") : fmt::format("{} days", left_s / kDay_s));
}

/// Whether the draft comes late: what it takes the place of has expired.
bool is_late(const trust::Draft& draft) {
  return draft.before_expires_s > 0 && draft.before_expires_s <= now_s();
}

bool is_bin(const std::string& role) {
  return role.starts_with("bin-");
}

std::string keys_of(const wire::TrustRole& role) {
  std::vector<std::string> texts;
  for (const auto& key : role.keys) {
    texts.push_back(
        fmt::format("{} {}{}", key.name.value_or(key.id.substr(0, 12)), key.kind, key.held ? ", held by the hub" : ""));
  }
  return fmt::format("{}", fmt::join(texts, "; "));
}

wire::Node texts_node(const std::vector<std::string>& texts) {
  return wire::Node::list_of(texts, [](const auto& text) { return wire::Node::string(text); });
}

}  // namespace

std::string role_table(const wire::TrustStatus& status) {
  std::vector<std::vector<std::string>> rows{{"ROLE", "VERSION", "GOOD UNTIL", "SIGNED BY", "TARGETS", "KEYS"}};
  std::int64_t bins = 0;
  std::int64_t in_bins = 0;
  for (const auto& role : status.roles) {
    const auto targets = role.targets;
    if (is_bin(role.name)) {
      ++bins;
      in_bins += targets;
      continue;
    }
    const bool lists = role.name == "targets" || !role.paths.empty();
    rows.push_back({role.name, std::to_string(role.version), expiry(role.expires_s),
                    fmt::format("{} of {}", role.threshold, role.keys.size()), lists ? std::to_string(targets) : "",
                    keys_of(role)});
  }
  auto text = table(rows);
  if (bins > 0) text += fmt::format("\n{} more targets in {} bins, signed as 'targets' is", in_bins, bins);
  for (const auto& role : status.roles) {
    if (!role.paths.empty()) text += fmt::format("\n'{}' speaks for {}", role.name, fmt::join(role.paths, ", "));
  }
  return text;
}

std::string change_table(const wire::TrustChanges& changes) {
  if (changes.changes.empty()) return "No target waits for a signature.";
  std::vector<std::vector<std::string>> rows{{"WAITS", "TARGET", "FOR", "DIGEST"}};
  for (const auto& one : changes.changes) {
    if (rows.size() > kMostShown) {
      rows.push_back({"…", fmt::format("and {} more", changes.changes.size() - kMostShown), "", ""});
      break;
    }
    rows.push_back({std::string(wire::name(one.kind)), one.path, is_bin(one.role) ? "targets" : one.role, one.digest});
  }
  return table(rows);
}

std::string draft_text(const std::vector<trust::Draft>& drafts, bool differences) {
  if (drafts.empty()) return "Nothing waits for a signature.";
  std::string text;
  for (const auto& draft : drafts) {
    text += fmt::format("{}{}\n", text.empty() ? "" : "\n", draft.file);
    if (is_late(draft)) {
      text += fmt::format("  {} expired on {}: sign and publish to renew\n", draft.role, day(draft.before_expires_s));
    }
    for (const auto& need : draft.needs) {
      std::string state = need.by_hub ? "the hub signs it when it is published"
                                      : fmt::format("{} of {} signatures", need.signed_by.size(), need.threshold);
      if (!need.signed_by.empty()) state += fmt::format("; signed by {}", fmt::join(need.signed_by, ", "));
      if (!need.met()) state += fmt::format("; waits for {}", fmt::join(need.waits_for, ", "));
      text += fmt::format("  by {}: {}\n", need.by, state);
    }
    if (!differences) continue;
    for (const auto& line : draft.differences) text += fmt::format("    {}\n", line);
  }
  text.pop_back();
  return text;
}

wire::Node draft_node(const std::vector<trust::Draft>& drafts) {
  return wire::Node::list_of(drafts, [](const trust::Draft& draft) {
    auto node = wire::Node::map();
    node.add("file", wire::Node::string(draft.file));
    node.add("role", wire::Node::string(draft.role));
    node.add("version", wire::Node::integer(draft.version));
    node.add("expires_s", wire::Node::integer(draft.expires_s));
    node.add("expired", wire::Node::boolean(is_late(draft)));
    node.add("complete", wire::Node::boolean(draft.complete()));
    node.add("needs", wire::Node::list_of(draft.needs, [](const trust::Draft::Need& need) {
               auto one = wire::Node::map();
               one.add("by", wire::Node::string(need.by));
               one.add("threshold", wire::Node::integer(need.threshold));
               one.add("by_hub", wire::Node::boolean(need.by_hub));
               one.add("met", wire::Node::boolean(need.met()));
               one.add("signed_by", texts_node(need.signed_by));
               one.add("waits_for", texts_node(need.waits_for));
               return one;
             }));
    node.add("differences", texts_node(draft.differences));
    return node;
  });
}

}  // namespace verge::cli
