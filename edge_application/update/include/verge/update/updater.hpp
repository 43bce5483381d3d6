// Updater: brings a device from what it runs to what is wanted, whatever happens on the way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/update/ports.hpp"
#include "verge/wire/desired_state.hpp"
#include "verge/wire/reported_state.hpp"

namespace verge::update {

/// Pure: touches nothing but its ports. step() and restore() are called by one thread; want(), applications() and
/// desired_version() by any.
///
/// The store:
///   desired.json                                        what the hub asked for last
///   trust/{root,timestamp,snapshot,targets}.json        TUF metadata
///   applications/<name>/{active,previous,candidate}.json  pointers; active.json is what runs after a restart
///   applications/<name>/update.json                     how far the newest update is
///   removed/<name>/                                     an application no longer wanted, being deleted
///   store/blobs/sha256/<hex>  store/partial/<hex>  store/packages/<hex>/…
class Updater {
 public:
  /// `trusted_root`: TUF root metadata that the device was given when it joined. Errors: those of
  /// trust::Client::open().
  static Result<std::unique_ptr<Updater>> create(Ports ports, std::string_view trusted_root);
  ~Updater();
  Updater(const Updater&) = delete;
  Updater& operator=(const Updater&) = delete;

  /// Runs what was active before, after checking it byte by byte; ends what had begun. Needs no network.
  void restore();
  /// What is wanted from now on.
  void want(wire::DesiredState desired);
  /// Somebody has done something about it: what was refused or has failed is begun anew. Thread-safe.
  void try_again();
  /// One step of one application. Returns the milliseconds until another may be due; 0: at once.
  std::int64_t step();

  [[nodiscard]] std::vector<wire::ReportedApplication> applications() const;
  /// Version of the newest desired state; 0: none yet.
  [[nodiscard]] std::int64_t desired_version() const;
  /// Called by step() and restore() after every change worth a report.
  void on_change(std::function<void()> callback);

 private:
  struct State;
  explicit Updater(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace verge::update
