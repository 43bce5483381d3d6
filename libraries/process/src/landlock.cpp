#include "landlock.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "verge/base/descriptor.hpp"

namespace verge::process {
namespace {

// Debian 12's headers know version 2; the numbers are the kernel's and do not change.
constexpr std::uint64_t kFilesOfVersion1 = (1ULL << 13U) - 1;
constexpr std::uint64_t kRefer = 1ULL << 13U;        // Version 2.
constexpr std::uint64_t kTruncate = 1ULL << 14U;     // 3.
constexpr std::uint64_t kTcp = 3;                    // 4: bind and connect.
constexpr std::uint64_t kDeviceIoctl = 1ULL << 15U;  // 5.
constexpr std::uint64_t kSocketsAndSignals = 3;      // 6: abstract Unix sockets and signals of others.

struct Ruleset {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
  std::uint64_t scopes = 0;
};

std::size_t known_size(int version) noexcept {
  if (version < 4) return sizeof(std::uint64_t);
  return version < 6 ? 2 * sizeof(std::uint64_t) : sizeof(Ruleset);
}

bool allow_reading(int ruleset, const char* path) noexcept {
  const Descriptor place(::open(path, O_PATH | O_CLOEXEC));
  if (!place) return true;  // Not there: nothing to read.
  struct stat status {};
  if (::fstat(place.number(), &status) != 0) return false;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE;
  if (S_ISDIR(status.st_mode)) rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
  rule.parent_fd = place.number();
  return ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

}  // namespace

int landlock_version() noexcept {
  const auto version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return version < 0 ? 0 : static_cast<int>(version);
}

bool restrict_files(std::span<const std::filesystem::path> readable) noexcept {
  const int version = landlock_version();
  if (version == 0) return false;
  Ruleset all{kFilesOfVersion1};
  if (version >= 2) all.files |= kRefer;
  if (version >= 3) all.files |= kTruncate;
  if (version >= 4) all.network = kTcp;
  if (version >= 5) all.files |= kDeviceIoctl;
  if (version >= 6) all.scopes = kSocketsAndSignals;
  const Descriptor ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &all, known_size(version), 0)));
  if (!ruleset) return false;
  for (const auto& path : readable) {
    if (!allow_reading(ruleset.number(), path.c_str())) return false;
  }
  return ::syscall(SYS_landlock_restrict_self, ruleset.number(), 0) == 0;
}

}  // namespace verge::process
