// Any metadata: root, timestamp, snapshot, targets and a delegated role, cut by zero bytes. The first byte says which
// of them are taken as they are; the others are the signed part, and get a valid signature: a fuzzer finds none by
// itself.
#include <map>

#include "canonical_json.hpp"
#include "files.hpp"
#include "repository_files.hpp"
#include "verge/trust/client.hpp"

using namespace verge;

namespace {

constexpr std::int64_t kNow_s = 1'800'000'000;
constexpr std::string_view kTarget = "a/b";

struct Memory final : trust::MetadataStore, trust::MetadataSource {
  Result<std::string> read(std::string_view role) override { return get(stored, role); }
  Result<void> write(std::string_view role, std::string_view content) override {
    stored.insert_or_assign(std::string(role), std::string(content));
    return {};
  }
  Result<std::string> fetch(std::string_view name, std::uint64_t) override {
    // "7.snapshot.json" and "snapshot.json" are the same file here; there is one root to rotate to.
    const auto dot = name.find('.');
    const auto role = name.substr(0, name.rfind('.'));
    const bool versioned = dot < role.size();
    if (role.ends_with("root") && (name != "2.root.json" || offered.find("root")->second.empty()))
      return Error(ErrorCode::not_found, "VRG-TUF-011", "none");
    const auto bare = versioned ? role.substr(dot + 1) : role;
    return get(offered, offered.find(bare) == offered.end() ? "delegated" : bare);
  }
  using Files = std::map<std::string, std::string, std::less<>>;
  static Result<std::string> get(const Files& files, std::string_view name) {
    const auto found = files.find(name);
    if (found == files.end()) return Error(ErrorCode::not_found, "VRG-TUF-011", "none");
    return found->second;
  }
  Files stored;
  Files offered;
};

const trust::RoleKeys& keys() {
  static const trust::RoleKeys made = [] {
    trust::RoleKeys keys;
    const auto key = crypto::PrivateKey::generate(crypto::KeyKind::ed25519);
    for (const char* role : {"root", "timestamp", "snapshot", "targets"}) keys.insert_or_assign(role, key);
    return keys;
  }();
  return made;
}

std::string file_of(const std::string& text, bool raw) {
  auto node = wire::parse_json(text, "fuzz");
  if (raw || !node || !trust::canonical_json(*node)) return text;
  return *trust::signed_file(std::move(*node), {&keys().begin()->second});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  if (size_bytes == 0) return 0;
  const unsigned raw = data[0];
  const auto texts = fuzz::parts(data + 1, size_bytes - 1, 5);
  Memory memory;
  unsigned bit = 1;
  std::size_t at = 0;
  for (const char* role : {"root", "timestamp", "snapshot", "targets", "delegated"}) {
    memory.offered[role] = file_of(texts[at++], (raw & bit) != 0);
    bit <<= 1U;
  }
  static const std::string root =
      *trust::signed_file(trust::root_metadata(trust::root_of(keys(), 1, kNow_s + 1)), {&keys().begin()->second});
  auto client = trust::Client::open(memory, root);
  if (!client) __builtin_trap();
  const bool refreshed = client->refresh(memory, kNow_s).has_value();
  if (refreshed != memory.stored.contains("targets")) __builtin_trap();
  const auto target = client->target(memory, kTarget, kNow_s);
  if (target && target->path != kTarget) __builtin_trap();
  if (target && !refreshed) __builtin_trap();
  (void)client->load_all(memory, kNow_s);
  (void)client->top_level_targets();
  // What was stored is taken again.
  if (!trust::Client::open(memory, "")) __builtin_trap();
  return 0;
}
