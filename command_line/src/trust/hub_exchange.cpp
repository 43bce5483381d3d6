#include "hub_exchange.hpp"

#include <chrono>

#include <fmt/format.h>

namespace verge::cli {
namespace {

class HubMetadata final : public trust::MetadataSource {
 public:
  HubMetadata(HubSession& hub, Progress& progress) : hub_(hub), progress_(progress) {}
  Result<std::string> fetch(std::string_view name, std::uint64_t limit_bytes) override {
    progress_.show(fmt::format("fetching {}", name));
    return hub_.metadata(name, limit_bytes);
  }

 private:
  HubSession& hub_;
  Progress& progress_;
};

}  // namespace

std::int64_t now_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<wire::TrustChanges> read_trust_changes(HubSession& hub) {
  wire::TrustChanges all;
  for (bool more = true; more;) {
    const auto after = all.changes.empty() ? std::string() : all.changes.back().path;
    VERGE_ASSIGN(auto page, hub.read<wire::TrustChanges>("/api/v1/trust/changes?after=" + encode(after),
                                                         wire::read_trust_changes));
    more = page.more && !page.changes.empty();
    std::ranges::move(page.changes, std::back_inserter(all.changes));
  }
  return all;
}

Result<void> fetch_ceremony(HubSession& hub, trust::Ceremony& ceremony, bool new_hub) {
  VERGE_ASSIGN(const auto status, hub.read<wire::TrustStatus>("/api/v1/trust", wire::read_trust_status));
  VERGE_ASSIGN(const auto changes, read_trust_changes(hub));
  Progress progress;
  HubMetadata source(hub, progress);
  return ceremony.fetch(source, status, changes, new_hub, now_s());
}

Result<void> publish_ceremony(HubSession& hub, const trust::MetadataFiles& files, bool adopt) {
  VERGE_TRY(hub.call("DELETE", "/api/v1/trust/incoming"));
  Progress progress;
  for (const auto& [name, text] : files) {
    progress.show(fmt::format("sending {}", name));
    VERGE_TRY(hub.call("PUT", "/api/v1/trust/incoming/" + encode(name), text));
  }
  VERGE_TRY(hub.call("POST", fmt::format("/api/v1/trust/publications?adopt={}", adopt)));
  return {};
}

}  // namespace verge::cli
