// What is sent to a hub as metadata signed elsewhere: root, targets, a delegated role. The first byte says which of
// them are taken as they are; the others get a valid signature. Whatever it is, devices that trust what is in force go
// on.
#include <map>

#include "canonical_json.hpp"
#include "files.hpp"
#include "repository_files.hpp"
#include "verge/base/file.hpp"
#include "verge/trust/ceremony.hpp"

using namespace verge;

namespace {

constexpr std::int64_t kNow_s = 1'800'000'000;

struct Device final : trust::MetadataStore, trust::MetadataSource {
  explicit Device(const trust::Repository& at) : repository(at) {}
  Result<std::string> read(std::string_view role) override {
    const auto found = stored.find(role);
    if (found == stored.end()) return Error(ErrorCode::not_found, "VRG-TUF-011", "none");
    return found->second;
  }
  Result<void> write(std::string_view role, std::string_view content) override {
    stored.insert_or_assign(std::string(role), std::string(content));
    return {};
  }
  Result<std::string> fetch(std::string_view name, std::uint64_t) override { return repository.metadata(name); }
  const trust::Repository& repository;
  trust::MetadataFiles stored;
};

/// A repository in a folder of its own, and its keys.
struct Hub {
  TemporaryFolder folder = std::move(*TemporaryFolder::create("fuzz"));
  trust::Repository repository = std::move(*trust::Repository::open(folder.path(), {}, kNow_s));
  crypto::PrivateKey root = *trust::read_private_key(folder.path(), "root", false);
  crypto::PrivateKey targets = *trust::read_private_key(folder.path(), "targets", false);
};

std::string file_of(const std::string& text, bool raw, const crypto::PrivateKey& key) {
  auto node = wire::parse_json(text, "fuzz");
  if (raw || !node || !trust::canonical_json(*node)) return text;
  return *trust::signed_file(std::move(*node), {&key});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  if (size_bytes == 0) return 0;
  static_cast<void>(fuzz::folder());  // In memory.
  const auto texts = fuzz::parts(data + 1, size_bytes - 1, 4);
  Hub hub;
  Device device(hub.repository);
  auto client = trust::Client::open(device, hub.repository.root());
  if (!client || !client->refresh(device, kNow_s)) __builtin_trap();
  trust::MetadataFiles files;
  files["2.root.json"] = file_of(texts[0], (data[0] & 1U) != 0, hub.root);
  files["2.targets.json"] = file_of(texts[1], (data[0] & 2U) != 0, hub.targets);
  files["1.team.json"] = file_of(texts[2], (data[0] & 4U) != 0, hub.targets);
  for (const auto& [name, text] : trust::MetadataFiles(files)) {
    if (text.empty()) files.erase(name);
  }
  if (!texts[3].empty()) files[texts[3]] = texts[1];
  (void)trust::is_publication_file(texts[3]);
  const bool accepted = hub.repository.accept(files, (data[0] & 8U) != 0, kNow_s).has_value();
  if ((data[0] & 8U) == 0 || !accepted) {
    if (!client->refresh(device, kNow_s)) __builtin_trap();
  }
  // And it opens again.
  if (!trust::Repository::open(hub.folder.path(), {}, kNow_s)) __builtin_trap();
  return 0;
}
