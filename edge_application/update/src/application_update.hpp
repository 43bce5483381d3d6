// Application update: one application on the device, from what is wanted to what runs.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "stages.hpp"
#include "verge/update/transition_table.hpp"
#include "verge/wire/update_record.hpp"
#include "watch.hpp"

namespace verge::update {

/// A version that ends the agent so often, while it is loaded or watched, is not started again.
inline constexpr std::int64_t kMaxStarts = 3;

/// Where the applications are, each in a folder of its name.
inline constexpr const char* kApplicationsFolder = "applications";

/// Where an application goes that is no longer wanted, on its way to being deleted.
inline constexpr const char* kRemovedFolder = "removed";

/// Deletes what a removal that was cut off has left there, once that cannot come back with a loss of power.
Result<void> clear_removed(Files& files);

/// How a step ended, and what to tell.
struct Outcome {
  Event event = Event::ok;
  std::string text;            ///< For the time line.
  std::optional<Error> error;  ///< The reason, when it did not go well.
};

/// The files under applications/<name>/ and what follows from them. Used by one thread.
class ApplicationUpdate {
 public:
  ApplicationUpdate(Ports& ports, ContentStore& store, trust::Client& trust, StoredMetadata& metadata,
                    std::string name);

  /// At the start: reads the pointers, checks again what the active one names, and runs it. step() does so where it has
  /// not been done.
  void restore();
  /// One step towards `desired`, where one is due. Returns the milliseconds until another may be.
  std::int64_t step(const wire::DesiredApplication& desired, bool frozen);
  /// The next step begins anew what was refused or has failed.
  void forget_refusal();
  /// Ends the application and forgets it.
  Result<void> remove();

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] wire::ReportedApplication report() const;
  /// Whether no update is under way.
  [[nodiscard]] bool has_ended() const;
  /// Whether an update has begun and has not ended: what it does must not be mixed up with an update of the agent.
  [[nodiscard]] bool is_busy() const;
  /// Whether it is that of the agent itself.
  [[nodiscard]] bool is_agent() const;
  /// Whether something is being fetched or tried, so that the store must not be tidied.
  [[nodiscard]] bool in_progress() const;
  /// Adds what the pointers name. Errors: a document of the store cannot be read.
  Result<void> collect(std::set<std::string>& blobs, std::set<std::string>& packages);
  /// Rises with every change worth a report.
  [[nodiscard]] std::uint64_t revision() const noexcept { return revision_; }

 private:
  void begin(const wire::DesiredApplication& desired);
  Outcome act(bool frozen);
  Outcome act_pending(bool frozen);
  Outcome act_downloading();
  Outcome act_verifying();
  Outcome act_installing();
  Outcome act_trying();
  Outcome act_switching();
  Outcome act_watching();
  Outcome act_rolling_back();

  /// Writes the next record, then takes it as the present one; when it cannot be written, the step is done again.
  bool advance(Outcome outcome);
  void put_off(wire::UpdateRecord& record) const;
  Result<std::optional<wire::UpdateRecord>> read_record();
  /// False: the disk does not answer now.
  bool read_files();
  /// Checks what the pointer names, byte by byte, and runs it.
  Result<void> run_checked(const wire::DevicePointer& pointer);
  void run_active();
  /// To the previous version, when the active one cannot run and that one can.
  void fall_back(const Error& why);
  /// Makes the version that was fallen back to the active one. False: the disk does not take it; the next step tries
  /// again.
  bool write_fall_back();
  /// Falls back from a version whose model answers no more. False: nothing to leave, or nowhere to go.
  bool leave_given_up();
  void tell_fallen_back(std::string message);
  /// Whether the version that was committed is no longer the active one, and the record does not say so yet.
  [[nodiscard]] bool fell_back_untold() const;
  bool tell_lost_fall_back();
  [[nodiscard]] std::string lost_fall_back() const;
  [[nodiscard]] std::string in_its_place() const;
  /// Fetches again what is damaged of the active version, and runs it. Returns the milliseconds until the next attempt.
  std::int64_t repair();
  void note(wire::UpdateRecord& record, wire::UpdateState state, std::string text) const;
  void drop_tokens();
  void changed() { ++revision_; }

  Result<std::optional<wire::DevicePointer>> read_pointer(std::string_view which);
  /// Without a pointer the file is removed, which is durable only with the next write to the folder.
  Result<void> write_pointer(std::string_view which, const std::optional<wire::DevicePointer>& pointer);
  Result<void> write_record(const wire::UpdateRecord& record);
  [[nodiscard]] std::string folder() const;
  [[nodiscard]] std::string file(std::string_view which) const;

  Ports& ports_;
  ContentStore& store_;
  Stages stages_;
  std::string name_;
  bool restored_ = false;  ///< What the files say is known.
  bool refusal_forgotten_ = false;
  bool candidate_ = true;  ///< There may be a candidate pointer.
  std::optional<wire::DevicePointer> active_;
  std::optional<wire::DevicePointer> previous_;
  std::optional<wire::UpdateRecord> record_;
  std::optional<FoundTarget> found_;
  std::optional<DownloadedTarget> downloaded_;
  std::optional<VerifiedTarget> verified_;
  std::optional<InstalledCandidate> installed_;
  std::optional<TestedCandidate> tested_;
  std::optional<std::string> fall_back_to_write_;  ///< What to tell of one whose pointer is not written yet.
  std::optional<VerifiedApplication> running_;     ///< What the active pointer names, checked in this run.
  std::int64_t watch_since_ms_ = 0;                ///< Of the steady clock.
  std::int64_t retry_steady_ms_ = 0;
  std::int64_t doubts_ = 0;   ///< Errors of the present step that should not be.
  std::int64_t damaged_ = 0;  ///< How often what was fetched was not what was signed, one time after the other.
  std::uint64_t revision_ = 0;
};

}  // namespace verge::update
