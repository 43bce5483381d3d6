// Hub image: what a hub's folder holds at one moment, in a folder beside it, while the hub goes on.
#pragma once

#include <filesystem>

#include "verge/base/descriptor.hpp"
#include "verge/base/error.hpp"

namespace verge::hub {

/// A folder inside the hub's own, gone with the object. Content is linked, all else copied.
class HubImage {
 public:
  /// Errors: not_found (VRG-HUB-086 `data` is no hub's folder), unavailable (VRG-HUB-089 another one is being made, or
  /// the hub does not stay the same for a moment); the disk's and the database's.
  static Result<HubImage> take(const std::filesystem::path& data);
  HubImage(HubImage&& other) noexcept;
  HubImage& operator=(HubImage&&) = delete;
  HubImage(const HubImage&) = delete;
  HubImage& operator=(const HubImage&) = delete;
  ~HubImage();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  HubImage(std::filesystem::path path, Descriptor lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  Descriptor lock_;  ///< Held on the folder.
};

}  // namespace verge::hub
