#include "hub_life.hpp"

#include <algorithm>
#include <regex>
#include <sstream>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/base/file_system.hpp"
#include "verge/crypto/certificate.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/trust/client.hpp"

namespace verge::power_loss {
namespace {

constexpr std::int64_t kNow_ms = 1'800'000'000'000;
constexpr std::uint64_t kLimit = std::uint64_t{16} << 20U;
constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";

/// Of devices, made once: a device keeps its key through everything.
const crypto::PrivateKey& key_of(const std::string& device) {
  static std::map<std::string, crypto::PrivateKey> keys;
  const auto found = keys.find(device);
  if (found != keys.end()) return found->second;
  return keys.emplace(device, crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256)).first->second;
}

/// Much alike from version to version, so that a delta is worth it.
std::string weights(const std::string& version) {
  std::string content;
  for (int i = 0; i < 6000; ++i) content += static_cast<char>((i * 7919) % 251);
  return content + version;
}

std::string metadata(const std::string& name, const std::string& version) {
  return R"({"schema_version":1,"name":")" + name + R"(","version":")" + version +
         R"(","task":"classification","model":{"file":"model_files/m","format":"onnx"},"inputs":[{"name":"x",)"
         R"("datatype":"FP32","shape":[1]}],"outputs":[{"name":"y","datatype":"FP32","shape":[1]}]})";
}

/// As the server receives a body: not synced.
Result<void> put_plainly(const std::filesystem::path& path, std::string_view content) {
  FileSystem& system = real_file_system();
  const auto number = system.create(path.string());
  if (!number) return file_error("make", path.string(), number.error());
  const OpenFile file(system, *number);
  if (const auto put = file.write_all(std::as_bytes(std::span(content))); !put) {
    return file_error("write", path.string(), put.error());
  }
  return {};
}

hub::HubSetup setup_of(const std::filesystem::path& folder, const std::int64_t& now_ms) {
  hub::HubSetup setup;
  setup.folder = folder;
  setup.now_ms = [&now_ms] { return now_ms; };
  setup.version = "1";
  setup.registry.grace_ms = 0;
  setup.deltas.smallest_file_bytes = 1024;
  setup.deltas.make = [](const delta::DescribedFile& old, const delta::DescribedFile& fresh,
                         const std::filesystem::path& made, const std::stop_token&) -> Result<void> {
    const auto apart = std::filesystem::temp_directory_path() / "verge-hub-delta";
    VERGE_TRY(delta::make_file(old, fresh, apart));
    VERGE_ASSIGN(const auto content, read_text(apart, kLimit));
    return put_plainly(made, content);
  };
  return setup;
}

/// Of metadata.
std::string version_in(const std::string& text) {
  const auto node = wire::parse_json(text, "metadata");
  const auto* is_signed = node ? node->find("signed") : nullptr;
  const auto* version = is_signed == nullptr ? nullptr : is_signed->find("version");
  return version == nullptr ? std::string() : version->text;
}

class MemoryStore final : public trust::MetadataStore {
 public:
  explicit MemoryStore(std::map<std::string, std::string, std::less<>>& roles) : roles_(roles) {}
  Result<std::string> read(std::string_view role) override {
    const auto found = roles_.find(role);
    if (found != roles_.end()) return found->second;
    return Error(ErrorCode::not_found, "VRG-TST-003", "not there");
  }
  Result<void> write(std::string_view role, std::string_view content) override {
    roles_[std::string(role)] = content;
    return {};
  }

 private:
  std::map<std::string, std::string, std::less<>>& roles_;
};

class HubSource final : public trust::MetadataSource {
 public:
  explicit HubSource(hub::Hub& hub) : hub_(hub) {}
  Result<std::string> fetch(std::string_view name, std::uint64_t /*limit_bytes*/) override {
    return hub_.trust_metadata(std::string(name));
  }

 private:
  hub::Hub& hub_;
};

}  // namespace

Result<std::unique_ptr<HubLife>> HubLife::open(const std::filesystem::path& folder, Known known,
                                               std::function<void(const Known&)> answered, bool later) {
  std::unique_ptr<HubLife> life(new HubLife(folder, std::move(known), std::move(answered)));
  if (later) life->now_ms_ += 3'600'000;
  VERGE_ASSIGN(life->hub_, hub::Hub::open(setup_of(folder, life->now_ms_), life->log_));
  if (!life->known_.admin.empty()) {
    VERGE_ASSIGN(life->admin_, life->hub_->authenticate(life->known_.admin));
  }
  return life;
}

void HubLife::learnt() {
  if (!known_.first_root.empty()) {
    MemoryStore store(known_.trusted);
    HubSource source(*hub_);
    if (auto client = trust::Client::open(store, known_.first_root)) {
      (void)client->refresh(source, kNow_ms / 1000).has_value();
    }
  }
  if (answered_) answered_(known_);
}

Result<void> HubLife::act(const std::string& action) {
  std::istringstream words(action);
  std::string verb;
  std::string one;
  std::string two;
  std::string three;
  words >> verb >> one >> two >> three;
  if (verb == "start") return {};
  if (verb == "sign") return sign_in();
  if (verb == "push") return push(one, two);
  if (verb == "join") return join(one);
  if (verb == "report") return report(one, two, three);
  if (verb == "deploy") return deploy(one, two);
  if (verb == "deltas") return make_deltas();
  if (verb == "token") {
    wire::TokenRequest request;
    request.name = "ci";
    request.rights = {wire::Right::read};
    VERGE_ASSIGN(const auto made, hub_->create_token(admin_, request));
    known_.tokens.insert(made.token);
    learnt();
    return {};
  }
  if (verb == "floor") {
    wire::VersionFloor floor;
    floor.version = two;
    VERGE_TRY(hub_->set_floor(admin_, one, floor));
    known_.floor = two;
    learnt();
    return {};
  }
  if (verb == "revoke") {
    VERGE_TRY(hub_->revoke(admin_, one));
    known_.revoked.insert(one);
    learnt();
    return {};
  }
  if (verb == "delete") {
    // From the moment that it is asked for it may be gone, and be there.
    known_.versions.erase(one + " " + two);
    std::erase_if(known_.blobs, [&](const auto& blob) { return blob.first == one; });
    learnt();
    const auto deleted = hub_->delete_model_version(admin_, one, two);
    if (!deleted && deleted.error().code() != ErrorCode::not_found) return deleted;
    known_.gone.insert(one + " " + two);
    learnt();
    return {};
  }
  if (verb == "collect") {
    VERGE_TRY(hub_->registry().collect_garbage(admin_, false, true));
    learnt();
    return {};
  }
  return Error(ErrorCode::invalid_argument, "VRG-TST-004", "no such action: " + action);
}

Result<void> HubLife::sign_in() {
  // As verge-hub does: shown, then kept. After a crash in between another one is shown.
  if (!hub_->first_token().empty()) {
    VERGE_TRY(hub_->keep_login("verge login https://hub --token " + hub_->first_token()));
  }
  VERGE_ASSIGN(const auto line, read_text(folder_ / "login.txt", kLimit));
  auto token = line.substr(line.rfind(' ') + 1);
  while (token.ends_with('\n')) token.pop_back();
  VERGE_ASSIGN(admin_, hub_->authenticate(token));
  known_.admin = token;
  known_.authority = hub_->authority_certificate();
  VERGE_ASSIGN(known_.first_root, hub_->trust_metadata("1.root.json"));
  learnt();
  return {};
}

Result<std::string> HubLife::push_blob(const std::string& repository, const std::string& content) {
  const auto digest = crypto::sha256(content);
  if (hub_->registry().blob(admin_, repository, digest)) {
    std::erase_if(known_.uploads,
                  [&](const auto& upload) { return upload.second == Known::Place(repository, digest); });
    return digest;
  }
  VERGE_ASSIGN(const auto upload, hub_->registry().begin_upload(admin_, repository));
  known_.uploads[upload.id] = {repository, digest};
  learnt();
  // In two pieces, as clients with large blobs do.
  const auto half = content.size() / 2;
  const auto file = folder_ / "uploads" / "body-of-a-request";
  VERGE_TRY(put_plainly(file, std::string_view(content).substr(0, half)));
  VERGE_TRY(hub_->registry().append(admin_, repository, upload.id, {file}));
  known_.pieces[upload.id] = half;
  learnt();
  std::filesystem::remove(file);
  VERGE_TRY(put_plainly(file, std::string_view(content).substr(half)));
  VERGE_ASSIGN(const auto made, hub_->registry().finish(admin_, repository, upload.id, digest, {file}));
  std::filesystem::remove(file);
  known_.uploads.erase(upload.id);
  known_.blobs.insert({repository, made.digest});
  learnt();
  return made.digest;
}

Result<void> HubLife::push(const std::string& name, const std::string& version) {
  std::string layers;
  for (const auto& [path, content] : std::map<std::string, std::string>{{"metadata.json", metadata(name, version)},
                                                                        {"model_files/m", weights(name + version)}}) {
    VERGE_ASSIGN(const auto digest, push_blob(name, content));
    layers += (layers.empty() ? "" : ",") +
              fmt::format(R"({{"mediaType":"application/vnd.cncf.model.weight.v1.raw","digest":"{}","size":{},)"
                          R"("annotations":{{"org.cncf.model.filepath":"{}"}}}})",
                          digest, content.size(), path);
  }
  const auto config_json = fmt::format(R"({{"name":"{}"}})", name);
  VERGE_ASSIGN(const auto config, push_blob(name, config_json));
  const auto manifest = fmt::format(
      R"({{"schemaVersion":2,"mediaType":"{}","artifactType":"application/vnd.cncf.model.manifest.v1+json","config":)"
      R"({{"mediaType":"application/vnd.cncf.model.config.v1+json","digest":"{}","size":{}}},"layers":[{}]}})",
      kManifestType, config, config_json.size(), layers);
  VERGE_ASSIGN(const auto put, hub_->registry().put_manifest(admin_, name, version, kManifestType, manifest));
  known_.versions[name + " " + version] = put.digest;
  learnt();
  return {};
}

Result<void> HubLife::join(const std::string& device) {
  if (!known_.enrolments.contains(device)) {
    wire::EnrolmentRequest wanted;
    wanted.device = device;
    VERGE_ASSIGN(const auto enrolment, hub_->create_enrolment(admin_, wanted, "https://hub"));
    known_.enrolments[device] = enrolment.token;
    learnt();
  }
  wire::CertificateRequest request;
  request.device = device;
  request.token = known_.enrolments[device];
  request.request = crypto::make_request(key_of(device), device);
  VERGE_TRY(hub_->certificate(request, "10.0.0.1"));
  known_.devices.insert(device);
  learnt();
  return {};
}

Result<void> HubLife::send_report(const std::string& device) {
  hub::Principal caller;
  caller.device = device;
  caller.key_fingerprint = key_of(device).public_key().fingerprint();
  wire::ReportedState state;
  state.version = 1;
  state.instance = "run";
  state.device.memory_available_bytes = 1'000'000'000;
  state.device.disk_free_bytes = 1'000'000'000;
  if (known_.continuations.contains(device)) state.continuation = known_.continuations[device];
  if (const auto runs = known_.running.find(device); runs != known_.running.end()) {
    const auto space = runs->second.find(' ');
    wire::ReportedApplication application;
    application.application = runs->second.substr(0, space);
    wire::InstalledVersion active;
    active.version = runs->second.substr(space + 1);
    active.digest = known_.versions[runs->second];
    application.active = active;
    state.applications = {application};
  }
  VERGE_ASSIGN(const auto answer, hub_->report(caller, state));
  known_.continuations[device] = answer.continuation;
  return {};
}

Result<void> HubLife::report(const std::string& device, const std::string& model, const std::string& version) {
  if (!model.empty()) known_.running[device] = model + " " + version;
  VERGE_TRY(send_report(device));
  learnt();
  return {};
}

Result<void> HubLife::deploy(const std::string& model, const std::string& version) {
  wire::DeploymentRequest request;
  request.application = model;
  request.version = version;
  request.selector = "all";
  VERGE_ASSIGN(const auto made, hub_->deploy(admin_, request));
  for (const auto& device : made.devices) {
    if (device.state == wire::DeploymentDeviceState::pending) known_.desired[device.device + " " + model] = version;
  }
  learnt();
  return {};
}

Result<void> HubLife::make_deltas() {
  while (hub_->deltas().work({})) {
  }
  known_.delta = true;
  learnt();
  return {};
}

std::string HubLife::broken_version(const std::string& version, const std::string& digest) {
  const auto name = version.substr(0, version.find(' '));
  const auto model = hub_->model(admin_, name);
  if (!model) return fmt::format("the model '{}': {}", name, model.error().text());
  if (std::ranges::find(model->versions, digest, &wire::ModelVersionInfo::digest) == model->versions.end()) {
    return fmt::format("'{}' is not listed", version);
  }
  const auto manifest = hub_->registry().manifest(admin_, name, digest);
  if (!manifest) return fmt::format("'{}': {}", version, manifest.error().text());
  if (crypto::sha256(manifest->content) != digest) return fmt::format("'{}': its manifest is damaged", version);
  const auto content = package::read_manifest(manifest->content, version);
  if (!content) return fmt::format("'{}': {}", version, content.error().text());
  for (const auto& file : content->files) {
    const auto blob = hub_->registry().blob(admin_, name, file.digest);
    if (!blob) return fmt::format("'{}' {}: {}", version, file.path, blob.error().text());
    const auto got = crypto::sha256_of_file(blob->file, kLimit);
    if (!got || got->digest != file.digest) return fmt::format("'{}': '{}' is damaged", version, file.path);
  }
  return {};
}

std::string HubLife::broken_trust() {
  const auto timestamp = hub_->trust_metadata("timestamp.json");
  if (const auto seen = known_.trusted.find("timestamp"); seen != known_.trusted.end()) {
    if (!timestamp) return "trust: " + timestamp.error().text();
    const bool same_version = version_in(*timestamp) == version_in(seen->second);
    if (same_version && *timestamp != seen->second) return "trust: two different files are one version";
  }
  auto trusted = known_.trusted;
  MemoryStore store(trusted);
  HubSource source(*hub_);
  const auto first = hub_->trust_metadata("1.root.json");
  const auto root = known_.first_root.empty() ? first.value_or("") : known_.first_root;
  auto client = trust::Client::open(store, root);
  if (!client) return "trust: " + client.error().text();
  if (const auto fresh = client->refresh(source, kNow_ms / 1000); !fresh) return "trust: " + fresh.error().text();
  for (const auto& [version, digest] : known_.versions) {
    const auto path =
        fmt::format("models/{}/{}.json", version.substr(0, version.find(' ')), version.substr(version.find(' ') + 1));
    const auto target = client->target(source, path, kNow_ms / 1000);
    if (!target) return "trust: " + target.error().text();
    if (target->digest != digest) return fmt::format("trust: '{}' is signed with another digest", path);
    const auto* floor = target->custom.find("version_floor");
    if (path.starts_with("models/m/") && !known_.floor.empty() && (floor == nullptr || floor->text != known_.floor)) {
      return fmt::format("trust: '{}' has another floor", path);
    }
  }
  for (const auto& version : known_.gone) {
    const auto path =
        fmt::format("models/{}/{}.json", version.substr(0, version.find(' ')), version.substr(version.find(' ') + 1));
    if (client->target(source, path, kNow_ms / 1000)) return fmt::format("trust: '{}' is still signed", path);
  }
  return {};
}

std::string HubLife::broken_devices() {
  for (const auto& name : known_.devices) {
    const auto device = hub_->device(admin_, name);
    if (!device) return fmt::format("the device '{}': {}", name, device.error().text());
    hub::Principal caller;
    caller.device = name;
    caller.key_fingerprint = key_of(name).public_key().fingerprint();
    const auto asked = hub_->package_deltas(caller, crypto::sha256("none"));
    const bool out = !asked && asked.error().id() == "VRG-HUB-017";
    if (known_.revoked.contains(name) && !out) return fmt::format("'{}' is not revoked", name);
    // One whose last answer the hub has forgotten would be taken for a copy.
    if (const auto sent = out ? Result<void>() : send_report(name); !sent) return sent.error().text();
    for (const auto& [what, version] : known_.desired) {
      if (!what.starts_with(name + " ")) continue;
      const auto found = std::ranges::find(device->desired.applications, what.substr(name.size() + 1),
                                           &wire::DesiredApplication::application);
      if (found == device->desired.applications.end() || found->version != version) {
        return fmt::format("'{}' is not to run {}", what, version);
      }
    }
  }
  return {};
}

std::string HubLife::broken() {
  if (!known_.authority.empty() && hub_->authority_certificate() != known_.authority) return "another authority";
  auto tokens = known_.tokens;
  if (!known_.admin.empty()) tokens.insert(known_.admin);
  for (const auto& token : tokens) {
    const auto caller = hub_->authenticate(token);
    if (!caller || caller->name.empty()) return "a token is not known any more";
  }
  for (const auto& [upload, place] : known_.uploads) {
    // Whoever asks where it stands goes on from there; or finds what it became, when only that answer was lost.
    const auto standing = hub_->registry().upload(admin_, place.first, upload);
    const auto there = known_.pieces.find(upload);
    const bool stands = standing && (there == known_.pieces.end() || standing->size_bytes >= there->second);
    if (!stands && !hub_->registry().blob(admin_, place.first, place.second)) return "an upload is not known any more";
  }
  for (const auto& [repository, digest] : known_.blobs) {
    const auto blob = hub_->registry().blob(admin_, repository, digest);
    if (!blob) return blob.error().text();
    const auto got = crypto::sha256_of_file(blob->file, kLimit);
    if (!got || got->digest != digest) return "a blob is damaged";
  }
  for (const auto& [version, digest] : known_.versions) {
    if (auto wrong = broken_version(version, digest); !wrong.empty()) return wrong;
  }
  if (auto wrong = broken_trust(); !wrong.empty()) return wrong;
  if (auto wrong = broken_devices(); !wrong.empty()) return wrong;
  return known_.delta ? broken_delta() : std::string();
}

std::string HubLife::broken_delta() {
  hub::Principal caller;
  caller.device = "cam";
  caller.key_fingerprint = key_of("cam").public_key().fingerprint();
  const auto list = hub_->package_deltas(caller, known_.versions["m 1.1.0"]);
  if (!list || list->deltas.empty()) return "the delta is not there";
  const auto content = hub_->device_blob(caller, list->deltas.front().digest);
  if (!content) return "the delta: " + content.error().text();
  const auto got = crypto::sha256_of_file(content->file, kLimit);
  if (!got || got->digest != list->deltas.front().digest) return "the delta is damaged";
  const auto found =
      hub_->registry().referrers(admin_, "m", known_.versions["m 1.1.0"], "application/vnd.verge.delta.v1", {});
  const auto node = wire::parse_json(found ? found->index : std::string(), "referrers");
  const auto* manifests = node ? node->find("manifests") : nullptr;
  if (manifests == nullptr || manifests->items.empty()) return "the delta is no referrer";
  const auto* digest = manifests->items.front().find("digest");
  const auto manifest = hub_->registry().manifest(admin_, "m", digest->text);
  if (!manifest || crypto::sha256(manifest->content) != digest->text) return "the delta's manifest is damaged";
  const auto config = hub_->registry().blob(admin_, "m", crypto::sha256("{}"));
  const auto empty = config ? crypto::sha256_of_file(config->file, kLimit) : config.error();
  if (!empty || empty->size_bytes != 2) return "the config of the delta's manifest is damaged";
  return {};
}

std::set<std::string> HubLife::end() {
  // Uploads that were begun and never ended are kept for a week.
  now_ms_ += std::int64_t{8} * 86'400'000;
  if (!admin_.name.empty()) (void)hub_->registry().collect_garbage(admin_, false, false).has_value();
  hub_.reset();
  static const std::regex number("/[0-9]+\\.");
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    if (entry.is_directory()) continue;
    const auto path = "/" + std::filesystem::relative(entry.path(), folder_).string();
    files.insert(path.starts_with("/trust/") ? std::regex_replace(path, number, "/N.") : path);
  }
  return files;
}

}  // namespace verge::power_loss
