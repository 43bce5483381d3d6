// Push: a package into the hub's registry, by the OCI distribution specification.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "session.hpp"
#include "verge/package/agent_release.hpp"
#include "verge/package/model_package.hpp"

namespace verge::cli {

struct Pushed {
  std::string digest;
  std::uint64_t sent_bytes = 0;
  std::uint64_t present_bytes = 0;  ///< Of blobs that were there already.
};

/// What is sent: a model package, or a release of the agent.
struct Shipment {
  std::string name;
  std::string version;
  std::filesystem::path root;
  std::vector<package::PackageFile> files;
  package::Manifest manifest;
};
[[nodiscard]] Shipment shipment_of(const package::ModelPackage& package);
[[nodiscard]] Shipment shipment_of(const package::AgentRelease& release);

/// Sends the blobs that the registry has not, then the manifest under the version.
Result<Pushed> push(HubSession& hub, const Shipment& shipment, Progress& progress);
/// As a node and in words, for whoever asked for it.
[[nodiscard]] wire::Node to_node(const Shipment& shipment, std::string_view kind, const Pushed& pushed);
[[nodiscard]] std::string text_of(const Shipment& shipment, const Pushed& pushed);

}  // namespace verge::cli
