// Measured agent: a verge-agent of our own that serves one model while it is measured.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "verge/base/error.hpp"
#include "verge/base/file.hpp"
#include "verge/http_client/client.hpp"
#include "verge/process/child.hpp"

namespace verge::cli {

/// Ends with this object.
class MeasuredAgent {
 public:
  /// `engine` and `threads` as they are measured without it. Errors: unavailable (VRG-CLI-031) with what it said.
  static Result<std::unique_ptr<MeasuredAgent>> start(const std::filesystem::path& package, const std::string& engine,
                                                      unsigned threads);

  /// The answer's body. Errors: the agent's.
  Result<std::string> post(const std::string& path, const std::string& body, const std::string& content_type,
                           std::size_t json_bytes);

 private:
  explicit MeasuredAgent(TemporaryFolder folder) : folder_(std::move(folder)) {}
  Result<std::string> wait_for_url(const std::filesystem::path& log);

  TemporaryFolder folder_;
  std::optional<process::Child> child_;
  std::unique_ptr<http_client::Client> client_;
};

}  // namespace verge::cli
