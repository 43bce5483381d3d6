// Tokens: who may use the API from elsewhere. The file keeps digests only:
//
//   # name: digest of the token
//   line-3: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/base/log.hpp"
#include "watched_files.hpp"

namespace verge::agent {

/// Thread-safe. A file that changes is read again; a broken one changes nothing, and the log says so.
class Tokens {
 public:
  /// Errors: invalid_argument (VRG-AGT-021) with the line; those of read_text().
  static Result<std::unique_ptr<Tokens>> open(const std::filesystem::path& file, Log& log);

  /// The name of the token in "Bearer …". Errors: unauthenticated (VRG-AGT-022).
  Result<std::string> check(std::string_view authorization);

 private:
  Tokens(std::filesystem::path file, Log& log);
  Result<void> read();

  const std::filesystem::path file_;
  Log& log_;
  WatchedFiles watched_;
  std::mutex mutex_;
  std::map<std::string, std::string> digests_;  ///< By name.
};

/// Makes a token called `name` and adds its digest to the file, made when absent; or, without a file, gives the line to
/// add. Errors: invalid_argument (VRG-AGT-021 the name, or the file), already_exists (VRG-AGT-023).
struct NewToken {
  std::string token;
  std::string line;
};
Result<NewToken> make_token(const std::string& name, const std::filesystem::path& file);

}  // namespace verge::agent
