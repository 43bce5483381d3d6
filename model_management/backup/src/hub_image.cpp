#include "hub_image.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "verge/base/file_system.hpp"
#include "verge/hub/blobs.hpp"
#include "verge/hub/store.hpp"
#include "verge/trust/repository.hpp"

namespace verge::hub {
namespace {

constexpr const char* kImage = ".backup";
constexpr int kTries = 10;
/// Folders of files that are replaced one by one.
constexpr std::array<const char*, 2> kByName{"tls", "trust"};
/// Of these, metadata may change meanwhile: each version is a file of its own, kept for a while, and the timestamp,
/// which is written last and copied first, names those that are in force. The database is copied after them: what it
/// knows more is published when a hub starts on the copy, as after a crash.
bool may_change(const std::filesystem::path& file) {
  return file.parent_path().filename() == "metadata" && file.string().find(".root.json") == std::string::npos;
}

using FileState = std::tuple<std::uint64_t, std::uint64_t, std::filesystem::file_time_type>;

/// What the files were: another content is another file.
Result<std::map<std::string, FileState>> states_of(const std::filesystem::path& data) {
  std::map<std::string, FileState> states;
  for (const auto* part : kByName) {
    std::error_code error;
    std::filesystem::recursive_directory_iterator at(data / part, error);
    for (; !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
      const auto path = at->path().string();
      const auto status = real_file_system().status(path);
      std::error_code gone;
      const auto written = std::filesystem::last_write_time(path, gone);
      if (status && !gone && status->is_file && !may_change(at->path()))
        states[path] = FileState(status->inode, status->size_bytes, written);
    }
    if (error) return file_error("list", (data / part).string(), error.value());
  }
  return states;
}

/// False: it went away meanwhile.
Result<bool> copy_new(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::skip_existing, error);
  if (error == std::errc::no_such_file_or_directory) return false;
  if (error) return file_error("copy", from.string(), error.value());
  return true;
}

/// False: something went away meanwhile.
Result<bool> copy_by_name(const std::filesystem::path& data, const std::filesystem::path& image) {
  const std::filesystem::path timestamp = "trust/metadata/timestamp.json";
  std::error_code error;
  std::filesystem::create_directories((image / timestamp).parent_path(), error);
  if (error) return file_error("make the folder", image.string(), error.value());
  VERGE_ASSIGN(bool whole, copy_new(data / timestamp, image / timestamp));
  for (const auto* part : kByName) {
    std::filesystem::create_directories(image / part, error);
    std::filesystem::recursive_directory_iterator at(data / part, error);
    for (; !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
      const auto to = image / at->path().lexically_relative(data);
      if (std::error_code gone; at->is_directory(gone)) {
        std::filesystem::create_directories(to, error);
        continue;
      }
      VERGE_ASSIGN(const bool there, copy_new(at->path(), to));
      // What is being written has a name with a dot in front, until it is whole.
      whole = whole && (there || at->path().filename().string().starts_with('.'));
    }
    if (error) return file_error("copy", (data / part).string(), error.value());
  }
  // The line for the first login, where it is kept.
  VERGE_TRY(copy_new(data / "login.txt", image / "login.txt"));
  return whole;
}

Result<void> link_blobs(const std::filesystem::path& data, const std::filesystem::path& image) {
  VERGE_ASSIGN(const auto blobs, Blobs::open(data, false));
  VERGE_TRY(Blobs::open(image, false));
  VERGE_ASSIGN(const auto entries, blobs.list());
  for (const auto& entry : entries) {
    if (entry.digest.empty()) continue;
    const auto to = (image / entry.file.lexically_relative(data)).string();
    const auto linked = real_file_system().link(entry.file.string(), to);
    if (!linked && linked.error() != ENOENT) return file_error("link", entry.file.string(), linked.error());
  }
  return {};
}

/// Content that the image's database needs and that is not in it; empty: nothing.
Result<std::string> missing_content(const std::filesystem::path& image) {
  VERGE_ASSIGN(const auto store, Store::open(image / "hub.db"));
  VERGE_ASSIGN(const auto blobs, Blobs::open(image, false));
  std::string missing;
  VERGE_TRY(store->transaction([&](Transaction& transaction) -> Result<void> {
    for (const auto& digest : transaction.needed_content()) {
      if (missing.empty() && !blobs.has(digest)) missing = digest;
    }
    return {};
  }));
  return missing;
}

Result<void> empty_folder(const std::filesystem::path& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error); !error && at != std::filesystem::directory_iterator();) {
    std::filesystem::remove_all(at->path(), error);
    if (!error) at.increment(error);
  }
  return error ? file_error("clear", folder.string(), error.value()) : Result<void>();
}

/// Why it is not all of one moment; empty: it is.
Result<std::string> try_to_take(const std::filesystem::path& data, const std::filesystem::path& image) {
  VERGE_TRY(empty_folder(image));
  VERGE_ASSIGN(const auto before, states_of(data));
  VERGE_ASSIGN(const bool whole, copy_by_name(data, image));
  VERGE_TRY(Store::copy(data / "hub.db", image / "hub.db"));
  VERGE_TRY(link_blobs(data, image));
  VERGE_ASSIGN(const auto after, states_of(data));
  if (!whole || before != after) return "its certificates or keys changed";
  // Opening it checks that all is there which the timestamp names.
  if (const auto trust = trust::Repository::open(image / "trust", {}, std::time(nullptr)); !trust) {
    return trust.error().message();
  }
  VERGE_ASSIGN(auto missing, missing_content(image));
  return missing.empty() ? missing : fmt::format("it lacks the content {}", missing);
}

}  // namespace

HubImage::HubImage(HubImage&& other) noexcept : path_(std::move(other.path_)), lock_(std::move(other.lock_)) {
  other.path_.clear();
}

HubImage::~HubImage() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Result<HubImage> HubImage::take(const std::filesystem::path& data) {
  std::error_code ignored;
  if (!std::filesystem::exists(data / "hub.db", ignored)) {
    return Error(ErrorCode::not_found, "VRG-HUB-086",
                 fmt::format("expected the folder of a hub, got '{}', which has no hub.db; name the folder that "
                             "'verge-hub --data' has",
                             data.string()));
  }
  const auto path = data / kImage;
  const auto made = real_file_system().make_folder(path.string());
  if (!made && made.error() != EEXIST) return file_error("make the folder", path.string(), made.error());
  Descriptor lock(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock || ::flock(lock.number(), LOCK_EX | LOCK_NB) != 0) {
    return Error(ErrorCode::unavailable, "VRG-HUB-089",
                 fmt::format("another backup of '{}' is being made; wait until it has ended", data.string()));
  }
  HubImage image(path, std::move(lock));
  std::string why;
  for (int i = 0; i < kTries; ++i) {
    VERGE_ASSIGN(why, try_to_take(data, path));
    if (why.empty()) return image;
  }
  return Error(
      ErrorCode::unavailable, "VRG-HUB-089",
      fmt::format("the hub in '{}' was not of one piece in {} tries: {}; try again later", data.string(), kTries, why));
}

}  // namespace verge::hub
