#include "key_file.hpp"

#include <sys/stat.h>

#include <cstring>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/base/file_system.hpp"

namespace verge::at_rest {
namespace {

Error unusable(ErrorCode code, const std::filesystem::path& path, std::string_view why) {
  return Error(code, "VRG-RST-012",
               fmt::format("the key file '{}' {}; what is stored cannot be opened without it. Bring it back, or throw "
                           "away what is stored with 'verge-agent keys reset': the hub sends the models again",
                           path.string(), why));
}

}  // namespace

Result<Secret> read_key_file(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return unusable(ErrorCode::not_found, path, std::strerror(errno));
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return unusable(ErrorCode::permission_denied, path,
                    fmt::format("is open to others: expected the mode 0600, got {:04o}", status.st_mode & 07777U));
  }
  VERGE_ASSIGN(auto bytes, read_file(path, Secret::kBytes));
  if (bytes.size() != Secret::kBytes) {
    return unusable(ErrorCode::data_loss, path, fmt::format("has {} bytes, expected {}", bytes.size(), Secret::kBytes));
  }
  Secret key;
  std::memcpy(key.bytes().data(), bytes.data(), bytes.size());
  clear(bytes.data(), bytes.size());
  return key;
}

Result<void> write_key_file(const std::filesystem::path& path, const Secret& key) {
  FileSystem& system = real_file_system();
  const std::string temporary = path.string() + ".part";
  VERGE_TRY(make_durable_folder(system, path.parent_path().string()));
  (void)system.unlink(temporary).has_value();
  const auto number = system.create(temporary);
  if (!number) return file_error("write", path.string(), number.error());
  const OpenFile file(system, *number);
  auto done = file.write_all(key.bytes());
  if (done) done = system.sync(file.get());
  if (done) done = system.rename(temporary, path.string());
  if (!done) return file_error("write", path.string(), done.error());
  return sync_path(system, path.parent_path().string());
}

}  // namespace verge::at_rest
