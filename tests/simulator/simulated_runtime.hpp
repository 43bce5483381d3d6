// Simulated runtime: runs nothing, notes what it was told to run, and checks that each byte of it is what was signed.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "hub.hpp"
#include "modelled_disk.hpp"
#include "verge/at_rest/data_keys.hpp"

namespace verge::simulator {

/// Something that must never be was.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The content of an encrypted file; nothing: it does not open.
[[nodiscard]] std::optional<std::string> decrypted(const std::string& stored, const at_rest::DataKeys& keys);

class SimulatedRuntime final : public update::Runtime {
 public:
  SimulatedRuntime(const Hub& hub, const ModelledDisk& disk, SimulatedClock& clock, Chance& chance)
      : hub_(hub), disk_(disk), clock_(clock), chance_(chance) {}

  wire::DeviceReport device() override;
  Result<std::vector<update::ModelTrial>> try_out(const update::VerifiedApplication& candidate) override;
  Result<void> switch_to(const update::VerifiedApplication& application) override;
  void end(const std::string& application) override;
  std::vector<update::LiveModel> live(const std::string& application) override;
  Result<bool> proven() override { return true; }

  struct Running {
    std::string digest;
    std::int64_t since_ms = 0;
  };
  /// verge-launcher's choice: `active` and `previous` are what the pointers name. The new agent runs nothing yet.
  void start_agent(const std::string& active, const std::string& previous);

  std::map<std::string, Running> running;
  std::string own;                  ///< Digest of the release that this agent is; empty: the agent of the system.
  std::optional<std::string> next;  ///< The release that this agent is to end for.
  std::vector<std::pair<std::string, std::string>> switched;  ///< Each application with the digest it was switched to.
  std::uint64_t fault_every = 0;                              ///< One call in so many fails; 0: none.
  const at_rest::DataKeys* keys = nullptr;                    ///< Of an encrypted store; null: it is plain.

 private:
  /// What is to run is signed, and every byte of it is what was signed. Throws Violation.
  const Version& checked(const update::VerifiedApplication& application);
  [[nodiscard]] bool has(const std::string& path, const std::string& content) const;
  Result<void> switch_agent(const Version& version);

  const Hub& hub_;
  const ModelledDisk& disk_;
  SimulatedClock& clock_;
  Chance& chance_;
  std::set<std::string> did_not_last_;  ///< Releases, as the launcher has noted them.
  std::int64_t started_ms_ = 0;
};

}  // namespace verge::simulator
