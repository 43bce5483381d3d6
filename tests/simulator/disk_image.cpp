// What is on a disk, and the calls that change it.
#include <array>

#include "modelled_disk.hpp"

namespace verge::simulator {

std::string_view name(Call call) noexcept {
  constexpr std::array<std::string_view, 15> kNames{
      "truncate", "create", "open to append", "open",   "read",        "write",         "make readable", "sync",
      "status",   "rename", "link",           "unlink", "make folder", "remove folder", "list"};
  return kNames[static_cast<std::size_t>(call)];
}

bool changes(Call call) noexcept {
  switch (call) {
    case Call::open:
    case Call::read:
    case Call::make_readable:
    case Call::status:
    case Call::list: return false;
    default: return true;
  }
}

std::uint64_t DiskImage::fingerprint() const {
  const std::hash<std::string_view> hash;
  std::uint64_t sum = 0x9E3779B97F4A7C15ULL;
  const auto mix = [&sum](std::uint64_t value) {
    sum ^= value + 0x9E3779B97F4A7C15ULL + (sum << 6U) + (sum >> 2U);
    sum *= 0xBF58476D1CE4E5B9ULL;
  };
  std::map<const std::string*, std::uint64_t> seen;
  for (const auto& [path, content] : files) {
    mix(hash(path));
    mix(hash(*content));
    mix(seen.emplace(content.get(), seen.size()).first->second);
  }
  for (const auto& folder : folders) mix(hash(folder));
  return sum;
}

}  // namespace verge::simulator
