// verge hub repositories, garbage-collect.
#include <fmt/format.h>

#include "verbs.hpp"
#include "verge/base/text.hpp"
#include "verge/wire/garbage_report.hpp"
#include "verge/wire/registry_usage.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct CollectOptions : HubOptions {
  bool dry_run = false;
  bool untagged = false;
};

std::string bytes(std::int64_t size_bytes) {
  return human_bytes(static_cast<double>(size_bytes));
}

Result<void> list_repositories(HubSession& hub, const HubOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/registry"));
  VERGE_ASSIGN(const auto usage, wire::read_registry_usage(node, wire::Place("registry")));
  show(options, node, [&] {
    std::vector<std::vector<std::string>> rows{{"REPOSITORY", "SIZE", "MANIFESTS", "TAGS"}};
    for (const auto& one : usage.repositories) {
      rows.push_back({one.repository, bytes(one.size_bytes), std::to_string(one.manifests), std::to_string(one.tags)});
    }
    auto text = table(rows) + "\nthe registry holds " + bytes(usage.size_bytes);
    if (usage.quota_bytes) text += " of at most " + bytes(*usage.quota_bytes);
    if (usage.repository_quota_bytes) text += "; a repository at most " + bytes(*usage.repository_quota_bytes);
    return text;
  });
  return {};
}

Result<void> collect_garbage(HubSession& hub, const CollectOptions& options) {
  const auto path =
      fmt::format("/api/v1/registry/garbage-collections?dry_run={}&untagged={}", options.dry_run, options.untagged);
  VERGE_ASSIGN(const Node node, hub.call("POST", path));
  VERGE_ASSIGN(const auto report, wire::read_garbage_report(node, wire::Place("report")));
  show(options, node, [&] {
    return fmt::format(
        "{} {}: {} files, {} unfinished uploads, {} manifests without a tag\n"
        "what was pushed or asked for within {} s is kept, as is everything that long after a start",
        report.dry_run ? "would free" : "freed", bytes(report.size_bytes), report.files, report.uploads,
        report.manifests, report.grace_s.value_or(0));
  });
  return {};
}

}  // namespace

void add_registry_verbs(CLI::App& hub, Action& action) {
  add_hub_verb<HubOptions>(hub, action, "repositories", "What the registry holds, and its quotas", list_repositories);
  auto [collect, o] = add_hub_verb<CollectOptions>(
      hub, action, "garbage-collect",
      "Remove from the registry what no manifest, version or device needs; the hub does so by itself, too\n\n"
      "Example:\n  verge hub garbage-collect --dry-run",
      collect_garbage);
  collect->add_flag("--dry-run", o->dry_run, "Only say what would be freed");
  collect->add_flag("--untagged", o->untagged,
                    "Manifests without a tag too, unless an index names them or they are about another");
}

}  // namespace verge::cli
