#include "verge/at_rest/key_store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "aead.hpp"
#include "key_file.hpp"
#include "verge/base/file.hpp"
#include "verge/base/file_system.hpp"
#include "verge/base/hex.hpp"

namespace verge::at_rest {
namespace {

constexpr std::uint64_t kDocumentLimitBytes = std::uint64_t{256} << 10U;
constexpr std::size_t kKeyLimit = 64;
constexpr std::size_t kSealedBytes = kNonceBytes + Secret::kBytes + kTagBytes;

std::filesystem::path document_path(const std::filesystem::path& folder) {
  return folder / "keys.json";
}

std::int64_t now_ms() {
  using namespace std::chrono;
  return std::max<std::int64_t>(duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count(), 0);
}

/// Tells one boot of the system from another. The system's file has no size, so that read_text() finds nothing in it.
std::string boot() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  std::getline(file, text);
  return text;
}

std::vector<std::int64_t> numbers(const std::vector<unsigned>& pcrs) {
  std::vector<std::int64_t> wide(pcrs.begin(), pcrs.end());
  std::ranges::sort(wide);
  return wide;
}

KeyStoreOptions options_of(const wire::AtRestKeys& document) {
  KeyStoreOptions options;
  options.store = document.store;
  options.key_file = document.key_file.value_or("");
  if (!document.tpm) return options;
  options.tcti = document.tpm->tcti;
  options.pcrs.clear();
  for (const auto pcr : document.tpm->pcrs) options.pcrs.push_back(static_cast<unsigned>(pcr));
  return options;
}

Error no_fit(std::string_view what) {
  return Error(ErrorCode::data_loss, "VRG-RST-011",
               fmt::format("the keys of what is stored cannot be opened: {}; bring back the key store as it was, or "
                           "throw away what is stored with 'verge-agent keys reset': the hub sends the models again",
                           what));
}

Result<Secret> master_of(const wire::AtRestKeys& document) {
  if (document.store == wire::AtRestStore::file) {
    if (!document.key_file) return no_fit("keys.json names no key file");
    return read_key_file(*document.key_file);
  }
  if (!document.tpm) return no_fit("keys.json has no sealed key");
  VERGE_ASSIGN(const auto tpm, open_tpm(document.tpm->tcti));
  SealedKey sealed;
  sealed.public_area = from_hex(document.tpm->public_area).value_or(std::vector<std::byte>{});
  sealed.private_area = from_hex(document.tpm->private_area).value_or(std::vector<std::byte>{});
  sealed.pcrs = options_of(document).pcrs;
  return tpm->unseal(sealed);
}

}  // namespace

bool KeyStore::exists(const std::filesystem::path& folder) {
  std::error_code failed;
  return std::filesystem::exists(document_path(folder), failed);
}

KeyStore::~KeyStore() {
  ::close(lock_);
}

Result<std::unique_ptr<KeyStore>> KeyStore::locked(const std::filesystem::path& folder) {
  VERGE_TRY(make_durable_folder(real_file_system(), folder.string()));
  if (::chmod(folder.c_str(), S_IRWXU) != 0) return file_error("close to others", folder.string(), errno);
  const auto path = folder / "lock";
  const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (lock < 0) return file_error("open", path.string(), errno);
  std::unique_ptr<KeyStore> store(new KeyStore(folder, lock));
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) return store;
  return Error(ErrorCode::failed_precondition, "VRG-RST-013",
               fmt::format("the keys in '{}' are in use; stop the agent of this device first", folder.string()));
}

Result<std::unique_ptr<KeyStore>> KeyStore::open(const std::filesystem::path& folder, const KeyStoreOptions& options) {
  VERGE_ASSIGN(auto store, locked(folder));
  if (!exists(folder)) {
    VERGE_TRY(store->make(options));
    return store;
  }
  VERGE_TRY(store->load());
  VERGE_TRY(store->adapt(options));
  return store;
}

Result<std::unique_ptr<KeyStore>> KeyStore::open(const std::filesystem::path& folder) {
  if (!exists(folder)) return file_error("read", document_path(folder).string(), ENOENT);
  VERGE_ASSIGN(auto store, locked(folder));
  VERGE_TRY(store->load());
  return store;
}

Result<void> KeyStore::remove(const std::filesystem::path& folder) {
  VERGE_ASSIGN(const auto store, locked(folder));
  FileSystem& system = real_file_system();
  // The keys first: a key file without them opens nothing.
  for (const auto* name : {"keys.json", "master.key"}) {
    const auto path = (folder / name).string();
    const auto removed = system.unlink(path);
    if (!removed && removed.error() != ENOENT) return file_error("remove", path, removed.error());
  }
  return sync_path(system, folder.string());
}

void KeyStore::add_data_key() {
  KeyId id;
  fill_randomly(id);
  auto key = std::make_shared<const Secret>(Secret::random());
  std::array<std::byte, kSealedBytes> sealed{};
  Aead(master_).seal(id, key->bytes(), sealed);
  wire::AtRestDataKey entry;
  entry.id = to_hex(id);
  entry.made_ms = now_ms();
  entry.sealed = to_hex(sealed);
  document_.data_keys.push_back(std::move(entry));
  keys_.add(id, std::move(key));
}

Result<void> KeyStore::make(const KeyStoreOptions& options) {
  master_ = Secret::random();
  document_.version = 1;
  VERGE_TRY(seal_by(options, {}));
  add_data_key();
  VERGE_TRY(write());
  news_ = "the first keys are made";
  return {};
}

Result<void> KeyStore::load() {
  VERGE_ASSIGN(const auto text, read_text(document_path(folder_), kDocumentLimitBytes));
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(text, "keys.json"));
  VERGE_ASSIGN(document_, wire::read_at_rest_keys(node, wire::Place("keys.json")));
  VERGE_ASSIGN(master_, master_of(document_));
  Aead aead(master_);
  for (const auto& entry : document_.data_keys) {
    const auto name = from_hex(entry.id);
    const auto sealed = from_hex(entry.sealed);
    Secret key;
    KeyId id{};
    if (!name || name->size() != id.size() || !sealed || sealed->size() != kSealedBytes) {
      return no_fit("keys.json is damaged");
    }
    std::ranges::copy(*name, id.begin());
    if (!aead.open(id, *sealed, key.bytes())) return no_fit("they belong to another master key");
    keys_.add(id, std::make_shared<const Secret>(std::move(key)));
  }
  return {};
}

Result<void> KeyStore::adapt(const KeyStoreOptions& options) {
  const auto present = options_of(document_);
  auto wanted = options;
  if (wanted.store == wire::AtRestStore::file && wanted.key_file.empty()) wanted.key_file = folder_ / "master.key";
  bool same = wanted.store == present.store;
  if (wanted.store == wire::AtRestStore::file) same = same && wanted.key_file == present.key_file;
  if (wanted.store == wire::AtRestStore::tpm && same) {
    if (document_.tpm->suspended_in_boot == boot()) return {};
    same = wanted.tcti == present.tcti && numbers(wanted.pcrs) == document_.tpm->pcrs;
  }
  if (same) return {};
  const auto old_file = document_.store == wire::AtRestStore::file ? document_.key_file : std::nullopt;
  VERGE_TRY(seal_by(wanted, {}));
  VERGE_TRY(write());
  if (old_file && old_file != document_.key_file) (void)real_file_system().unlink(*old_file).has_value();
  news_ = document_.tpm
              ? fmt::format("the master key is sealed to the TPM's registers {}", fmt::join(document_.tpm->pcrs, ", "))
              : fmt::format("the master key lies in '{}'", *document_.key_file);
  return {};
}

Result<void> KeyStore::seal_by(const KeyStoreOptions& options, const std::map<unsigned, Register>& expected) {
  if (options.store == wire::AtRestStore::file) {
    const auto path = options.key_file.empty() ? folder_ / "master.key" : options.key_file;
    VERGE_TRY(write_key_file(path, master_));
    document_.key_file = path.string();
    document_.tpm.reset();
  } else {
    VERGE_ASSIGN(const auto tpm, open_tpm(options.tcti));
    VERGE_ASSIGN(const auto sealed, tpm->seal(master_, options.pcrs, expected));
    wire::AtRestTpm entry;
    entry.tcti = options.tcti;
    entry.pcrs = numbers(sealed.pcrs);
    entry.public_area = to_hex(sealed.public_area);
    entry.private_area = to_hex(sealed.private_area);
    document_.tpm = std::move(entry);
    document_.key_file.reset();
  }
  document_.store = options.store;
  return {};
}

Result<void> KeyStore::write() const {
  return write_file(document_path(folder_), std::string_view(wire::write_json(wire::to_node(document_))));
}

std::string KeyStore::warning() const {
  if (document_.store == wire::AtRestStore::file) {
    return fmt::format(
        "what is stored is encrypted, but its key lies in the file '{}': who has the disk with that file "
        "can open it; a TPM ('at_rest: key: tpm') prevents that",
        document_.key_file.value_or(""));
  }
  if (document_.tpm && document_.tpm->pcrs.empty()) {
    return "the key is sealed to this device's TPM but to no register: whatever is booted here can open it, until it "
           "is "
           "sealed anew at the start after the next boot";
  }
  return {};
}

Result<void> KeyStore::rotate() {
  if (document_.data_keys.size() >= kKeyLimit) {
    return Error(
        ErrorCode::resource_exhausted, "VRG-RST-014",
        fmt::format("there are {} data keys that are still needed; start the agent, which encrypts their files "
                    "anew, and rotate later",
                    kKeyLimit));
  }
  add_data_key();
  return write();
}

Result<void> KeyStore::forget_old() {
  if (document_.data_keys.size() < 2) return {};
  document_.data_keys.erase(document_.data_keys.begin(), document_.data_keys.end() - 1);
  VERGE_TRY(write());
  keys_.keep_only(keys_.current().first);
  return {};
}

Result<void> KeyStore::suspend() {
  if (document_.store != wire::AtRestStore::tpm) return {};
  auto options = options_of(document_);
  options.pcrs.clear();
  VERGE_TRY(seal_by(options, {}));
  document_.tpm->suspended_in_boot = boot();
  return write();
}

Result<void> KeyStore::reseal(const std::vector<unsigned>& pcrs, const std::map<unsigned, Register>& expected) {
  auto options = options_of(document_);
  options.pcrs = pcrs;
  VERGE_TRY(seal_by(options, expected));
  return write();
}

}  // namespace verge::at_rest
