#include "hub.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/crypto/sha256.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/package/requirements.hpp"

namespace verge::simulator {
namespace {

constexpr std::size_t kPieceBytes = 512;

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

}  // namespace

Hub Hub::make(Chance& chance, int models, int versions, std::int64_t now_s) {
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
  (void)hub.repository_->publish(std::move(targets), now_s).has_value();
  hub.root_ = hub.repository_->root();
  return hub;
}

void Hub::add(Chance& chance, const std::string& model, int number, std::vector<trust::Target>& targets) {
  Version version;
  version.quality = chance.one_in(2) ? Quality::good : static_cast<Quality>(chance.below(10));
  const auto text = fmt::format("{}.0.0", number);
  const auto metadata = metadata_of(model, text, version.quality);
  version.files["metadata.json"] = wire::write_json(wire::to_node(metadata));
  version.files["model_files/model.bin"] = some_bytes(chance, 100 + chance.below(4000));
  // The same labels in every version: a blob that is fetched once.
  version.files["postprocessing/labels.txt"] = "cat\ndog\n";
  std::vector<package::PackageFile> files;
  for (const auto& [path, content] : version.files) {
    const auto digest = crypto::sha256(content);
    files.push_back({path, digest, content.size()});
    blobs_[digest] = content;
  }
  const auto manifest = package::make_manifest(metadata, files);
  blobs_[manifest.config_digest] = manifest.config_json;
  blobs_[manifest.manifest_digest] = manifest.manifest_json;
  version.desired.application = model;
  version.desired.version = text;
  version.desired.target = fmt::format("models/{}/{}.json", model, text);
  version.desired.digest = manifest.manifest_digest;
  if (version.quality != Quality::unsigned_) {
    trust::Target target;
    target.path = version.desired.target;
    target.length_bytes = manifest.manifest_json.size();
    target.digest = manifest.manifest_digest;
    target.custom = wire::to_node(package::target_custom(metadata, 5000));
    targets.push_back(std::move(target));
  }
  versions_.push_back(std::move(version));
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
