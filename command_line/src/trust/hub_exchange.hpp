// Hub exchange: what a ceremony gets from a hub, and what it gives it.
#pragma once

#include "../hub/session.hpp"
#include "verge/trust/ceremony.hpp"

namespace verge::cli {

/// The clock by which metadata is fetched, signed and shown; since 1970.
std::int64_t now_s();

/// All of them, page by page.
Result<wire::TrustChanges> read_trust_changes(HubSession& hub);
Result<void> fetch_ceremony(HubSession& hub, trust::Ceremony& ceremony, bool new_hub);
/// Puts the files in force at the hub. Errors: the hub's.
Result<void> publish_ceremony(HubSession& hub, const trust::MetadataFiles& files, bool adopt);

}  // namespace verge::cli
