// Bundle folder: bundles that appear in a folder, mostly on a stick that somebody has put in, are applied.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "hub_link.hpp"
#include "verge/base/log.hpp"
#include "verge/update/ports.hpp"

namespace verge::agent {

/// Looks into a folder every two seconds; it need not be there. Of the files '*.bundle' the newest for this device is
/// applied as apply_bundle() does, the others are passed over. What became of it is logged, and written beside it as
/// NAME.outcome.txt where the folder can be written to. One whose updates have ended is not applied again. Symbolic
/// links and names that are not plain are refused.
class BundleFolder {
 public:
  /// `files`: the state directory, which keeps which bundles have ended. All must outlive the object.
  BundleFolder(Log& log, std::filesystem::path folder, update::Files& files, HubLink& hub);
  ~BundleFolder();
  BundleFolder(const BundleFolder&) = delete;
  BundleFolder& operator=(const BundleFolder&) = delete;

 private:
  /// What tells one content of a file from another without reading it, and one stick from another.
  struct Stamp {
    std::uint64_t device = 0;
    std::uint64_t file = 0;
    std::int64_t size_bytes = 0;
    std::int64_t changed_s = 0;
    std::int64_t changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct Seen {
    Stamp stamp;
    bool judged = false;  ///< Applied, refused or passed over.
  };
  struct Applied {
    std::filesystem::path file;
    Stamp stamp;
    std::shared_ptr<const CarriedNetwork::Carried> carried;
  };
  struct Candidate {
    std::string name;
    std::shared_ptr<const CarriedNetwork::Carried> carried;
  };

  static std::optional<Stamp> stamp_of(const std::filesystem::path& file);
  void run(const std::stop_token& stop);
  void look();
  /// Those that lie there as they did at the last look, and have not been judged.
  std::vector<std::string> settled_names();
  /// Nothing when it is not for this device, older than what was asked of it, or has ended before.
  std::optional<Candidate> judge(const std::string& name);
  void apply_newest(std::vector<Candidate> candidates);
  /// Whether one of this folder is under way.
  bool goes_on();
  void end(const Applied& applied);
  void refuse(const std::filesystem::path& file, const Error& error);
  void write_outcome(const std::filesystem::path& file, const std::string& text);
  [[nodiscard]] bool has_ended(const std::string& mark) const;
  void remember(std::string mark);

  Log& log_;
  std::filesystem::path folder_;
  update::Files& files_;
  HubLink& hub_;
  std::map<std::string, Seen> seen_;  ///< By name.
  std::deque<std::string> ended_;     ///< Marks of bundles, oldest first.
  std::optional<Applied> applied_;
  std::jthread thread_;
};

}  // namespace verge::agent
