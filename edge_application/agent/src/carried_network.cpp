#include "carried_network.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace verge::agent {

void CarriedNetwork::carry(std::shared_ptr<const Carried> carried) {
  const std::lock_guard lock(mutex_);
  carried_ = std::move(carried);
}

std::shared_ptr<const CarriedNetwork::Carried> CarriedNetwork::carried() {
  const std::lock_guard lock(mutex_);
  return carried_;
}

Result<std::string> CarriedNetwork::fetch(std::string_view name, std::uint64_t limit_bytes) {
  const auto now = carried();
  return now ? now->reader.metadata(name, limit_bytes) : hub_.fetch(name, limit_bytes);
}

Result<std::vector<update::DeltaOffer>> CarriedNetwork::deltas(const std::string& package_digest) {
  // Everything is in a bundle, and reading it is quicker than making it.
  if (carried()) return std::vector<update::DeltaOffer>{};
  return hub_.deltas(package_digest);
}

Result<void> CarriedNetwork::blob(const std::string& digest, std::uint64_t offset,
                                  const std::function<Result<void>(std::span<const std::byte>)>& sink) {
  const auto now = carried();
  return now ? now->reader.blob(digest, offset, sink) : hub_.blob(digest, offset, sink);
}

Result<std::shared_ptr<const CarriedNetwork::Carried>> open_bundle(const std::filesystem::path& file,
                                                                   const std::string& device) {
  VERGE_ASSIGN(auto reader, bundle::Reader::open(file));
  const auto& devices = reader.description().devices;
  const auto found = std::ranges::find(devices, device, &wire::DesiredState::device);
  if (found == devices.end()) {
    std::string names;
    for (const auto& one : devices) {
      if (names.size() > 200) {
        names += ", …";
        break;
      }
      names += (names.empty() ? "" : ", ") + one.device;
    }
    return Error(
        ErrorCode::not_found, "VRG-AGT-046",
        fmt::format("the bundle '{}' is for {}; this device is '{}': make one for it with 'verge bundle create "
                    "FILE --to name={}'",
                    file.string(), names, device, device));
  }
  auto desired = *found;
  return std::make_shared<const CarriedNetwork::Carried>(
      CarriedNetwork::Carried{file, std::move(desired), std::move(reader)});
}

}  // namespace verge::agent
