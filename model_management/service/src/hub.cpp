#include "verge/hub/hub.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "core.hpp"
#include "verge/base/file.hpp"
#include "verge/crypto/certificate.hpp"
#include "verge/crypto/random.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::hub {
namespace {

constexpr int kAuthorityDays = 20 * 365;
constexpr int kServerDays = 365;
constexpr std::int64_t kRenewBeforeS = std::int64_t{60} * 86400;
constexpr std::int64_t kCareMs = 60'000;
constexpr std::uint64_t kPemLimitBytes = 65536;

struct Certificates {
  crypto::PrivateKey authority_key;
  std::string authority;
  crypto::PrivateKey server_key;
  std::string server;
};

/// The folder is the owner's only; so is the file then.
Result<void> write_secret(const std::filesystem::path& path, const std::string& text) {
  VERGE_TRY(write_file(path, std::string_view(text)));
  std::error_code error;
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
  if (!error) return {};
  return Error(
      ErrorCode::permission_denied, "VRG-HUB-006",
      fmt::format("cannot protect '{}': {}; choose another folder with --data", path.string(), error.message()));
}

/// The key of the file, made when there is none.
Result<crypto::PrivateKey> open_key(const std::filesystem::path& path) {
  const auto text = read_text(path, kPemLimitBytes);
  if (text) return crypto::PrivateKey::from_pem(*text);
  if (text.error().code() != ErrorCode::not_found) return Error(text.error());
  auto key = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
  VERGE_TRY(write_secret(path, key.pem()));
  return key;
}

std::vector<std::string> server_names(const HubSetup& setup) {
  std::set<std::string> names(setup.names.begin(), setup.names.end());
  names.insert({"127.0.0.1", "::1", "localhost"});
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) == 0 && host[0] != '\0') names.insert(host.data());
  return {names.begin(), names.end()};
}

Result<Certificates> open_certificates(const HubSetup& setup) {
  const auto folder = setup.folder / "tls";
  const auto now_s = setup.now_ms() / 1000;
  VERGE_ASSIGN(auto authority_key, open_key(folder / "authority_key.pem"));
  VERGE_ASSIGN(auto server_key, open_key(folder / "server_key.pem"));
  auto authority = read_text(folder / "authority.pem", kPemLimitBytes);
  if (!authority) {
    authority = crypto::make_authority(authority_key, "Verge hub", now_s, kAuthorityDays);
    VERGE_TRY(write_file(folder / "authority.pem", std::string_view(*authority)));
  }
  const auto names = server_names(setup);
  auto server = read_text(folder / "server.pem", kPemLimitBytes);
  if (server) {
    auto info = crypto::read_certificate(*server);
    bool usable = info.has_value() && info->not_after_s - now_s > kRenewBeforeS &&
                  info->key_fingerprint == server_key.public_key().fingerprint();
    if (usable) {
      std::ranges::sort(info->names);
      usable = info->names == names;
    }
    if (usable) return Certificates{authority_key, *authority, server_key, *server};
  }
  crypto::CertificateOrder order{"Verge hub", names, crypto::CertificateUse::server, now_s, kServerDays};
  VERGE_ASSIGN(auto issued, crypto::issue_certificate(order, server_key.public_key(), *authority, authority_key));
  VERGE_TRY(write_file(folder / "server.pem", std::string_view(issued)));
  return Certificates{authority_key, *authority, server_key, issued};
}

Result<void> make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder / "tls", error);
  if (!error) std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  if (!error) return {};
  return Error(ErrorCode::permission_denied, "VRG-HUB-006",
               fmt::format("cannot make the hub's folder '{}': {}; choose another with --data", folder.string(),
                           error.message()));
}

/// Whether no start has come as far as the administrator's token.
Result<bool> is_first_start(Store& store) {
  bool first = true;
  VERGE_TRY(store.transaction([&](Transaction& transaction) -> Result<void> {
    first = transaction.setting("first_token").empty();
    return {};
  }));
  return first;
}

/// The administrator's token, until it has been shown: one that a crash kept from being shown is replaced.
Result<std::string> make_first_token(Store& store, std::int64_t now_ms) {
  std::string secret;
  VERGE_TRY(store.transaction([&](Transaction& transaction) -> Result<void> {
    const auto before = transaction.setting("first_token");
    if (before == "shown") return {};
    if (!before.empty()) transaction.remove_token(before);
    secret = crypto::random_hex(24);
    const auto id = "t-" + crypto::random_hex(4);
    transaction.add(TokenRecord{id, "admin", crypto::sha256(secret), "read,publish,deploy,administer", now_ms});
    transaction.set_setting("first_token", id);
    transaction.add(EventRecord{0, now_ms, "hub", "hub.first_start", "admin", "the administrator's token was made"});
    return {};
  }));
  return secret;
}

/// What a crash left of files that are kept by name; blobs are collected as garbage.
void remove_all_unfinished(const std::filesystem::path& folder) {
  remove_unfinished(folder);
  for (const auto* part : {"tls", "trust"}) {
    remove_unfinished(folder / part);
    std::error_code ignored;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / part, ignored)) {
      if (entry.is_directory()) remove_unfinished(entry.path());
    }
  }
}

/// What a crash left of uploads that the database does not know.
void drop_lost_uploads(Store& store, const Blobs& blobs) {
  std::set<std::string> known;
  const auto listed = store.transaction([&](Transaction& transaction) -> Result<void> {
    for (const auto& upload : transaction.uploads()) known.insert(upload.id);
    return {};
  });
  if (!listed) return;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(blobs.uploads(), ignored)) {
    if (!known.contains(entry.path().filename().string())) blobs.drop(entry.path().filename().string());
  }
}

}  // namespace

Hub::Hub(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Hub::~Hub() = default;

Result<std::unique_ptr<Hub>> Hub::open(HubSetup setup, Log& log) {
  VERGE_TRY(make_folder(setup.folder));
  remove_all_unfinished(setup.folder);
  VERGE_ASSIGN(auto certificates, open_certificates(setup));
  VERGE_ASSIGN(auto store, Store::open(setup.folder / "hub.db"));
  VERGE_ASSIGN(const bool first, is_first_start(*store));
  VERGE_ASSIGN(auto blobs, Blobs::open(setup.folder, first));
  drop_lost_uploads(*store, blobs);
  const auto now_ms = setup.now_ms();
  VERGE_ASSIGN(auto repository, trust::Repository::open(setup.folder / "trust", {}, now_ms / 1000));
  VERGE_ASSIGN(auto token, make_first_token(*store, now_ms));
  // NOLINTNEXTLINE(modernize-make-unique): an aggregate that cannot move; Clang 14 makes none with parentheses.
  auto core = std::unique_ptr<Core>(new Core{std::move(setup),
                                             log,
                                             std::move(store),
                                             std::move(blobs),
                                             {},
                                             std::move(repository),
                                             certificates.authority_key,
                                             certificates.authority,
                                             certificates.server + certificates.authority,
                                             certificates.server_key.pem(),
                                             std::move(token),
                                             now_ms,
                                             {}});
  VERGE_TRY(core->registry.measure_blobs());
  VERGE_TRY(core->publish());  // A crash may have come between the commit and this.
  return std::unique_ptr<Hub>(new Hub(std::move(core)));
}

const std::string& Hub::first_token() const noexcept {
  return core_->first_token;
}
Result<void> Hub::keep_login(const std::string& line) {
  VERGE_TRY(write_secret(core_->setup.folder / "login.txt", line + "\n"));
  return core_->store->transaction([](Transaction& store) -> Result<void> {
    store.set_setting("first_token", "shown");
    return {};
  });
}
const std::string& Hub::authority_certificate() const noexcept {
  return core_->authority_certificate;
}
const std::string& Hub::server_certificate() const noexcept {
  return core_->server_certificate;
}
const std::string& Hub::server_key() const noexcept {
  return core_->server_key;
}
Registry& Hub::registry() noexcept {
  return core_->registry;
}
Deltas& Hub::deltas() noexcept {
  return core_->deltas;
}
Signing& Hub::signing() noexcept {
  return core_->signing;
}
std::int64_t Hub::now_ms() const {
  return core_->now();
}

void Hub::tick() {
  const auto now_ms = core_->now();
  core_->waiting.expire(now_ms);
  if (now_ms < core_->next_care_ms) return;
  core_->next_care_ms = now_ms + kCareMs;
  forget_old_telemetry();
  if (core_->publish_again) {
    if (const auto done = core_->publish(); !done) core_->log.error("not published", {{"error", done.error().text()}});
  }
  core_->signing.warn_of_expiry();
  const std::lock_guard lock(core_->trust_mutex);
  const auto renewed = core_->trust.renew(now_ms / 1000);
  if (!renewed) core_->log.error("metadata not renewed", {{"error", renewed.error().text()}});
  if (renewed && *renewed) core_->log.info("metadata renewed");
}

void Hub::stop() {
  core_->waiting.close();
}

Result<wire::HubStatus> Hub::status(const Principal& caller) {
  if (caller.name.empty()) return check_right(caller, wire::Right::read).error();
  return core_->read<wire::HubStatus>([&](Transaction& store) -> Result<wire::HubStatus> {
    wire::HubStatus status;
    status.version = core_->setup.version;
    status.time_ms = core_->now();
    status.started_ms = core_->started_ms;
    status.frozen = frozen(store);
    std::int64_t devices = 0;
    std::int64_t online = 0;
    std::int64_t conflicts = 0;
    for (const auto& device : store.devices()) {
      if (device.revoked_ms > 0) continue;
      ++devices;
      if (!device.conflict.empty()) ++conflicts;
      const auto seen = std::max(device.reported_ms, core_->last_contact(device.name));
      if (status.time_ms - seen < 90'000) ++online;
    }
    std::set<std::string> models;
    std::set<std::string> applications;
    for (const auto& version : store.versions()) {
      if (version.kind == "model") models.insert(version.name);
      if (version.kind == "application") applications.insert(version.name);
    }
    status.devices = devices;
    status.online = online;
    status.conflicts = conflicts;
    status.models = static_cast<std::int64_t>(models.size());
    status.applications = static_cast<std::int64_t>(applications.size());
    status.deployments = store.count("deployments");
    status.caller = caller.name;
    status.rights.assign(caller.rights.begin(), caller.rights.end());
    return status;
  });
}

Result<std::string> Hub::trust_metadata(const std::string& file) {
  const std::lock_guard lock(core_->trust_mutex);
  return core_->trust.metadata(file);
}

Result<std::string> Hub::trust_target(const std::string& path) {
  const auto slash = path.rfind('/');
  const auto name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  const auto dot = name.find('.');
  const std::string digest = "sha256:" + name.substr(0, dot);
  if (dot == std::string::npos || !crypto::is_sha256(digest)) return unknown("target", path);
  const auto plain = (slash == std::string::npos ? "" : path.substr(0, slash + 1)) + name.substr(dot + 1);
  const std::lock_guard lock(core_->trust_mutex);
  const auto* target = core_->trust.find(plain);
  if (target == nullptr || target->digest != digest) return unknown("target", path);
  return core_->blobs.read(digest, trust::kTargetsLimitBytes);
}

}  // namespace verge::hub
