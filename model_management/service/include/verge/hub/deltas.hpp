// Deltas: made in the background from the versions that devices have to those that they are to have, and published as
// referrers of the new version's manifest, so that any tool of the registry finds them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "verge/delta/delta.hpp"
#include "verge/hub/principal.hpp"
#include "verge/wire/delta_list.hpp"
#include "verge/wire/model_detail.hpp"

namespace verge::hub {

struct Core;
class Transaction;
struct DeltaRecord;

/// Artifact type of such a referrer, and media type of its layers.
inline constexpr const char* kDeltaType = "application/vnd.verge.delta.v1";
/// On a layer: the digests of the files that it is between. On the manifest: of the packages.
inline constexpr const char* kDeltaFromAnnotation = "vnd.verge.delta.from";
inline constexpr const char* kDeltaToAnnotation = "vnd.verge.delta.to";

struct DeltaSetup {
  /// Makes one into a new file; takes minutes for large ones, and memory. Ends soon with an error when stopped. Absent:
  /// no deltas are made.
  std::function<Result<void>(const delta::DescribedFile& old, const delta::DescribedFile& fresh,
                             const std::filesystem::path& made, const std::stop_token& stop)>
      make;
  std::uint64_t largest_file_bytes = std::uint64_t{256} << 20U;  ///< Of larger ones none is made.
  std::uint64_t smallest_file_bytes = std::uint64_t{16} << 10U;  ///< Nor of smaller ones.
};

/// Thread-safe, but for work(), which one thread calls.
class Deltas {
 public:
  explicit Deltas(Core& core) : core_(core) {}

  /// To files of a package, for whoever may fetch its blobs.
  Result<wire::DeltaList> to_package(Transaction& store, const std::string& digest);
  /// Between versions of the model, for people.
  static std::vector<wire::VersionDelta> to_version(Transaction& store, const std::string& digest);
  /// Something has changed: what devices have, what they are to have, or which versions there are.
  void look_again() noexcept { changed_ = true; }
  /// Makes what is most wanted, if anything is: files of one pair of packages. True: there may be more to do.
  bool work(const std::stop_token& stop);

 private:
  /// Two versions of a model, by the digests of their packages' manifests.
  using Pair = std::pair<std::string, std::string>;
  struct Wish {
    std::int64_t awaited = 0;  ///< Devices that are to go this way.
    std::int64_t devices = 0;  ///< That have the old version.
    std::string repository;    ///< Of the new one.
  };
  struct FilePair;

  Result<std::map<Pair, Wish>> wishes(Transaction& store);
  Result<void> look();
  Result<void> make(const Pair& pair, const std::string& repository, const std::stop_token& stop);
  Result<std::vector<FilePair>> file_pairs(const Pair& pair);
  Result<bool> make_file(const FilePair& files, const std::string& repository, const std::stop_token& stop,
                         DeltaRecord& record);
  Result<void> push(const std::string& repository, const std::filesystem::path& file, const std::string& digest);
  Result<std::string> publish(const Pair& pair, const std::string& repository, const std::vector<DeltaRecord>& made);

  Core& core_;
  std::atomic<bool> changed_{true};
  std::int64_t next_look_ms_ = 0;
  std::map<Pair, std::int64_t> failed_;  ///< When it may be tried again.
  std::mutex mutex_;
  std::map<Pair, Wish> open_;  ///< What is to be made yet; under `mutex_`.
};

}  // namespace verge::hub
