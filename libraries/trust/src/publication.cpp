// Publication: metadata that others signed, checked as clients do and put in force as one.
#include <algorithm>

#include <fmt/format.h>

#include "repository_state.hpp"
#include "verge/base/file.hpp"

namespace verge::trust {
namespace {

/// What is decided lies here until it is in force; a crash goes on with it.
constexpr std::string_view kDecided = "publishing";
constexpr std::string_view kUndecided = "publishing.tmp";
/// Beside the metadata: all that was there before goes.
constexpr std::string_view kAdopt = "adopt";
/// As the time of a check: a team that comes late with its delegated role holds up nobody else.
constexpr std::int64_t kNoExpiry = 0;

Error no_file(std::string_view name, std::string_view why) {
  return Error(
      ErrorCode::invalid_argument, "VRG-TUF-012",
      fmt::format("expected new metadata of root, targets or delegated roles, such as '2.root.json', got '{}': {}",
                  name, why));
}

Error io_error(const std::filesystem::path& path, const std::error_code& failed) {
  return Error(ErrorCode::unavailable, "VRG-BAS-001",
               fmt::format("cannot change '{}': {}", path.string(), failed.message()));
}

/// What a client of the old metadata has stored, and what it would be offered.
class Offer final : public MetadataStore, public MetadataSource {
 public:
  explicit Offer(const std::filesystem::path& folder) : folder_(folder) {}
  Result<std::string> read(std::string_view role) override { return get(stored, role); }
  Result<void> write(std::string_view role, std::string_view content) override {
    stored.insert_or_assign(std::string(role), std::string(content));
    return {};
  }
  Result<std::string> fetch(std::string_view name, std::uint64_t limit_bytes) override {
    if (const auto found = offered.find(name); found != offered.end()) return found->second;
    return folder_.empty() ? get(offered, name) : read_text(folder_ / name, limit_bytes);
  }
  MetadataFiles stored;
  MetadataFiles offered;

 private:
  static Result<std::string> get(const MetadataFiles& files, std::string_view name) {
    const auto found = files.find(name);
    if (found == files.end()) return Error(ErrorCode::not_found, "VRG-TUF-011", fmt::format("no '{}'", name));
    return found->second;
  }
  std::filesystem::path folder_;
};

struct Parsed {
  std::map<std::int64_t, std::string> roots;
  std::map<std::string, std::pair<std::int64_t, std::string>, std::less<>> roles;
};

Result<Parsed> parse(const MetadataFiles& files) {
  Parsed parsed;
  for (const auto& [name, text] : files) {
    const auto named = parse_file_name(name);
    if (!is_publication_file(name)) return no_file(name, "the hub signs the others");
    if (named->first == kRoot) {
      parsed.roots.emplace(named->second, text);
    } else if (!parsed.roles.emplace(named->first, std::pair(named->second, text)).second) {
      return no_file(name, "there are two versions of the role");
    }
  }
  if (files.empty()) return no_file("", "nothing was sent");
  return parsed;
}

}  // namespace

bool is_publication_file(std::string_view name) {
  const auto named = parse_file_name(name);
  return named && named->first != kSnapshot && named->first != kTimestamp;
}

/// Makes the metadata that goes with what others signed.
struct Publication {
  Repository::State& now;
  const bool adopt;
  const std::int64_t now_s;
  Parsed parsed{};
  Root root{};
  RoleKeys keys{};
  MetadataFiles files{};

  /// The root key at hand signs the first new root, if its signature is wanted.
  Result<void> sign_first_root() {
    if (parsed.roots.empty() || adopt || !now.holds(kRoot)) return {};
    auto& text = parsed.roots.begin()->second;
    return sign_if_wanted(text, kRoot, now.root.roles.find(kRoot)->second, now.root.keys, now.key(kRoot));
  }
  /// So does the targets key, as long as the root names it, where nothing is listed but what is wanted here: a
  /// delegation is decided elsewhere, and what is offered is not.
  Result<void> sign_targets() {
    const auto& by = root.roles.find(kTargets)->second;
    if (!now.keys.contains(kTargets)) return {};
    for (auto& [role, file] : parsed.roles) {
      if ((role != kTargets && !is_bin(role)) || !lists_only_wanted(role, file.second)) continue;
      VERGE_TRY(sign_if_wanted(file.second, role, by, root.keys, now.key(kTargets)));
    }
    return {};
  }
  [[nodiscard]] bool lists_only_wanted(std::string_view role, std::string_view text) const {
    const auto file = open_signed(text, kTargets, role);
    const auto content = file ? read_targets(*file) : Result<Targets>(file.error());
    return content && std::ranges::all_of(content->targets, [&](const auto& listed) {
             const auto found = std::ranges::lower_bound(now.wanted, listed.first, {}, &Target::path);
             return found != now.wanted.end() && same(*found, listed.second);
           });
  }
  static Result<void> sign_if_wanted(std::string& text, std::string_view role, const Role& by, const KeySet& by_keys,
                                     const crypto::PrivateKey& key) {
    VERGE_ASSIGN(const SignedFile file, open_signed(text, role == kRoot ? kRoot : kTargets, role));
    const bool may = std::ranges::find(by.key_ids, key_id(key.public_key())) != by.key_ids.end();
    if (!may || check_signatures(file, by, by_keys)) return {};
    VERGE_ASSIGN(text, countersigned(file, key));
    return {};
  }
  Result<void> find_root() {
    root = now.root;
    if (!parsed.roots.empty()) {
      VERGE_ASSIGN(const SignedFile file, open_signed(parsed.roots.rbegin()->second, kRoot, kRoot));
      VERGE_ASSIGN(root, read_root(file));
    }
    for (const auto role : {kSnapshot, kTimestamp}) {
      const auto& by = root.roles.find(role)->second;
      for (const bool next : {true, false}) {
        auto key = read_private_key(now.folder, role, next);
        if (key && std::ranges::find(by.key_ids, key_id(key->public_key())) != by.key_ids.end()) {
          keys.insert_or_assign(std::string(role), std::move(*key));
        }
      }
      if (keys.contains(role) && by.threshold == 1) continue;
      return Error(ErrorCode::failed_precondition, "VRG-TUF-013",
                   fmt::format("expected a root that names this hub's key for '{}', which it signs by itself, got "
                               "another; fetch anew, then rotate the role to it: verge trust rotate FOLDER {}",
                               role, role));
    }
    return {};
  }
  Result<void> make_files() {
    for (const auto& [version, text] : parsed.roots) files.insert_or_assign(file_name(kRoot, version), text);
    Snapshot snapshot{now.next_header(kSnapshot, now.snapshot.header.version, now_s),
                      adopt ? decltype(Snapshot::files){} : now.snapshot.files};
    for (const auto& [role, file] : parsed.roles) {
      const auto listed = snapshot.files.find(role + ".json");
      if (listed != snapshot.files.end() && file.first <= listed->second.version) {
        return no_file(file_name(role, file.first),
                       fmt::format("version {} is in force; fetch, and sign a later one", listed->second.version));
      }
      snapshot.files.insert_or_assign(role + ".json", meta_of(role, file.first, file.second));
      files.insert_or_assign(file_name(role, file.first), file.second);
    }
    VERGE_ASSIGN(auto text, signed_file(snapshot_metadata(snapshot), {&keys.find(kSnapshot)->second}));
    const Timestamp stamp{now.next_header(kTimestamp, now.timestamp.header.version, now_s),
                          meta_of(kSnapshot, snapshot.header.version, text)};
    files.insert_or_assign(file_name(kSnapshot, snapshot.header.version), std::move(text));
    VERGE_ASSIGN(text, signed_file(timestamp_metadata(stamp), {&keys.find(kTimestamp)->second}));
    files.insert_or_assign("timestamp.json", std::move(text));
    return {};
  }
  [[nodiscard]] Result<void> check() const {
    Offer offer(adopt ? std::filesystem::path() : now.folder / "metadata");
    offer.offered = files;
    std::string first = now.root_text;
    if (adopt) {
      const auto root_1 = files.find("1.root.json");
      if (root_1 == files.end()) return no_file("", "the chain must begin with 1.root.json");
      first = root_1->second;
    } else {
      VERGE_ASSIGN(offer.stored["timestamp"], now.text(kTimestamp, 0));
      VERGE_ASSIGN(offer.stored["snapshot"], now.text(kSnapshot, now.snapshot.header.version));
    }
    VERGE_ASSIGN(Client client, Client::open(offer, first));
    VERGE_TRY(client.refresh(offer, now_s));
    if (client.root_version() != root.header.version)
      return no_file(file_name(kRoot, root.header.version), "a version is missing before it");
    VERGE_TRY(client.load_all(offer, kNoExpiry));
    if (adopt) return {};  // All that there is, whether it is late or not.
    for (const auto& [role, published] : parsed.roles) {
      VERGE_ASSIGN(const SignedFile file, open_signed(published.second, kTargets, role));
      VERGE_TRY(check_expiry(file.header, now_s));
    }
    return {};
  }
  /// From the rename on it is decided.
  [[nodiscard]] Result<void> decide() const {
    const auto undecided = now.folder / kUndecided;
    std::error_code failed;
    std::filesystem::remove_all(undecided, failed);
    for (const auto& [name, text] : files) VERGE_TRY(write_file(undecided / name, std::string_view(text)));
    if (adopt) VERGE_TRY(write_file(undecided / kAdopt, std::string_view()));
    std::filesystem::rename(undecided, now.folder / kDecided, failed);
    return failed ? io_error(undecided, failed) : Result<void>();
  }
};

Result<void> Repository::State::finish_publication() {
  const auto decided = folder / kDecided;
  std::error_code failed;
  if (!std::filesystem::exists(decided, failed)) return {};
  if (std::filesystem::exists(decided / kAdopt, failed)) {
    std::filesystem::remove_all(folder / "metadata", failed);
    if (failed) return io_error(folder / "metadata", failed);
  }
  const auto put = [&](const std::string& name) -> Result<void> {
    VERGE_ASSIGN(const std::string text, read_text(decided / name, kTargetsLimitBytes));
    return write_file(folder / "metadata" / name, std::string_view(text));
  };
  for (const auto& entry : std::filesystem::directory_iterator(decided, failed)) {
    const auto name = entry.path().filename().string();
    if (name != kAdopt && name != "timestamp.json") VERGE_TRY(put(name));
  }
  VERGE_TRY(put("timestamp.json"));
  VERGE_ASSIGN(const SignedFile file, load_file(kRoot, newest_version(folder / "metadata", kRoot)));
  VERGE_ASSIGN(const Root newest, read_root(file));
  for (const auto role : {kRoot, kTargets}) {
    const auto key = read_private_key(folder, role, false);
    const auto& ids = newest.roles.find(role)->second.key_ids;
    if (key && std::ranges::find(ids, key_id(key->public_key())) == ids.end()) {
      VERGE_TRY(retire_private_key(folder, role));
    }
  }
  std::filesystem::remove_all(decided, failed);
  return failed ? io_error(decided, failed) : Result<void>();
}

Result<void> Repository::accept(const MetadataFiles& files, bool adopt, std::int64_t now_s) {
  Publication publication{*state_, adopt, now_s};
  VERGE_ASSIGN(publication.parsed, parse(files));
  VERGE_TRY(publication.sign_first_root());
  VERGE_TRY(publication.find_root());
  VERGE_TRY(publication.sign_targets());
  VERGE_TRY(publication.make_files());
  if (auto checked = publication.check(); !checked) return in("the publication is refused", std::move(checked));
  VERGE_TRY(publication.decide());
  auto next = std::make_unique<State>(State{state_->folder, state_->lifetimes});
  VERGE_TRY(next->load(now_s));
  next->wanted = std::move(state_->wanted);
  state_ = std::move(next);
  return publish(state_->wanted, now_s);
}

}  // namespace verge::trust
