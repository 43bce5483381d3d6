// Stages: DownloadedTarget → VerifiedTarget → InstalledCandidate → TestedCandidate. Each is a move-only value that only
// its step can make, so that what has not been checked cannot be installed: it would not compile.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "content_store.hpp"
#include "stored_metadata.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/trust/client.hpp"
#include "verge/update/ports.hpp"
#include "verge/wire/desired_state.hpp"

namespace verge::update {

/// What an application consists of, as its documents say.
struct Plan {
  wire::Application document;
  struct Package {
    std::string digest;
    package::ManifestContent content;
  };
  std::vector<Package> packages;
  std::vector<BlobOrder> blobs;  ///< Everything, documents included, each once.
};

struct MoveOnly {
  MoveOnly() = default;
  ~MoveOnly() = default;
  MoveOnly(MoveOnly&&) = default;
  MoveOnly& operator=(MoveOnly&&) = default;
  MoveOnly(const MoveOnly&) = delete;
  MoveOnly& operator=(const MoveOnly&) = delete;
};

/// A target that the hub's signed metadata names and this device can take.
class FoundTarget : MoveOnly {
  friend struct Stages;
  wire::DevicePointer pointer_;
  trust::Target target_;
};

class DownloadedTarget : MoveOnly {
  friend struct Stages;
  wire::DevicePointer pointer_;
  Plan plan_;
};

class VerifiedTarget : MoveOnly {
  friend struct Stages;
  VerifiedApplication application_;
  Plan plan_;
};

class InstalledCandidate : MoveOnly {
  friend struct Stages;
  VerifiedApplication application_;

 public:
  [[nodiscard]] const VerifiedApplication& application() const noexcept { return application_; }
};

class TestedCandidate : MoveOnly {
  friend struct Stages;
  VerifiedApplication application_;

 public:
  [[nodiscard]] const VerifiedApplication& application() const noexcept { return application_; }
};

[[nodiscard]] wire::DevicePointer pointer_to(const wire::DesiredApplication& desired);

/// How much travelled.
struct Traffic {
  std::uint64_t total_bytes = 0;
  std::uint64_t reused_bytes = 0;
  std::uint64_t fetched_bytes = 0;
  std::uint64_t spared_bytes = 0;  ///< That deltas made it needless to fetch.
};

/// The steps. Errors carry the reason; what they lead to is decided by event_of().
struct Stages {
  Ports& ports;
  ContentStore& store;
  trust::Client& trust;
  StoredMetadata& stored;

  Result<FoundTarget> find(const wire::DesiredApplication& desired);
  Result<DownloadedTarget> download(const FoundTarget& found, Traffic& traffic);
  Result<VerifiedTarget> verify(const DownloadedTarget& downloaded);
  Result<InstalledCandidate> install(const VerifiedTarget& verified);
  /// `numbers` gets what was measured, whether it is good or not.
  Result<TestedCandidate> try_out(const InstalledCandidate& installed, std::map<std::string, double>& numbers);
  /// Checks again, byte by byte, what a pointer names.
  Result<VerifiedApplication> check_again(const wire::DevicePointer& pointer);
  /// What a pointer names, from the documents in the store; nothing is hashed.
  Result<Plan> plan(const wire::DevicePointer& pointer);

 private:
  Result<trust::Target> trusted(const std::string& path, const std::string& digest, const std::string& name,
                                const std::string& version);
  /// Makes what it can out of files that are here.
  Result<void> use_deltas(const Plan& plan, Traffic& traffic);
  Result<void> use_delta(const BlobOrder& order, const std::vector<DeltaOffer>& offers, Traffic& traffic);
  Result<void> fetch_document(const BlobOrder& order, Traffic& traffic);
  Result<VerifiedApplication> check_content(const wire::DevicePointer& pointer, const Plan& plan);
  Result<wire::Node> document_of(const Plan::Package& package, std::string_view path, const std::string& target);
  Result<InstalledPackage> release_of(const wire::DevicePointer& pointer, const Plan::Package& package);
  Result<InstalledPackage> model_of(const wire::ApplicationModel& model, const Plan::Package& package);
  Result<void> link_packages(const Plan& plan);
  Result<void> link_package(const Plan::Package& package);
};

}  // namespace verge::update
