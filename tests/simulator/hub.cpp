#include "hub.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "verge/crypto/sha256.hpp"
#include "verge/delta/delta.hpp"
#include "verge/package/agent_release.hpp"
#include "verge/package/requirements.hpp"

namespace verge::simulator {
namespace {

constexpr std::size_t kPieceBytes = 512;
constexpr const char* kModelFile = "model_files/model.bin";

std::string some_bytes(Chance& chance, std::size_t count) {
  std::string bytes(count, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(chance.below(256));
  return bytes;
}

wire::Metadata metadata_of(const std::string& model, const std::string& version, Quality quality) {
  wire::Metadata metadata;
  metadata.schema_version = 1;
  metadata.name = model;
  metadata.version = version;
  metadata.task = wire::Task::tensor;
  metadata.model.file = "model_files/model.bin";
  metadata.model.format = wire::ModelFormat::fake;
  wire::Tensor tensor;
  tensor.name = "x";
  tensor.datatype = wire::DataType::fp32;
  tensor.shape = {1, 4};
  metadata.inputs = {tensor};
  metadata.outputs = {tensor};
  wire::Budget budget;
  budget.latency_ms = 10;
  budget.memory_bytes = 1 << 20;
  metadata.budget = budget;
  if (quality == Quality::unfit) {
    wire::Requirements requirements;
    wire::EngineRequirement engine;
    engine.name = "openvino";
    engine.min_version = "9999.1";
    requirements.engines = {engine};
    metadata.requirements = requirements;
  }
  return metadata;
}

/// A new version of a model is often the old one with some bytes changed.
std::string changed(Chance& chance, std::string bytes) {
  for (auto i = chance.below(60); i > 0; --i) bytes[chance.below(bytes.size())] = static_cast<char>(chance.below(256));
  return bytes;
}

}  // namespace

Hub Hub::make(Chance& chance, int models, int versions, std::int64_t now_s, int releases) {
  Hub hub;
  auto folder = TemporaryFolder::create("verge-simulator-");
  hub.folder_ = std::make_unique<TemporaryFolder>(std::move(*folder));
  auto repository = trust::Repository::open(hub.folder_->path(), {}, now_s);
  hub.repository_ = std::make_unique<trust::Repository>(std::move(*repository));
  std::vector<trust::Target> targets;
  for (int model = 0; model < models; ++model) {
    for (int version = 1; version <= versions; ++version) {
      hub.add(chance, fmt::format("model{}", model), version, targets);
    }
  }
  for (int release = 1; release <= releases; ++release) hub.add_release(chance, release, targets);
  (void)hub.repository_->publish(std::move(targets), now_s).has_value();
  hub.root_ = hub.repository_->root();
  return hub;
}

const Version* Hub::before(const std::string& application) const {
  return versions_.empty() || versions_.back().desired.application != application ? nullptr : &versions_.back();
}

std::vector<package::PackageFile> Hub::store(const Version& version) {
  std::vector<package::PackageFile> files;
  for (const auto& [path, content] : version.files) {
    const auto digest = crypto::sha256(content);
    files.push_back({path, digest, content.size()});
    blobs_[digest] = content;
  }
  return files;
}

void Hub::finish(Version version, const package::Manifest& manifest, const wire::TargetCustom& custom,
                 std::vector<trust::Target>& targets, const std::string& main_file) {
  blobs_[manifest.config_digest] = manifest.config_json;
  blobs_[manifest.manifest_digest] = manifest.manifest_json;
  version.desired.application = custom.name;
  version.desired.version = custom.version;
  version.desired.target = fmt::format("{}s/{}/{}.json", wire::name(custom.kind), custom.name, custom.version);
  version.desired.digest = manifest.manifest_digest;
  if (version.quality != Quality::unsigned_) {
    trust::Target target;
    target.path = version.desired.target;
    target.length_bytes = manifest.manifest_json.size();
    target.digest = manifest.manifest_digest;
    target.custom = wire::to_node(custom);
    targets.push_back(std::move(target));
  }
  if (const auto* old = before(custom.name)) add_delta(*old, version, main_file);
  versions_.push_back(std::move(version));
}

void Hub::add(Chance& chance, const std::string& model, int number, std::vector<trust::Target>& targets) {
  Version version;
  version.quality = chance.one_in(2) ? Quality::good : static_cast<Quality>(chance.below(10));
  const auto text = fmt::format("{}.0.0", number);
  const auto metadata = metadata_of(model, text, version.quality);
  version.files["metadata.json"] = wire::write_json(wire::to_node(metadata));
  const auto* old = before(model);
  version.files[kModelFile] = old == nullptr || chance.one_in(3) ? some_bytes(chance, 100 + chance.below(8000))
                                                                 : changed(chance, old->files.at(kModelFile));
  // The same labels in every version: a blob that is fetched once.
  version.files["postprocessing/labels.txt"] = "cat\ndog\n";
  const auto manifest = package::make_manifest(metadata, store(version));
  finish(std::move(version), manifest, package::target_custom(metadata, 5000), targets, kModelFile);
}

/// What a release's own budget would tell is nothing that an agent is judged by.
void Hub::add_release(Chance& chance, int number, std::vector<trust::Target>& targets) {
  constexpr std::array kBad{Quality::wrong_golden, Quality::fails_to_load, Quality::crashes_at_load,
                            Quality::fails_live,   Quality::unfit,         Quality::unsigned_};
  Version version;
  version.quality = chance.one_in(2) ? Quality::good : kBad.at(chance.below(kBad.size()));
  wire::AgentRelease release;
  release.schema_version = 1;
  release.name = package::kAgentName;
  release.version = fmt::format("{}.0.0", number);
  release.program = package::kAgentProgram;
  release.requirements = metadata_of("", "", version.quality).requirements;
  version.files[std::string(package::kReleaseFile)] = wire::write_json(wire::to_node(release));
  const auto* old = before(release.name);
  version.files[release.program] = old == nullptr || chance.one_in(3) ? some_bytes(chance, 100 + chance.below(8000))
                                                                      : changed(chance, old->files.at(release.program));
  version.files["lib/verge/engines/libverge_engine_fake.so"] = "an engine";
  const auto manifest = package::make_manifest(release, store(version));
  finish(std::move(version), manifest, package::target_custom(release, 5000), targets, release.program);
}

void Hub::add_delta(const Version& before, const Version& version, const std::string& file) {
  const auto& old = before.files.at(file);
  const auto& fresh = version.files.at(file);
  const auto made = delta::make({std::as_bytes(std::span(old)), {}}, {std::as_bytes(std::span(fresh)), {}});
  std::string content(reinterpret_cast<const char*>(made->data()), made->size());
  const auto digest = crypto::sha256(content);
  deltas_.insert({version.desired.digest, {crypto::sha256(old), crypto::sha256(fresh), digest, content.size()}});
  blobs_[digest] = std::move(content);
}

std::vector<update::DeltaOffer> Hub::deltas(const std::string& package_digest) const {
  std::vector<update::DeltaOffer> offers;
  for (auto [at, end] = deltas_.equal_range(package_digest); at != end; ++at) offers.push_back(at->second);
  return offers;
}

void Hub::sign_anew(std::int64_t now_s) {
  auto targets = repository_->targets();
  targets.push_back(targets.back());
  targets.back().path = "models/another/1.0.0.json";
  (void)repository_->rotate("timestamp", now_s).has_value();
  (void)repository_->publish(std::move(targets), now_s).has_value();
}

const Version* Hub::by_digest(const std::string& digest) const {
  const auto found = std::ranges::find(versions_, digest, [](const Version& v) { return v.desired.digest; });
  return found == versions_.end() ? nullptr : &*found;
}

const std::string* Hub::blob(const std::string& digest) const {
  const auto found = blobs_.find(digest);
  return found == blobs_.end() ? nullptr : &found->second;
}

Result<std::string> FaultyNetwork::fetch(std::string_view name, std::uint64_t limit_bytes) {
  if (chance_.one_in(fault_every_)) {
    switch (chance_.below(4)) {
      case 0: throw Crash{};
      case 1: return std::string("{\"signed\":{}}");
      case 2: return Error(ErrorCode::resource_exhausted, "VRG-HTC-006", "the reply is too large");
      default: return Error(ErrorCode::unavailable, "VRG-HTC-001", "cannot connect");
    }
  }
  VERGE_ASSIGN(std::string content, hub_.metadata(name));
  if (content.size() > limit_bytes) return Error(ErrorCode::resource_exhausted, "VRG-HTC-006", "too large");
  if (chance_.one_in(fault_every_)) content[chance_.below(content.size())] ^= 1;
  return content;
}

Result<std::vector<update::DeltaOffer>> FaultyNetwork::deltas(const std::string& package_digest) {
  auto offers = hub_.deltas(package_digest);
  if (!chance_.one_in(fault_every_)) return offers;
  switch (chance_.below(5)) {
    case 0: throw Crash{};
    case 1: return Error(ErrorCode::unavailable, "VRG-HTC-002", "broken off");
    case 2: return Error(ErrorCode::not_found, "VRG-HTC-009", "no such thing");
    case 3:  // One that leads elsewhere, or is no delta at all.
      for (auto& offer : offers) offer.digest = chance_.one_in(2) ? offer.to : offer.from;
      return offers;
    default:
      for (auto& offer : offers) offer.size_bytes = 1 + chance_.below(offer.size_bytes * 2);
      return offers;
  }
}

Result<void> FaultyNetwork::blob(const std::string& digest, std::uint64_t offset,
                                 const std::function<Result<void>(std::span<const std::byte>)>& sink) {
  const std::string* content = hub_.blob(digest);
  if (content == nullptr) return Error(ErrorCode::not_found, "VRG-HTC-009", "no such blob");
  for (std::size_t at = offset; at < content->size(); at += kPieceBytes) {
    std::string piece = content->substr(at, kPieceBytes);
    if (chance_.one_in(fault_every_)) {
      switch (chance_.below(5)) {
        case 0: throw Crash{};
        case 1: piece[0] = static_cast<char>(piece[0] ^ 1); break;      // Garbled.
        case 2: piece += std::string(content->size() + 1, 'x'); break;  // Endless.
        default: return Error(ErrorCode::unavailable, "VRG-HTC-002", "broken off");
      }
    }
    VERGE_TRY(sink(std::as_bytes(std::span(piece))));
  }
  return {};
}

}  // namespace verge::simulator
