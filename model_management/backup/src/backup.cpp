#include "verge/hub/backup.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "hub_image.hpp"
#include "sealed_archive.hpp"
#include "verge/base/file_system.hpp"
#include "verge/hub/store.hpp"
#include "verge/trust/repository.hpp"
#include "verge/wire/fleet_freeze.hpp"

namespace verge::hub {
namespace {

constexpr std::size_t kShortestPassphrase = 12;

Result<void> check_passphrase(const std::string& passphrase) {
  if (passphrase.size() >= kShortestPassphrase) return {};
  return Error(ErrorCode::invalid_argument, "VRG-HUB-088",
               fmt::format("expected a passphrase of {} characters or more, got {}; choose a longer one",
                           kShortestPassphrase, passphrase.size()));
}

Error in_the_way(const std::filesystem::path& path, std::string_view what) {
  return Error(ErrorCode::already_exists, "VRG-HUB-087",
               fmt::format("expected {}, got '{}', which holds something; choose another", what, path.string()));
}

/// For devices that have seen newer things than the backup knows. All that is counted goes on from the time in seconds,
/// which no count reaches: also when one backup is brought back twice.
Result<void> follow_on(Store& store, std::int64_t now_s) {
  return store.transaction([&](Transaction& transaction) -> Result<void> {
    for (auto& device : transaction.devices()) {
      device.accept_next = 1;
      device.desired_version = std::max(device.desired_version, now_s);
      transaction.put(device);
    }
    // Used since, maybe: a one-time token is good once.
    for (auto& enrolment : transaction.enrolments()) {
      enrolment.expires_ms = std::min(enrolment.expires_ms, now_s * 1000);
      transaction.put(enrolment);
    }
    transaction.skip_deployment_numbers(now_s);
    const std::string reason = "restored from a backup: look, then 'verge fleet thaw'";
    wire::FleetFreeze freeze;
    freeze.frozen = true;
    freeze.reason = reason;
    freeze.since_ms = now_s * 1000;
    freeze.by = "verge-hub restore";
    transaction.set_setting("freeze", wire::write_json_line(wire::to_node(freeze)));
    transaction.add(EventRecord{0, now_s * 1000, "hub", "hub.restore", "fleet", reason});
    return {};
  });
}

Result<BackupContent> restore_into(const std::filesystem::path& file, const std::filesystem::path& folder,
                                   const std::string& passphrase, std::int64_t now_s) {
  VERGE_ASSIGN(const auto content, unseal_folder(file, folder, passphrase));
  {
    VERGE_ASSIGN(const auto store, Store::open(folder / "hub.db"));
    VERGE_TRY(follow_on(*store, now_s));
  }
  VERGE_ASSIGN(auto repository, trust::Repository::open(folder / "trust", {}, now_s));
  VERGE_TRY(repository.skip_versions(now_s));
  return content;
}

}  // namespace

Result<BackupContent> make_backup(const std::filesystem::path& data, const std::filesystem::path& file,
                                  const std::string& passphrase) {
  VERGE_TRY(check_passphrase(passphrase));
  if (real_file_system().status(file.string())) return in_the_way(file, "the name of a new file");
  VERGE_ASSIGN(const auto image, HubImage::take(data));
  return seal_folder(image.path(), file, passphrase);
}

Result<BackupContent> restore_backup(const std::filesystem::path& file, const std::filesystem::path& data,
                                     const std::string& passphrase, std::int64_t now_s) {
  VERGE_TRY(check_passphrase(passphrase));
  auto& system = real_file_system();
  auto to = std::filesystem::absolute(data).lexically_normal();
  if (!to.has_filename()) to = to.parent_path();
  const auto names = system.list(to.string());
  if (names && !names->empty()) return in_the_way(data, "an empty folder, or none");
  if (!names && names.error() != ENOENT) return file_error("list", to.string(), names.error());
  const auto part = to.parent_path() / fmt::format(".{}.restoring", to.filename().string());
  const auto clear = [&] {
    std::error_code ignored;
    std::filesystem::remove_all(part, ignored);
  };
  clear();  // Of one that was cut off.
  auto restored = restore_into(file, part, passphrase, now_s);
  const auto renamed = restored ? system.rename(part.string(), to.string()) : Called<void>();
  if (!restored || !renamed) clear();
  if (!renamed) return file_error("rename", part.string(), renamed.error());
  if (restored) VERGE_TRY(sync_path(system, to.parent_path().string()));
  return restored;
}

}  // namespace verge::hub
