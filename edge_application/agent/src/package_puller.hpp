// Package puller: fetches what the configuration names in registries, beside everything else, for as long as it takes.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "model_order.hpp"
#include "pulled_packages.hpp"
#include "verge/base/log.hpp"

namespace verge::agent {

class PackagePuller {
 public:
  /// Makes these the models that are served, or gives the error and changes nothing. `lenient`: leaves out what cannot
  /// be loaded. Called by the puller's thread.
  using Serve = std::function<Result<void>(std::vector<ModelOrder> orders, bool lenient)>;

  /// `at_rest`: of a state directory that is encrypted, else null. Both must outlive it.
  PackagePuller(Log& log, const std::filesystem::path& state_directory, std::string version, AtRest* at_rest)
      : log_(log), packages_(state_directory, std::move(version), at_rest) {}

  /// The orders with what is here in place of references; without those of which nothing is here yet.
  [[nodiscard]] std::vector<ModelOrder> resolve(const std::vector<ModelOrder>& orders);
  /// Fetches from now on what is not here, and looks at tags again if `again`. A package that is here goes on being
  /// served until what its tag has become is; one that cannot be loaded does not take its place.
  void start(std::vector<ModelOrder> orders, wire::PackageRegistry registry, bool again, Serve serve);
  /// Ends that. What has come of a package stays.
  void stop();

 private:
  /// Of one start().
  struct Work {
    std::vector<ModelOrder> orders;
    wire::PackageRegistry registry;
    Serve serve;
    std::vector<std::string> pending;
  };
  void run(Work work, const std::stop_token& stop);
  Result<void> fetch(const Work& work, const std::string& package, const std::stop_token& stop);
  [[nodiscard]] std::vector<ModelOrder> resolve(const std::vector<ModelOrder>& orders, const std::string& package,
                                                const std::string& digest);

  Log& log_;
  PulledPackages packages_;
  std::jthread thread_;
};

}  // namespace verge::agent
