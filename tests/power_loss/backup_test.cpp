// Power is lost before every single operation on the disk while a hub's backup is made, and while one is brought back:
// there is a whole backup, or none; a whole hub, or none; and what was told done is there. And with any single sync
// left out, something of that fails.
//
//   VERGE_POWER_LOSS_MIXES   seeded losses before each operation (2)
//   VERGE_POWER_LOSS_SEED    of the seeded losses (1)
#include <algorithm>
#include <cstdio>
#include <unordered_map>

#include <gtest/gtest.h>

#include "hub_life.hpp"
#include "recording.hpp"
#include "replayed_disk.hpp"
#include "verge/base/file.hpp"
#include "verge/hub/backup.hpp"

namespace verge::power_loss {
namespace {

using Kind = RecordedCall::Kind;
using Fate = Loss::Fate;
namespace fs = std::filesystem;

constexpr const char* kPassphrase = "correct horse battery";
constexpr std::int64_t kNow_s = 1'800'000'000;

/// A hub with a model and a device, and its backup.
struct Scene {
  fs::path data = work_folder() / "backed-up";
  fs::path backups = work_folder() / "backups";
  Known known;
  std::vector<RecordedCall> making;  ///< In `backups`.
  DiskImage kept;                    ///< What is to be again as it was, byte by byte.
};

const Scene& scene() {
  static const Scene made = [] {
    Scene scene;
    fs::create_directories(scene.backups);
    auto life = HubLife::open(scene.data, {});
    if (!life) throw std::runtime_error(life.error().text());
    for (const char* action : {"sign in", "push m 1.0.0", "join cam", "report cam", "token"}) {
      if (const auto done = (*life)->act(action); !done) throw std::runtime_error(done.error().text());
    }
    start_recording(scene.backups.string());
    const auto done = hub::make_backup(scene.data, scene.backups / "hub.backup", kPassphrase);
    mark("made");
    scene.making = stop_recording();
    if (!done) throw std::runtime_error(done.error().text());
    scene.known = (*life)->known();
    scene.kept = take(scene.data);
    std::erase_if(scene.kept.files, [](const auto& file) {
      return file.first.starts_with("/hub.db") || file.first.ends_with("/timestamp.json");
    });
    return scene;
  }();
  return made;
}

/// What a call is to lead to, and how it is looked at.
struct Deed {
  std::vector<RecordedCall> calls;
  DiskImage before;
  /// Of a disk after a loss; `done`: that the deed was done had been told. Empty: all is well.
  std::function<std::string(const DiskImage&, bool done)> wrong;
};

void expect_every_prefix(const char* name, const Deed& deed) {
  const auto mixes = from_environment("VERGE_POWER_LOSS_MIXES", 2);
  ModelledDisk disk(deed.before);
  Replay replay(disk);
  std::unordered_map<std::uint64_t, std::string> known;
  std::uint64_t losses = 0;
  std::size_t syncs = 0;
  bool done = false;
  for (std::size_t at = 0; at <= deed.calls.size(); ++at) {
    for (const auto& loss : losses_at(at, mixes)) {
      const auto image = disk.after(loss);
      const auto [found, is_new] = known.try_emplace(image.fingerprint() + (done ? 1 : 0));
      if (is_new) found->second = deed.wrong(image, done);
      ++losses;
      ASSERT_EQ(found->second, "") << "power lost before operation " << at << ": "
                                   << (at < deed.calls.size() ? told(deed.calls[at]) : "the end") << ", names "
                                   << static_cast<int>(loss.names) << ", content " << static_cast<int>(loss.content);
    }
    if (at == deed.calls.size()) break;
    replay.apply(deed.calls[at]);
    done = done || deed.calls[at].kind == Kind::mark;
    if (deed.calls[at].kind == Kind::sync) ++syncs;
  }
  EXPECT_TRUE(done && syncs > 0) << "nothing was recorded";
  std::printf(
      "hub, %s: %zu disk operations, %zu of them syncs; %zu different disks: %llu of %llu losses of power leave "
      "a whole one or none, and what was told done\n",
      name, deed.calls.size() - 1, syncs, known.size(), static_cast<unsigned long long>(losses),
      static_cast<unsigned long long>(losses));
}

void expect_every_sync_missed(const char* name, const Deed& deed) {
  std::size_t sync = 0;
  std::size_t found = 0;
  std::size_t made_up = 0;
  bool in_database = false;
  for (const auto& left : deed.calls) {
    if (left.path.ends_with("/hub.db-wal")) in_database = left.kind != Kind::unlink;
    if (left.kind != Kind::sync) continue;
    // SQLite's own rules are not ours to judge; and the timestamp is written once more.
    const bool others =
        in_database || left.path.find("/hub.db") != std::string::npos || left.path.ends_with("/timestamp.json");
    ++sync;
    ModelledDisk disk(deed.before);
    disk.left_out = sync;
    Replay replay(disk);
    bool done = false;
    bool promised = false;  // That it is done was told before another sync made up for this one.
    std::string what;
    for (const auto& call : deed.calls) {
      replay.apply(call);
      done = done || call.kind == Kind::mark;
      if (!disk.is_exposed()) continue;
      promised = promised || done;
      for (const auto& loss : {Loss{Fate::kept, Fate::lost, 0, true}, Loss{Fate::kept, Fate::mixed, sync, true},
                               Loss{Fate::lost, Fate::lost, 0, false}, Loss{Fate::kept, Fate::lost, 0, false}}) {
        if (what.empty()) what = deed.wrong(disk.after(loss), done);
      }
      if (!what.empty()) break;
    }
    EXPECT_TRUE(!what.empty() || !promised || others)
        << "sync " << sync << ", of '" << left.path << "', is missed by nobody";
    if (!what.empty()) ++found;
    if (what.empty() && !promised) ++made_up;
  }
  EXPECT_GT(found, 0U) << "nothing was recorded";
  std::printf(
      "hub, %s: %zu of %zu syncs are missed when they are left out, for %zu others another makes up before anything is "
      "told, %zu are SQLite's own or written again\n",
      name, found, sync, made_up, sync - found - made_up);
}

/// A backup that is there opens, whenever it is.
std::string wrong_backup(const DiskImage& image, bool done) {
  const auto folder = work_folder() / "left";
  put(image, folder);
  const auto file = folder / "hub.backup";
  if (!fs::exists(file)) return done ? "the backup is gone" : "";
  const auto to = work_folder() / "restored";
  fs::remove_all(to);
  const auto restored = hub::restore_backup(file, to, kPassphrase, kNow_s);
  return restored ? "" : "the backup does not open: " + restored.error().text();
}

Deed making() {
  return {scene().making, {}, wrong_backup};
}

/// A hub's folder that is there is whole, whenever it is.
std::string wrong_hub(const DiskImage& image, bool done) {
  const auto folder = work_folder() / "left";
  put(image, folder);
  const auto data = folder / "hub";
  if (!fs::exists(data)) return done ? "the hub is gone" : "";
  for (const auto& [path, content] : scene().kept.files) {
    const auto got = read_text(folder / "hub" / path.substr(1), std::uint64_t{1} << 30U);
    if (!got || *got != *content) return "another content: " + path;
  }
  const auto timestamp = wire::parse_json(read_text(data / "trust/metadata/timestamp.json", 4096).value_or(""), "it");
  if (!timestamp || std::stoll(timestamp->find("signed")->find("version")->text) < kNow_s) {
    return "devices that have seen newer metadata refuse it";
  }
  const auto life = HubLife::open(data, scene().known);
  return life ? (*life)->broken() : "it does not start: " + life.error().text();
}

const Deed& bringing_back() {
  static const Deed made = [] {
    const auto folder = work_folder() / "site";
    fs::create_directories(folder);
    const auto file = scene().backups / "hub.backup";  // Made before this recording begins.
    start_recording(folder.string());
    const auto done = hub::restore_backup(file, folder / "hub", kPassphrase, kNow_s);
    mark("restored");
    Deed deed{stop_recording(), {}, wrong_hub};
    if (!done) throw std::runtime_error(done.error().text());
    return deed;
  }();
  return made;
}

TEST(BackupPowerLoss, EveryPrefixOfABackupLeavesAWholeOneOrNone) {
  expect_every_prefix("backup", making());
}

TEST(BackupPowerLoss, EverySyncOfABackupIsMissed) {
  expect_every_sync_missed("backup", making());
}

TEST(BackupPowerLoss, EveryPrefixOfARestorationLeavesAWholeHubOrNone) {
  expect_every_prefix("restore", bringing_back());
}

TEST(BackupPowerLoss, EverySyncOfARestorationIsMissed) {
  expect_every_sync_missed("restore", bringing_back());
}

TEST(BackupPowerLoss, ARestorationThatWasCutOffIsDoneAgain) {
  const auto& deed = bringing_back();
  ModelledDisk disk(deed.before);
  Replay replay(disk);
  const auto folder = work_folder() / "left";
  for (std::size_t at = 0; at < deed.calls.size(); ++at) {
    replay.apply(deed.calls[at]);
    if (at % 40 != 0) continue;
    put(disk.after({Fate::kept, Fate::mixed, at, false}), folder);
    if (fs::exists(folder / "hub")) continue;
    const auto again = hub::restore_backup(scene().backups / "hub.backup", folder / "hub", kPassphrase, kNow_s);
    ASSERT_TRUE(again) << again.error().text();
    const auto life = HubLife::open(folder / "hub", scene().known);
    ASSERT_TRUE(life) << life.error().text();
    EXPECT_EQ((*life)->broken(), "");
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1) << "something is left";
  }
}

}  // namespace
}  // namespace verge::power_loss
