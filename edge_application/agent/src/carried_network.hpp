// Carried network: the hub, or a bundle in its place while one is carried.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>

#include "verge/bundle/bundle.hpp"
#include "verge/update/ports.hpp"

namespace verge::agent {

/// Thread-safe.
class CarriedNetwork final : public update::Network {
 public:
  explicit CarriedNetwork(update::Network& hub) : hub_(hub) {}

  struct Carried {
    std::filesystem::path file;
    wire::DesiredState desired;  ///< Of this device.
    bundle::Reader reader;
  };
  void carry(std::shared_ptr<const Carried> carried);
  void drop() { carry(nullptr); }
  /// Null when none is.
  [[nodiscard]] std::shared_ptr<const Carried> carried();

  Result<std::string> fetch(std::string_view name, std::uint64_t limit_bytes) override;
  Result<std::vector<update::DeltaOffer>> deltas(const std::string& package_digest) override;
  Result<void> blob(const std::string& digest, std::uint64_t offset,
                    const std::function<Result<void>(std::span<const std::byte>)>& sink) override;

 private:
  update::Network& hub_;
  std::mutex mutex_;
  std::shared_ptr<const Carried> carried_;
};

/// Opens a bundle for this device. Errors: those of bundle::Reader; not_found (VRG-AGT-046 nothing in it is for it).
Result<std::shared_ptr<const CarriedNetwork::Carried>> open_bundle(const std::filesystem::path& file,
                                                                   const std::string& device);

}  // namespace verge::agent
