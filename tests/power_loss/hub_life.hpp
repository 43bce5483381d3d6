// Hub life: a hub and those who use it, one action after the other. Each may be done again after its answer was lost,
// as people and devices do.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "verge/base/log.hpp"
#include "verge/crypto/key.hpp"
#include "verge/hub/hub.hpp"

namespace verge::power_loss {

/// What people and devices know by the hub's answers. All of it must still hold after a loss of power.
struct Known {
  std::string authority;  ///< What devices have pinned; empty: the hub has not shown itself yet.
  std::string first_root;
  std::string admin;                                        ///< The administrator's token.
  std::set<std::string> tokens;                             ///< Others.
  using Place = std::pair<std::string, std::string>;        ///< Repository and digest.
  std::map<std::string, Place> uploads;                     ///< Under way, by identifier: what each is to become.
  std::map<std::string, std::uint64_t> pieces;              ///< Bytes of them that are there.
  std::map<std::string, std::string, std::less<>> trusted;  ///< Metadata that devices have, by role.
  std::set<Place> blobs;
  std::map<std::string, std::string> versions;    ///< "m 1.0.0" and the digest.
  std::set<std::string> gone;                     ///< Versions that were deleted.
  std::map<std::string, std::string> enrolments;  ///< One-time tokens by device.
  std::set<std::string> devices;                  ///< That have joined.
  std::set<std::string> revoked;
  std::map<std::string, std::string> running;        ///< "m 1.0.0" by device, as it reports.
  std::map<std::string, std::string> continuations;  ///< By device.
  std::map<std::string, std::string> desired;        ///< "cam m" and the version.
  std::string floor;                                 ///< Of "m".
  bool delta = false;                                ///< From "m 1.0.0" to "m 1.1.0".
};

class HubLife {
 public:
  /// Opens the hub in the folder. Errors: those of Hub::open().
  /// `answered` is called after every answer of the hub. `later`: an hour, so that nothing comes out the same by
  /// chance.
  static Result<std::unique_ptr<HubLife>> open(const std::filesystem::path& folder, Known known,
                                               std::function<void(const Known&)> answered = {}, bool later = false);

  /// By name: "sign in", "push m 1.0.0", "join cam", "report cam m 1.0.0", "deploy m 1.0.0", …
  Result<void> act(const std::string& action);
  /// Empty: all that is known holds, and what devices would fetch fits together. Else what does not.
  [[nodiscard]] std::string broken();
  /// Garbage is collected, the hub is closed, and its files are told: paths, with numbers of versions left out.
  [[nodiscard]] std::set<std::string> end();
  [[nodiscard]] const Known& known() const noexcept { return known_; }

 private:
  HubLife(std::filesystem::path folder, Known known, std::function<void(const Known&)> answered)
      : folder_(std::move(folder)), known_(std::move(known)), answered_(std::move(answered)) {}
  /// Devices look at the metadata now and then.
  void learnt();
  Result<void> sign_in();
  Result<void> push(const std::string& name, const std::string& version);
  Result<std::string> push_blob(const std::string& repository, const std::string& content);
  Result<void> join(const std::string& device);
  Result<void> send_report(const std::string& device);
  Result<void> report(const std::string& device, const std::string& model, const std::string& version);
  Result<void> deploy(const std::string& model, const std::string& version);
  Result<void> make_deltas();
  [[nodiscard]] std::string broken_version(const std::string& version, const std::string& digest);
  [[nodiscard]] std::string broken_trust();
  [[nodiscard]] std::string broken_devices();
  [[nodiscard]] std::string broken_delta();

  std::filesystem::path folder_;
  Known known_;
  std::function<void(const Known&)> answered_;
  std::int64_t now_ms_ = 1'800'000'000'000;
  Log log_{LogLevel::error};
  std::unique_ptr<hub::Hub> hub_;
  hub::Principal admin_;
};

}  // namespace verge::power_loss
