#include "spools.hpp"

#include <condition_variable>
#include <mutex>
#include <set>

#include <fmt/format.h>

#include "verge/base/rest.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/spool/stored.hpp"

namespace verge::agent {
namespace {

using namespace std::chrono_literals;

/// A pipeline that is replaced ends with what it has: two seconds, and the sync of a slow disk.
constexpr auto kPatience = 10s;
constexpr auto kLookEvery = 1h;
constexpr std::size_t kDigits = 12;

std::string digits_of(const std::string& receiver) {
  const auto digest = crypto::sha256(receiver);
  return digest.substr(digest.find(':') + 1, kDigits);
}

}  // namespace

/// Folders that are open. What is opened may end after the object that opened it has.
struct Spools::Opened {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::set<std::string> folders;

  /// False: somebody else has it.
  bool take(const std::string& folder, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex);
    if (!changed.wait_for(lock, patience, [&] { return !folders.contains(folder); })) return false;
    folders.insert(folder);
    return true;
  }
  void release(const std::string& folder) {
    {
      const std::lock_guard lock(mutex);
      folders.erase(folder);
    }
    changed.notify_all();
  }
};

std::filesystem::path spools_folder(const std::filesystem::path& state_directory) {
  return state_directory / "spool";
}

Spools::Spools(Log& log, const std::filesystem::path& state_directory, const at_rest::DataKeys* keys)
    : log_(log), folder_(spools_folder(state_directory)), keys_(keys), opened_(std::make_shared<Opened>()) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Spools::~Spools() = default;

Result<std::shared_ptr<spool::Spool>> Spools::open(const wire::Spool& wanted, std::string_view pipeline,
                                                   std::string_view kind, const std::string& receiver) {
  spool::Options options;
  options.folder = folder_ / pipeline / fmt::format("{}-{}", kind, digits_of(receiver));
  options.max_bytes = static_cast<std::uint64_t>(wanted.max_bytes);
  options.max_age = std::chrono::seconds(wanted.max_age_s.value_or(0));
  options.drop = wanted.drop == wire::SpoolDrop::newest ? spool::Drop::newest : spool::Drop::oldest;
  options.durable_after = std::chrono::milliseconds(wanted.durable_after_ms);
  options.keys = keys_;
  const std::string folder = options.folder.string();
  options.on_trouble = [this, folder](const Error* error) {
    if (error == nullptr) {
      log_.info("a spool is written to the disk again", {{"folder", folder}});
    } else {
      log_.error("a spool cannot be written; what comes waits in memory, bounded, until it can",
                 {{"folder", folder}, {"error", error->text()}});
    }
  };
  if (!opened_->take(folder, kPatience)) {
    return Error(ErrorCode::failed_precondition, "VRG-AGT-091",
                 fmt::format("the spool '{}' is used by another pipeline called '{}' with the same receiver; give one "
                             "of them another name",
                             folder, pipeline));
  }
  auto opened = spool::Spool::open(real_file_system(), std::move(options));
  if (!opened) {
    opened_->release(folder);
    return std::move(opened).error();
  }
  const auto counts = (*opened)->counts();
  if (counts.waiting > 0) {
    log_.info("events of before wait in the spool", {{"folder", folder}, {"waiting", counts.waiting}});
  }
  return std::shared_ptr<spool::Spool>(opened->release(), [all = opened_, folder](spool::Spool* spool) {
    std::default_delete<spool::Spool>()(spool);  // The folder is free only once this has ended.
    all->release(folder);
  });
}

void Spools::remove_orphan(const std::string& folder) {
  spool::Options options;
  options.folder = folder;
  options.background = false;
  options.keys = keys_;
  const auto spool = spool::Spool::open(real_file_system(), std::move(options));
  const auto lost = spool ? (*spool)->counts().waiting : 0;
  if (const auto removed = spool::remove(real_file_system(), folder); !removed) {
    log_.warning("a spool without a sink cannot be removed", {{"folder", folder}, {"error", removed.error().text()}});
    return;
  }
  log_.warning("a spool whose sink is gone for long is removed", {{"folder", folder}, {"undelivered", lost}});
}

void Spools::remove_orphans(std::chrono::hours kept_for) {
  const auto folders = spool::folders_below(real_file_system(), folder_.string());
  if (!folders) return;  // Whoever opens one is told.
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const auto& folder : *folders) {
    if (!opened_->take(folder, 0ms)) continue;
    auto newest = std::filesystem::file_time_type::min();
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
      newest = std::max(newest, entry.last_write_time(failed));
    }
    if (!failed && now - newest > kept_for) remove_orphan(folder);
    opened_->release(folder);
  }
}

void Spools::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    rest(kLookEvery, stop);  // Not at once: who needs one has opened it by then.
    if (!stop.stop_requested()) remove_orphans();
  }
}

}  // namespace verge::agent
