// Hub: signed versions of a few models, good and bad, and a network to them that cuts, garbles and lies.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "chance.hpp"
#include "verge/base/file.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/trust/repository.hpp"
#include "verge/update/ports.hpp"
#include "verge/wire/desired_state.hpp"
#include "verge/wire/target_custom.hpp"

namespace verge::simulator {

/// What becomes of a version when it is run.
enum class Quality {
  good,
  wrong_golden,
  slow,
  large,
  fails_to_load,
  crashes_at_load,
  fails_live,
  slow_live,
  unfit,
  unsigned_
};

/// A version as the hub has it.
struct Version {
  wire::DesiredApplication desired;  ///< Without a deployment.
  Quality quality = Quality::good;
  std::map<std::string, std::string> files;  ///< Of the package, by path.
};

/// The same for every device of a simulation.
class Hub {
 public:
  /// `models` models with `versions` versions each, and `releases` of the agent; about half of them are good.
  static Hub make(Chance& chance, int models, int versions, std::int64_t now_s, int releases = 0);

  /// A new root with another key, and new versions of all that it signs.
  void sign_anew(std::int64_t now_s);

  [[nodiscard]] const std::vector<Version>& versions() const noexcept { return versions_; }
  [[nodiscard]] const Version* by_digest(const std::string& digest) const;
  [[nodiscard]] const std::string& root() const noexcept { return root_; }
  [[nodiscard]] Result<std::string> metadata(std::string_view name) const { return repository_->metadata(name); }
  [[nodiscard]] const std::string* blob(const std::string& digest) const;
  /// Between each version of a model and the one before it.
  [[nodiscard]] std::vector<update::DeltaOffer> deltas(const std::string& package_digest) const;

 private:
  void add_delta(const Version& before, const Version& version, const std::string& file);
  void add(Chance& chance, const std::string& model, int number, std::vector<trust::Target>& targets);
  void add_release(Chance& chance, int number, std::vector<trust::Target>& targets);
  [[nodiscard]] const Version* before(const std::string& application) const;
  [[nodiscard]] std::vector<package::PackageFile> store(const Version& version);
  void finish(Version version, const package::Manifest& manifest, const wire::TargetCustom& custom,
              std::vector<trust::Target>& targets, const std::string& main_file);
  std::unique_ptr<TemporaryFolder> folder_;
  std::unique_ptr<trust::Repository> repository_;
  std::string root_;
  std::vector<Version> versions_;
  std::map<std::string, std::string> blobs_;
  std::multimap<std::string, update::DeltaOffer> deltas_;  ///< By the package that they lead to.
};

class FaultyNetwork final : public update::Network {
 public:
  FaultyNetwork(const Hub& hub, Chance& chance, std::uint64_t fault_every)
      : hub_(hub), chance_(chance), fault_every_(fault_every) {}
  Result<std::string> fetch(std::string_view name, std::uint64_t limit_bytes) override;
  Result<std::vector<update::DeltaOffer>> deltas(const std::string& package_digest) override;
  Result<void> blob(const std::string& digest, std::uint64_t offset,
                    const std::function<Result<void>(std::span<const std::byte>)>& sink) override;
  void heal() { fault_every_ = 0; }
  void set_fault_every(std::uint64_t n) { fault_every_ = n; }

 private:
  const Hub& hub_;
  Chance& chance_;
  std::uint64_t fault_every_;
};

}  // namespace verge::simulator
