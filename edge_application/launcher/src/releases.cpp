#include "verge/launcher/releases.hpp"

#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/wire/device_pointer.hpp"

namespace verge::launcher {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kDocumentLimitBytes = std::uint64_t{4} << 20U;
constexpr std::string_view kDescription = ".json";
constexpr std::string_view kStarts = ".starts.json";

template <typename T, typename Read>
Result<T> read_as(const fs::path& file, Read read) {
  VERGE_ASSIGN(const auto text, read_text(file, kDocumentLimitBytes));
  const auto name = file.filename().string();
  VERGE_ASSIGN(const auto node, wire::parse_json(text, name));
  return read(node, wire::Place(name));
}

std::string hex_of(const std::string& digest) {
  return digest.substr(digest.find(':') + 1);
}

}  // namespace

std::vector<std::string> environment_of_release() {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("VERGE_ENGINE_PATH=")) variables.emplace_back(*entry);
  }
  return variables;
}

fs::path Releases::folder(const std::string& digest) const {
  return state_ / "agents" / hex_of(digest);
}

fs::path Releases::file(const std::string& digest, const char* end) const {
  return state_ / "agents" / (hex_of(digest) + end);
}

Result<wire::InstalledAgent> Releases::installed(const std::string& digest) const {
  return read_as<wire::InstalledAgent>(file(digest, kDescription.data()), wire::read_installed_agent);
}

Result<wire::InstalledAgent> Releases::check(const std::string& digest) const {
  VERGE_ASSIGN(auto release, installed(digest));
  const auto damaged = [&](const std::string& path, std::string_view got) {
    return Error(
        ErrorCode::data_loss, "VRG-LCH-001",
        fmt::format("release {} of the agent is damaged: '{}': {}; it is installed anew", release.release, path, got));
  };
  for (const auto& part : release.files) {
    VERGE_ASSIGN(const auto path, path_inside(folder(digest), part.path));
    const auto got = crypto::sha256_of_file(path, static_cast<std::uint64_t>(part.size_bytes) + 1);
    if (!got) return damaged(part.path, got.error().message());
    if (got->digest != part.digest) return damaged(part.path, "its content is another");
  }
  VERGE_TRY(path_inside(folder(digest), release.program));
  if (std::ranges::find(release.files, release.program, &wire::InstalledFile::path) == release.files.end()) {
    return damaged(release.program, "it is not among the files");
  }
  return release;
}

Result<void> Releases::set_installed(const std::string& digest, const wire::InstalledAgent& release) const {
  return write_file(file(digest, kDescription.data()), std::string_view(wire::write_json(wire::to_node(release))));
}

void Releases::keep_only(const std::set<std::string>& digests) const {
  std::set<std::string> kept;
  for (const auto& digest : digests) kept.insert(hex_of(digest));
  std::error_code failed;
  std::vector<fs::path> gone;
  fs::directory_iterator entries(state_ / "agents", failed);
  for (; !failed && entries != fs::directory_iterator(); entries.increment(failed)) {
    const auto name = entries->path().filename().string();
    if (!kept.contains(name.substr(0, name.find('.')))) gone.push_back(entries->path());
  }
  // Those that say that a folder is whole go before it.
  std::ranges::sort(gone, [](const fs::path& a, const fs::path& b) { return a.native().size() > b.native().size(); });
  for (const auto& path : gone) fs::remove_all(path, failed);
}

wire::AgentStarts Releases::starts(const std::string& digest) const {
  auto read = read_as<wire::AgentStarts>(file(digest, kStarts.data()), wire::read_agent_starts);
  if (read) return std::move(*read);
  wire::AgentStarts none;
  none.version = 1;
  return none;
}

void Releases::write(const std::string& digest, const wire::AgentStarts& starts) const {
  (void)write_file(file(digest, kStarts.data()), std::string_view(wire::write_json(wire::to_node(starts)))).has_value();
}

void Releases::note_start(const std::string& digest) const {
  auto noted = starts(digest);
  ++noted.cut_off;  // Until somebody sees how it ends.
  write(digest, noted);
}

void Releases::note_failed(const std::string& digest, const std::string& reason, std::int64_t weight) const {
  auto noted = starts(digest);
  noted.failed += weight;
  noted.cut_off = 0;
  noted.reason = reason.substr(0, 1024);
  write(digest, noted);
}

void Releases::forget_starts(const std::string& digest) const {
  std::error_code ignored;
  fs::remove(file(digest, kStarts.data()), ignored);
}

std::optional<Choice> Releases::choose(std::vector<std::string>& told) {
  for (const auto* which : {"active.json", "previous.json"}) {
    const auto pointer =
        read_as<wire::DevicePointer>(state_ / "applications" / "verge-agent" / which, wire::read_device_pointer);
    // Without an active one it is that of the system that is wanted, whatever was there before.
    if (!pointer && pointer.error().code() == ErrorCode::not_found) return std::nullopt;
    if (!pointer) {
      told.push_back(pointer.error().text());
      continue;
    }
    const auto noted = starts(pointer->digest);
    if (noted.failed >= kMostFailed || noted.cut_off >= kMostCutOff) {
      told.push_back(fmt::format(
          "release {} is passed over: {}", pointer->version,
          noted.failed >= kMostFailed
              ? fmt::format("it ended {} times before it had lasted: {}", noted.failed, noted.reason.value_or(""))
              : fmt::format("the machine went off with it {} times", noted.cut_off)));
      continue;
    }
    const auto whole = check(pointer->digest);
    if (!whole) {
      told.push_back(whole.error().text());
      continue;
    }
    return Choice{pointer->digest, whole->release, folder(pointer->digest) / whole->program};
  }
  return std::nullopt;
}

}  // namespace verge::launcher
