// A collection of garbage, and a push, killed at each of their operations on files; SQLite's are among them.
//
// The C library's functions that change files are replaced in this program: they count, and end the process with
// SIGKILL when their turn comes. The child that is killed works on a copy of a hub's folder; then the copy is opened
// again, must be whole, and must come to the same end.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fleet_of.hpp"
#include "verge/wire/document.hpp"

namespace {

/// Operations until the end; negative: none is meant.
int g_left = -1;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): read by functions of the C library.

void count() {
  if (g_left > 0 && --g_left == 0) ::kill(::getpid(), SIGKILL);
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): names of the C library's own.
int rename(const char* from, const char* to) noexcept {
  count();
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int unlink(const char* path) noexcept {
  count();
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
int remove(const char* path) noexcept {
  count();
  if (::syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0) return 0;
  return errno == EISDIR ? static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR)) : -1;
}
int fsync(int /*file*/) {
  count();
  return 0;  // Processes end here, not power: what was written is there.
}
int fdatasync(int /*file*/) {
  count();
  return 0;
}
int ftruncate(int file, off_t size) noexcept {
  count();
  return static_cast<int>(::syscall(SYS_ftruncate, file, size));
}
int ftruncate64(int file, off64_t size) noexcept {
  count();
  return static_cast<int>(::syscall(SYS_ftruncate, file, size));
}
ssize_t write(int file, const void* bytes, size_t size) {
  count();
  return ::syscall(SYS_write, file, bytes, size);
}
ssize_t pwrite(int file, const void* bytes, size_t size, off_t offset) {
  count();
  return ::syscall(SYS_pwrite64, file, bytes, size, offset);
}
ssize_t pwrite64(int file, const void* bytes, size_t size, off64_t offset) {
  count();
  return ::syscall(SYS_pwrite64, file, bytes, size, offset);
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
}
#pragma GCC visibility pop

namespace verge::hub {
namespace {

constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
using Work = std::function<void(Hub&, const Principal&)>;

class HubKills : public HubTest {
 protected:
  /// How a hub's folder is: what each repository and the disk have. Fails when a manifest names what is gone.
  std::string state_of(Hub& hub) {
    std::string state;
    auto& registry = hub.registry();
    for (const auto& repository : must(registry.repositories(admin_))) {
      for (const auto& tag : must(registry.tags(admin_, repository))) {
        const auto manifest = must(registry.manifest(admin_, repository, tag));
        state += repository + ":" + tag + "=" + manifest.digest + "\n";
        const auto node = must(wire::parse_json(manifest.content, "manifest"));
        std::vector<std::string> named;
        if (const auto* config = node.find("config")) named.push_back(config->find("digest")->text);
        if (const auto* layers = node.find("layers")) {
          for (const auto& layer : layers->items) named.push_back(layer.find("digest")->text);
        }
        for (const auto& digest : named) {
          const auto blob = registry.blob(admin_, repository, digest);
          EXPECT_TRUE(blob) << manifest.digest << " names " << digest;
          if (!blob) continue;
          EXPECT_EQ(crypto::sha256_of_file(blob->file, 1U << 20U)->digest, digest);
        }
      }
    }
    return state;
  }
  std::string files_of(const std::filesystem::path& folder) {
    std::set<std::string> names;
    for (const char* part : {"blobs/sha256", "blobs/sha512", "uploads"}) {
      for (const auto& entry : std::filesystem::directory_iterator(folder / part)) {
        names.insert(entry.path().filename().string());
      }
    }
    std::string text;
    for (const auto& name : names) text += name + "\n";
    return text;
  }
  /// Whatever the database says is there must be there, whole; what manifests name is among it.
  void check_whole(const std::filesystem::path& folder) {
    const auto list = folder / "list";
    const auto command = "sqlite3 " + (folder / "hub.db").string() +
                         " 'select digest from blobs union select digest from manifests union select blob from "
                         "manifest_blobs union select digest from versions' > " +
                         list.string();
    ASSERT_EQ(std::system(command.c_str()), 0);
    std::ifstream lines(list);
    std::string digest;
    while (std::getline(lines, digest)) {
      const auto colon = digest.find(':');
      const auto file = folder / "blobs" / digest.substr(0, colon) / digest.substr(colon + 1);
      const auto got = crypto::digest_of_file(*crypto::algorithm_of(digest), file, 1U << 20U);
      EXPECT_TRUE(got) << digest;
      if (got) {
        EXPECT_EQ(got->digest, digest);
      }
    }
    std::filesystem::remove(list);
  }
  std::unique_ptr<Hub> open_at(const std::filesystem::path& folder) {
    return must(Hub::open({folder, {}, [this] { return now_ms_; }, "1", setup_}, log_));
  }
  /// Does the work on a copy, killed at its operation number `at`; whether it was killed.
  bool killed(const std::filesystem::path& copy, const Work& work, int at) {
    std::filesystem::remove_all(copy);
    std::filesystem::copy(folder_.path() / "hub", copy, std::filesystem::copy_options::recursive);
    const auto child = ::fork();
    if (child == 0) {
      auto hub = open_at(copy);
      now_ms_ += 2 * 3'600'000;
      g_left = at;
      work(*hub, admin_);
      g_left = -1;
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  /// Kills the work everywhere; afterwards and after doing it again, everything is as if nothing had happened.
  void kill_everywhere(const Work& work) {
    hub_.reset();
    const auto copy = folder_.path() / "copy";
    ASSERT_FALSE(killed(copy, work, 0));
    std::string expected;
    std::string files;
    const auto finish = [&] {
      auto hub = open_at(copy);
      static_cast<void>(state_of(*hub));
      const auto before = now_ms_;
      now_ms_ += 2 * 3'600'000;
      work(*hub, admin_);
      now_ms_ += std::int64_t{8} * 86400 * 1000;  // A push that was killed leaves an upload for a week.
      EXPECT_TRUE(hub->registry().collect_garbage(admin_, false, true));
      now_ms_ = before;
      return state_of(*hub);
    };
    expected = finish();
    files = files_of(copy);
    int at = 1;
    for (; killed(copy, work, at); ++at) {
      check_whole(copy);
      EXPECT_EQ(finish(), expected) << "killed at operation " << at;
      EXPECT_EQ(files_of(copy), files) << "killed at operation " << at;
    }
    RecordProperty("operations", at - 1);
    std::printf("killed at each of %d operations\n", at - 1);
    EXPECT_GT(at, 10);
  }
};

TEST_F(HubKills, ACollectionMayEndAnywhere) {
  push("cat", "1.0.0");
  push("cat", "2.0.0");
  ASSERT_TRUE(hub_->delete_model_version(admin_, "cat", "1.0.0"));
  blob("a", "lone");
  blob("a", "lone", crypto::DigestAlgorithm::sha512);
  const auto config = blob("a", "config");
  const auto manifest = R"({"config":{"mediaType":"a/b","digest":")" + config + R"("},"layers":[]})";
  ASSERT_TRUE(hub_->registry().put_manifest(admin_, "a", crypto::sha256(manifest), kManifestType, manifest));
  kill_everywhere([](Hub& hub, const Principal& admin) { must(hub.registry().collect_garbage(admin, false, true)); });
}

TEST_F(HubKills, APushMayEndAnywhere) {
  push("cat", "1.0.0");
  kill_everywhere([this](Hub& hub, const Principal& admin) {
    auto& registry = hub.registry();
    const auto id = must(registry.begin_upload(admin, "a")).id;
    const auto file = folder_.path() / "pushed";
    ASSERT_TRUE(write_file(file, std::string_view("config")));
    const auto config = must(registry.finish(admin, "a", id, crypto::sha256("config"), {file})).digest;
    const auto manifest = R"({"config":{"mediaType":"a/b","digest":")" + config + R"("},"layers":[]})";
    must(registry.put_manifest(admin, "a", "v1", kManifestType, manifest));
  });
}

TEST_F(HubKills, ADeletionMayEndAnywhere) {
  push("cat", "1.0.0");
  push("cat", "2.0.0");
  kill_everywhere([](Hub& hub, const Principal& admin) {
    // Done again after a crash that came when it was done already.
    const auto deleted = hub.delete_model_version(admin, "cat", "1.0.0");
    EXPECT_TRUE(deleted || deleted.error().id() == "VRG-HUB-005");
  });
}

}  // namespace
}  // namespace verge::hub
