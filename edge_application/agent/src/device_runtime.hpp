// Device runtime: the updater's view of what runs here.
#pragma once

#include <filesystem>
#include <mutex>
#include <stop_token>
#include <string>

#include "memory_packages.hpp"
#include "own_release.hpp"
#include "serving.hpp"
#include "verge/telemetry/device_info.hpp"
#include "verge/update/ports.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

class DeviceRuntime final : public update::Runtime {
 public:
  /// `packages`: where the store is encrypted; null: it is not. References must outlive the object.
  DeviceRuntime(Serving& serving, const telemetry::DeviceInfo& info, const wire::Device& configured,
                std::filesystem::path state_directory, MemoryPackages* packages, OwnRelease& own);

  /// Ends a trial when requested.
  void stop_with(std::stop_token stop) { stop_ = std::move(stop); }

  wire::DeviceReport device() override;
  Result<std::vector<update::ModelTrial>> try_out(const update::VerifiedApplication& candidate) override;
  Result<void> switch_to(const update::VerifiedApplication& application) override;
  void end(const std::string& application) override;
  std::vector<update::LiveModel> live(const std::string& application) override;
  Result<bool> proven() override { return own_.proven(); }
  [[nodiscard]] OwnRelease& own_release() noexcept { return own_; }

 private:
  using Held = std::vector<std::shared_ptr<const at_rest::MemoryFolder>>;
  /// `held`: what must be held while the orders are followed.
  [[nodiscard]] Result<std::vector<ModelOrder>> orders(const update::VerifiedApplication& application, Held& held);

  Serving& serving_;
  std::filesystem::path state_directory_;
  MemoryPackages* packages_;
  OwnRelease& own_;
  std::map<std::string, Held> held_;  ///< By application, of the updating thread.
  std::stop_token stop_;
  std::mutex mutex_;
  wire::DeviceReport report_;  ///< What does not change.
};

}  // namespace verge::agent
