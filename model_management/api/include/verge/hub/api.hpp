// API: HTTP in front of the hub, by the table of schemas/hub/routes.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>

#include "verge/base/log.hpp"
#include "verge/http/server.hpp"
#include "verge/hub/hub.hpp"

namespace verge::hub {

class RegistryTokens;

/// Thread-safe. The hub and the log must outlive it and every request.
class Api {
 public:
  Api(Hub& hub, Log& log, std::filesystem::path upload_folder);
  ~Api();

  http::Response handle(const http::Request& request);
  /// Where a request's body goes: blobs into the folder of uploads when the caller may publish, else memory.
  std::filesystem::path body_folder(const http::Request& head);
  /// How many bytes such a body may have: as much as its repository, the registry and the disk have room for.
  std::uint64_t file_limit(const http::Request& head);
  /// What is said to a body that has more.
  http::Response too_large(const http::Request& head, std::uint64_t limit_bytes);

 private:
  struct Caller;
  Result<Caller> who(const http::Request& request);

  Hub& hub_;
  Log& log_;
  std::filesystem::path upload_folder_;
  std::unique_ptr<RegistryTokens> tokens_;
  std::mutex mutex_;
  std::unordered_set<std::string> publishers_;  ///< Digests of headers that were seen to allow it.
};

}  // namespace verge::hub
