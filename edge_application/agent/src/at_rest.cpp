#include "at_rest.hpp"

#include <chrono>

#include <fmt/format.h>

#include "spools.hpp"
#include "verge/base/rest.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/spool/stored.hpp"

namespace verge::agent {
namespace {

constexpr auto kLookEvery = std::chrono::hours(1);
/// Between two files that are encrypted anew: models that run go first.
constexpr auto kPause = std::chrono::milliseconds(20);
constexpr std::int64_t kDay_ms = 86'400'000;

/// The same for each start of a device, so that what a killed run left is found; another for each device of a machine.
std::filesystem::path memory_path(const wire::AtRest& configured, const std::filesystem::path& state_directory) {
  constexpr std::size_t kDigits = 12;
  const auto parent =
      configured.memory_folder ? std::filesystem::path(*configured.memory_folder) : at_rest::default_memory_parent();
  const auto digest = crypto::sha256(std::filesystem::weakly_canonical(state_directory).string());
  return parent / fmt::format("verge-agent-{}", digest.substr(digest.find(':') + 1, kDigits));
}

/// Compiled models are models, too, and lie there in plain.
Result<void> remove_compiled(update::Files& disk) {
  return disk.remove("compiled");
}

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace

std::filesystem::path keys_folder(const std::filesystem::path& state_directory) {
  return state_directory / "at_rest";
}

at_rest::KeyStoreOptions key_store_options(const wire::AtRest& configured) {
  at_rest::KeyStoreOptions options;
  options.store = configured.key == wire::AtRestKey::tpm ? wire::AtRestStore::tpm : wire::AtRestStore::file;
  if (configured.key_file) options.key_file = *configured.key_file;
  options.tcti = configured.tcti;
  if (configured.pcrs.empty()) return options;
  options.pcrs.clear();
  for (const auto pcr : configured.pcrs) options.pcrs.push_back(static_cast<unsigned>(pcr));
  return options;
}

AtRest::AtRest(Log& log, const wire::AtRest& configured, const std::filesystem::path& state_directory,
               std::unique_ptr<at_rest::KeyStore> store)
    : log_(log),
      configured_(configured),
      spools_(spools_folder(state_directory).string()),
      store_(std::move(store)),
      warning_(store_->warning()),
      disk_(state_directory),
      files_(disk_, store_->keys()) {}

AtRest::~AtRest() = default;

Result<std::unique_ptr<AtRest>> AtRest::open(Log& log, const wire::AtRest& configured,
                                             const std::filesystem::path& state_directory) {
  VERGE_ASSIGN(auto store, at_rest::KeyStore::open(keys_folder(state_directory), key_store_options(configured)));
  if (!store->news().empty()) log.info("encryption at rest", {{"news", store->news()}});
  std::unique_ptr<AtRest> made(new AtRest(log, configured, state_directory, std::move(store)));
  if (!made->warning_.empty()) log.warning("encryption at rest", {{"warning", made->warning_}});
  VERGE_TRY(remove_compiled(made->disk_));
  VERGE_TRY(update::encrypt_store(made->disk_, made->keys()));
  VERGE_TRY(spool::reseal(real_file_system(), made->spools_, made->keys(), &made->keys()));
  const auto locking =
      configured.lock == wire::AtRestLock::required ? at_rest::Locking::required : at_rest::Locking::best_effort;
  VERGE_ASSIGN(made->packages_,
               MemoryPackages::create(made->files_, memory_path(configured, state_directory), locking));
  made->thread_ = std::jthread([self = made.get()](const std::stop_token& stop) { self->run(stop); });
  return made;
}

Result<void> AtRest::undo(Log& log, const std::filesystem::path& state_directory) {
  const auto folder = keys_folder(state_directory);
  if (!at_rest::KeyStore::exists(folder)) return {};
  {
    VERGE_ASSIGN(const auto store, at_rest::KeyStore::open(folder));
    update::DiskFiles disk(state_directory);
    VERGE_TRY(update::decrypt_store(disk, store->keys()));
    VERGE_TRY(spool::reseal(real_file_system(), spools_folder(state_directory).string(), store->keys(), nullptr));
  }
  VERGE_TRY(at_rest::KeyStore::remove(folder));
  log.info("encryption at rest is switched off: what was stored is decrypted, and its keys are removed");
  return {};
}

std::vector<std::string> AtRest::messages() const {
  return warning_.empty() ? std::vector<std::string>{} : std::vector{warning_};
}

void AtRest::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (const auto done = look_after_keys(stop); !done) {
      log_.warning("the data key is not rotated yet; it is tried again in an hour", {{"error", done.error().text()}});
    }
    rest(kLookEvery, stop);
  }
}

Result<void> AtRest::look_after_keys(const std::stop_token& stop) {
  const auto made_ms = store_->document().data_keys.back().made_ms;
  if (configured_.rotate_every_days && now_ms() - made_ms > *configured_.rotate_every_days * kDay_ms) {
    VERGE_TRY(store_->rotate());
    log_.info("there is a new data key; what is stored is encrypted anew");
  }
  if (store_->keys().count() < 2) return {};
  std::size_t renewed = 0;
  for (bool more = true; more && !stop.stop_requested(); rest(kPause, stop)) {
    VERGE_ASSIGN(more, files_.renew_one());
    if (more) ++renewed;
  }
  VERGE_ASSIGN(const bool old, files_.has_old());
  // What waits in spools keeps the key until it is delivered, or sealed anew at the next start.
  VERGE_ASSIGN(const bool spooled, spool::has_old(real_file_system(), spools_, keys()));
  if (old || spooled || stop.stop_requested()) return {};
  VERGE_TRY(store_->forget_old());
  log_.info("everything is encrypted with the new data key; the one before is forgotten", {{"files", renewed}});
  return {};
}

}  // namespace verge::agent
