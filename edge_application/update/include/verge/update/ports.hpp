// Ports: everything that an update touches. The agent gives the real ones, the simulator its own with faults.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/trust/client.hpp"
#include "verge/wire/agent_release.hpp"
#include "verge/wire/application.hpp"
#include "verge/wire/device_pointer.hpp"
#include "verge/wire/metadata.hpp"
#include "verge/wire/reported_state.hpp"

namespace verge::update {

class Clock {
 public:
  virtual ~Clock() = default;
  /// The device's clock, in milliseconds since 1970; may be wrong, and may jump.
  virtual std::int64_t now_ms() = 0;
  /// Milliseconds since some moment; never jumps.
  virtual std::int64_t steady_ms() = 0;
};

class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;
};

/// A file that is open to be read at any place. Errors: data_loss (VRG-UPD-018 it ends before), unavailable (I/O).
class OpenedFile {
 public:
  virtual ~OpenedFile() = default;
  [[nodiscard]] virtual std::uint64_t size_bytes() const noexcept = 0;
  /// Exactly so many bytes.
  virtual Result<void> read(std::uint64_t offset_bytes, std::span<std::byte> into) = 0;
};

/// The device's store: a folder. Names are relative, with '/'; "" is the folder itself.
///
/// What write() has acknowledged survives a loss of power. What the other calls have done may be lost, in any order and
/// each for itself, until sync(): of a file for its content, of a folder for the names in it; a rename from one folder
/// to another needs both. A folder that is made on the way survives with what is in it, but for one that append() or
/// link() makes: nothing else belongs there.
///
/// Errors: not_found; resource_exhausted (the disk is full); permission_denied; unavailable (I/O).
class Files {
 public:
  virtual ~Files() = default;
  virtual Result<std::string> read(const std::string& name, std::uint64_t limit_bytes) = 0;
  /// Must not outlive this object.
  virtual Result<std::unique_ptr<OpenedFile>> open(const std::string& name) = 0;
  /// The old content or the new one, whatever happens.
  virtual Result<void> write(const std::string& name, std::string_view content) = 0;
  /// Adds to the end.
  virtual Result<void> append(const std::string& name, std::span<const std::byte> bytes) = 0;
  /// After a sync of a file that failed, what was appended to it is not to be relied on: a later one may succeed and
  /// have nothing left to write.
  virtual Result<void> sync(const std::string& name) = 0;
  virtual Result<std::uint64_t> size(const std::string& name) = 0;
  /// "sha256:…" of the content.
  virtual Result<std::string> digest(const std::string& name) = 0;
  /// Of a file or a folder, over what is there; at once, or not at all. An empty folder or a file gives way.
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  /// A second name for a file.
  virtual Result<void> link(const std::string& from, const std::string& to) = 0;
  /// Whether both names are of one file.
  virtual bool same(const std::string& a, const std::string& b) = 0;
  /// A file, or a folder with what is in it; what is not there is no error.
  virtual Result<void> remove(const std::string& name) = 0;
  /// Names in a folder, sorted; none when it is not there.
  virtual Result<std::vector<std::string>> list(const std::string& folder) = 0;
  /// Removes what a write() that was cut off may have left in a folder.
  virtual void remove_unfinished(const std::string& folder) = 0;
  virtual std::uint64_t free_bytes() = 0;
};

/// What makes a file of a package out of one that a device may have. Nobody signs it: what comes out is checked.
struct DeltaOffer {
  std::string from;    ///< Digest of the old file.
  std::string to;      ///< Of the new one.
  std::string digest;  ///< Of the delta: a blob, too.
  std::uint64_t size_bytes = 0;
};

/// The hub, or whatever else carries its metadata and blobs.
class Network : public trust::MetadataSource {
 public:
  /// Deltas to files of this package; none is right.
  virtual Result<std::vector<DeltaOffer>> deltas(const std::string& package_digest) = 0;
  /// The blob's bytes from `offset` on, in pieces, to `sink`, which may end it with an error.
  virtual Result<void> blob(const std::string& digest, std::uint64_t offset,
                            const std::function<Result<void>(std::span<const std::byte>)>& sink) = 0;
};

/// A file of a release of the agent.
struct ReleaseFile {
  std::string path;    ///< In the release.
  std::string stored;  ///< Name in Files.
  std::string digest;
  std::uint64_t size_bytes = 0;
};

/// One model package of an application, unpacked; or a release of the agent, which the runtime unpacks.
struct InstalledPackage {
  std::string digest;  ///< Of its manifest.
  std::string folder;  ///< Name in Files; empty of a release.
  wire::Metadata metadata;
  std::optional<wire::AgentRelease> release{};
  std::vector<ReleaseFile> files{};  ///< Of a release.
};

/// An application whose content has been checked in this run of the program, byte by byte: nothing else is ever run.
/// Only the steps of an update, and the check at the start, make one.
class VerifiedApplication {
 public:
  [[nodiscard]] const wire::DevicePointer& pointer() const noexcept { return pointer_; }
  /// A lone model is an application of one model and no pipeline.
  [[nodiscard]] const wire::Application& document() const noexcept { return document_; }
  /// One for each model of the document, in its order; of the agent, its release.
  [[nodiscard]] const std::vector<InstalledPackage>& packages() const noexcept { return packages_; }
  [[nodiscard]] bool is_agent() const noexcept { return !packages_.empty() && packages_.front().release.has_value(); }

 private:
  friend struct Stages;
  wire::DevicePointer pointer_;
  wire::Application document_;
  std::vector<InstalledPackage> packages_;
};

/// What trying out one model gave.
struct ModelTrial {
  std::string model;   ///< Name in the API.
  std::string engine;  ///< That was chosen.
  std::int64_t golden_samples = 0;
  std::int64_t golden_passed = 0;
  std::string difference;  ///< Of the first golden sample that did not pass: expected and got.
  double latency_ms = 0;   ///< Shortest time of an inference: neighbours run beside it.
  std::uint64_t memory_bytes = 0;
};

/// What a model has done since it was switched to.
struct LiveModel {
  std::string model;
  std::int64_t requests = 0;
  std::int64_t failed = 0;
  double p50_ms = 0;
  double p99_ms = 0;
  std::string given_up;  ///< Why it answers no more, for good; empty: it answers.
};

/// What runs applications. Errors of the calls are reasons to refuse or to roll back; unavailable: try again.
///
/// The agent is an application, too, whose release this program is or is to become. try_out() then runs, with the
/// candidate, what runs here; switch_to() of another release than this one installs it, and it runs from the restart on
/// that follows once the active pointer names it; end() is the way back to the agent that the system was installed
/// with; live() of it tells of all models that are served.
class Runtime {
 public:
  virtual ~Runtime() = default;
  /// What this device has, for requirements.
  virtual wire::DeviceReport device() = 0;
  /// Loads each model apart from traffic and runs its golden samples; traffic goes on.
  virtual Result<std::vector<ModelTrial>> try_out(const VerifiedApplication& candidate) = 0;
  /// Loads the application beside what runs, then switches traffic to it at once: requests under way end where they
  /// began. An application of the same name is replaced. On an error what ran before goes on.
  virtual Result<void> switch_to(const VerifiedApplication& application) = 0;
  /// Ends the application; nothing happens when it does not run.
  virtual void end(const std::string& application) = 0;
  /// Since the last switch_to(); empty when it does not run.
  virtual std::vector<LiveModel> live(const std::string& application) = 0;
  /// Whether this agent, a release that has been watched, may be kept. False: not known yet. Errors: why it must not.
  virtual Result<bool> proven() = 0;
};

struct Ports {
  Clock& clock;
  Random& random;
  Files& files;
  Network& network;
  Runtime& runtime;
};

}  // namespace verge::update
