// Bundle content: what a hub has for some devices, checked as a device would, and written into a bundle.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "../hub/session.hpp"
#include "verge/bundle/bundle.hpp"

namespace verge::cli {

struct BundleSummary {
  std::vector<std::string> devices;
  std::int64_t blobs = 0;
  std::uint64_t size_bytes = 0;
};

/// Everything that these devices should run, with the metadata that prove it. `tell` gets a line of progress. Errors:
/// those of hub, trust and bundle; not_found (VRG-CLI-050) when nothing is asked of any of them.
Result<BundleSummary> write_bundle(HubSession& hub, const std::vector<std::string>& devices,
                                   const std::filesystem::path& file, const std::function<void(std::string)>& tell);

}  // namespace verge::cli
