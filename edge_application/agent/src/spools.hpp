// Spools: what keeps events and telemetry on this device's disk while their receivers are away.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "verge/at_rest/data_keys.hpp"
#include "verge/base/log.hpp"
#include "verge/spool/spool.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

/// Folder of all spools.
[[nodiscard]] std::filesystem::path spools_folder(const std::filesystem::path& state_directory);

/// A spool belongs to its pipeline and to the receiver of its sink: neither a restart nor a reload or an update that
/// keeps both changes it. One whose sink is gone is kept for kKeptFor after its last record, in case the sink comes
/// back, as it does in a rollback; then it is removed, with a line in the log. Thread-safe; outlives what it opens.
class Spools {
 public:
  static constexpr std::chrono::hours kKeptFor{7 * 24};

  /// `keys`: to encrypt with; null: in plain. Both must outlive the object.
  Spools(Log& log, const std::filesystem::path& state_directory, const at_rest::DataKeys* keys);
  ~Spools();
  Spools(const Spools&) = delete;
  Spools& operator=(const Spools&) = delete;

  /// Waits a while for the one who had it before. Errors: failed_precondition (VRG-AGT-091 somebody else has it open),
  /// those of spool::Spool::open().
  Result<std::shared_ptr<spool::Spool>> open(const wire::Spool& wanted, std::string_view pipeline,
                                             std::string_view kind, const std::string& receiver);
  /// Removes those that nobody has open and nothing was written to for so long.
  void remove_orphans(std::chrono::hours kept_for = kKeptFor);

 private:
  struct Opened;
  void remove_orphan(const std::string& folder);
  void run(const std::stop_token& stop);

  Log& log_;
  const std::filesystem::path folder_;
  const at_rest::DataKeys* keys_;
  const std::shared_ptr<Opened> opened_;
  std::jthread thread_;
};

}  // namespace verge::agent
