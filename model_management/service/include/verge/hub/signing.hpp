// Signing: the hub's side of metadata that is signed elsewhere.
#pragma once

#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/hub/principal.hpp"
#include "verge/wire/trust_changes.hpp"
#include "verge/wire/trust_status.hpp"

namespace verge::hub {

struct Core;

/// Thread-safe. Each call checks the caller's rights first: VRG-HUB-010, 011.
class Signing {
 public:
  static constexpr std::int64_t kMostChanges = 1000;

  explicit Signing(Core& core) : core_(core) {}
  Signing(const Signing&) = delete;
  Signing& operator=(const Signing&) = delete;

  Result<wire::TrustStatus> status(const Principal& caller);
  /// Of the targets behind `after`, at most `limit`.
  Result<wire::TrustChanges> changes(const Principal& caller, const std::string& after, std::int64_t limit);
  /// Errors: those of trust::Repository::next_key().
  Result<wire::TrustKey> next_key(const Principal& caller, const std::string& role);
  /// Keeps a file until publish(). Errors: VRG-HUB-047 (no such name, or too many files).
  Result<void> put(const Principal& caller, const std::string& file, std::string_view text);
  Result<void> forget(const Principal& caller);
  /// Puts in force what was put; forgets it either way. Errors: those of trust::Repository::accept();
  /// failed_precondition (VRG-HUB-048) to adopt when devices have joined.
  Result<wire::TrustStatus> publish(const Principal& caller, bool adopt);
  /// Warns in the log, once a day, when metadata whose keys are elsewhere has less than 30 days left. By one thread.
  void warn_of_expiry();

 private:
  Core& core_;
  std::int64_t next_warning_ms_ = 0;
};

}  // namespace verge::hub
