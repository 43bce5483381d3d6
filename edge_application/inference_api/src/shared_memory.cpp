#include "verge/inference_api/shared_memory.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "guarded_mapping.hpp"

namespace verge::inference_api {
namespace {

constexpr std::size_t kMaxRegions = 1024;  // Each keeps a descriptor.

Error refused(std::string_view id, std::string message) {
  return Error(ErrorCode::invalid_argument, id, std::move(message));
}

std::uint64_t present_bytes(int descriptor) noexcept {
  struct stat status {};
  return fstat(descriptor, &status) == 0 && status.st_size > 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

bool holds(std::uint64_t whole, std::uint64_t offset, std::uint64_t size) noexcept {
  return offset <= whole && size <= whole - offset;
}

/// Names of POSIX shared memory: one slash in front and none behind it.
bool is_key(std::string_view key) noexcept {
  return key.size() >= 2 && key.size() <= 255 && key[0] == '/' && key.find('/', 1) == std::string_view::npos &&
         key.find('\0') == std::string_view::npos && key != "/." && key != "/..";
}

Error shrunk(const SharedMemory::Region& region) {
  return refused("VRG-API-035",
                 fmt::format("the shared memory '{}' is smaller now than the {} bytes that were registered; register "
                             "it again after changing its size",
                             region.key, region.size_bytes));
}

}  // namespace

struct MappedPart::Open {
  SharedMemory::Region region;
  int descriptor = -1;
  std::unique_ptr<GuardedMapping> mapping{};
  explicit Open(SharedMemory::Region r, int opened) : region(std::move(r)), descriptor(opened) {}
  ~Open() { ::close(descriptor); }
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
  Open(Open&&) = delete;
  Open& operator=(Open&&) = delete;

  /// Whether `size_bytes` from `offset_bytes` of the region on are there now.
  [[nodiscard]] bool has(std::uint64_t offset_bytes, std::uint64_t size_bytes) const noexcept {
    return holds(present_bytes(descriptor), region.offset_bytes + offset_bytes, size_bytes);
  }
};

MappedPart::MappedPart(std::shared_ptr<const Open> open, std::span<std::byte> bytes)
    : bytes_(bytes), owner_(std::move(open)) {}

Result<void> MappedPart::check() const {
  const Open& open = *static_cast<const Open*>(owner_.get());
  if (!open.mapping->broken()) return {};
  const auto offset = static_cast<std::uint64_t>(bytes_.data() - open.mapping->bytes().data());
  if (!open.has(offset, bytes_.size())) return shrunk(open.region);
  return Error(
      ErrorCode::resource_exhausted, "VRG-API-036",
      fmt::format("the shared memory '{}' was shrunk for a moment, or takes no more; leave its size alone, or make "
                  "/dev/shm larger, and register it again",
                  open.region.key));
}

Result<void> SharedMemory::add(Region region) {
  if (region.name.empty() || region.name.size() > 1024 || region.size_bytes == 0) {
    return refused("VRG-API-030", fmt::format("expected a region with a name and 'byte_size' above 0, got '{}' and {}; "
                                              R"(for example {{"key":"/input","offset":0,"byte_size":602112}})",
                                              region.name, region.size_bytes));
  }
  const std::string key = region.key.starts_with('/') ? region.key : "/" + region.key;
  if (!is_key(key)) {
    return refused("VRG-API-030", fmt::format("expected 'key' as a name of shm_open() such as '/input', got '{}'",
                                              region.key.substr(0, 80)));
  }
  const int descriptor = ::shm_open(key.c_str(), O_RDWR | O_CLOEXEC, 0);
  if (descriptor < 0) {
    return Error(ErrorCode::not_found, "VRG-API-031",
                 fmt::format("the shared memory '{}' cannot be opened: {}; make it with shm_open(), readable and "
                             "writable for the agent",
                             key, std::strerror(errno)));
  }
  auto open = std::make_shared<Open>(std::move(region), descriptor);
  struct stat status {};
  const auto present = present_bytes(descriptor);
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) ||
      !holds(present, open->region.offset_bytes, open->region.size_bytes)) {
    return refused("VRG-API-030",
                   fmt::format("region '{}' is said to have {} bytes from byte {} on, but '{}' has {}; give the size "
                               "that ftruncate() was called with",
                               open->region.name, open->region.size_bytes, open->region.offset_bytes, key, present));
  }
  VERGE_ASSIGN(open->mapping, GuardedMapping::map(descriptor, open->region.offset_bytes, open->region.size_bytes));
  const std::lock_guard lock(mutex_);
  if (regions_.size() >= kMaxRegions) {
    return Error(ErrorCode::resource_exhausted, "VRG-API-033",
                 fmt::format("{} regions are registered already; unregister those that are not used", kMaxRegions));
  }
  if (!regions_.emplace(open->region.name, open).second) {
    return Error(ErrorCode::already_exists, "VRG-API-032",
                 fmt::format("a region '{}' is registered already; unregister it first", open->region.name));
  }
  return {};
}

void SharedMemory::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = regions_.find(name);
  if (found != regions_.end()) regions_.erase(found);
}

void SharedMemory::remove_all() {
  const std::lock_guard lock(mutex_);
  regions_.clear();
}

Result<std::vector<SharedMemory::Region>> SharedMemory::list(std::string_view name) const {
  std::vector<Region> regions;
  const std::lock_guard lock(mutex_);
  for (const auto& [known, open] : regions_) {
    if (name.empty() || known == name) regions.push_back(open->region);
  }
  if (!name.empty() && regions.empty()) {
    return Error(ErrorCode::not_found, "VRG-API-034", fmt::format("no region '{}' is registered", name));
  }
  return regions;
}

std::shared_ptr<const SharedMemory::Open> SharedMemory::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = regions_.find(name);
  return found == regions_.end() ? nullptr : found->second;
}

Result<MappedPart> SharedMemory::map(const SharedMemoryPart& part) const {
  auto open = find(part.region);
  if (open == nullptr) {
    return refused("VRG-API-034", fmt::format("no region '{}' is registered; register it with POST "
                                              "/v2/systemsharedmemory/region/{}/register",
                                              part.region, part.region));
  }
  if (part.size_bytes > max_part_bytes_) {
    return refused("VRG-API-035", fmt::format("expected at most {} bytes of shared memory for one tensor, got {}",
                                              max_part_bytes_, part.size_bytes));
  }
  if (!holds(open->region.size_bytes, part.offset_bytes, part.size_bytes)) {
    return refused("VRG-API-035",
                   fmt::format("expected a part of region '{}' with its {} bytes, got {} bytes from byte "
                               "{} on",
                               part.region, open->region.size_bytes, part.size_bytes, part.offset_bytes));
  }
  if (!open->has(part.offset_bytes, part.size_bytes)) return shrunk(open->region);
  const auto bytes = open->mapping->bytes().subspan(static_cast<std::size_t>(part.offset_bytes),
                                                    static_cast<std::size_t>(part.size_bytes));
  MappedPart mapped(std::move(open), bytes);
  VERGE_TRY(mapped.check());  // Broken once, zeros for ever.
  return mapped;
}

}  // namespace verge::inference_api
