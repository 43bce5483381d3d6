// API: HTTP in front of the hub, by the table of schemas/hub/routes.json.
#pragma once

#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>

#include "verge/base/log.hpp"
#include "verge/http/server.hpp"
#include "verge/hub/hub.hpp"

namespace verge::hub {

/// Thread-safe. The hub and the log must outlive it and every request.
class Api {
 public:
  Api(Hub& hub, Log& log, std::filesystem::path upload_folder);

  http::Response handle(const http::Request& request);
  /// Where a request's body goes: blobs into the folder of uploads when the caller may publish, else memory.
  std::filesystem::path body_folder(const http::Request& head);

 private:
  Result<Principal> who(const http::Request& request);

  Hub& hub_;
  Log& log_;
  std::filesystem::path upload_folder_;
  std::mutex mutex_;
  std::unordered_set<std::string> publishers_;  ///< Digests of headers that were seen to allow it.
};

}  // namespace verge::hub
