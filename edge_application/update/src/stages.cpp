#include "stages.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "verge/base/text.hpp"
#include "verge/package/agent_release.hpp"
#include "verge/package/requirements.hpp"
#include "verge/wire/target_custom.hpp"

namespace verge::update {
namespace {

constexpr std::uint64_t kDocumentLimitBytes = std::uint64_t{4} << 20U;
/// Nothing smaller is asked deltas for.
constexpr std::uint64_t kDeltaFromBytes = 2048;
/// Left free on the disk for logs and records.
constexpr std::uint64_t kReserveBytes = std::uint64_t{16} << 20U;

/// By the target's path, which is what is signed.
wire::TargetKind kind_of(std::string_view target) {
  if (target.starts_with("models/")) return wire::TargetKind::model;
  return target.starts_with("agents/") ? wire::TargetKind::agent : wire::TargetKind::application;
}

/// The agent is no model: nothing is served by its name.
wire::Application agent_itself(const wire::DevicePointer& pointer) {
  wire::Application application;
  application.schema_version = 1;
  application.name = pointer.application;
  application.version = pointer.version;
  return application;
}

wire::Application lone_model(const wire::DevicePointer& pointer) {
  wire::Application application;
  application.schema_version = 1;
  application.name = pointer.application;
  application.version = pointer.version;
  wire::ApplicationModel model;
  model.model = pointer.application;
  model.version = pointer.version;
  model.digest = pointer.digest;
  application.models.push_back(std::move(model));
  return application;
}

Error wrong_target(std::string_view path, std::string_view what, std::string_view expected, std::string_view got) {
  return Error(ErrorCode::data_loss, "VRG-UPD-001",
               fmt::format("target '{}': expected {} {}, got {}; what the hub asks for is not what was signed", path,
                           what, expected, got));
}

Result<wire::Application> read_application_document(const std::string& text, const wire::DevicePointer& pointer) {
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(text, pointer.target));
  VERGE_ASSIGN(wire::Application document, wire::read_application(node, wire::Place(pointer.target)));
  if (document.name != pointer.application || document.version != pointer.version) {
    return wrong_target(pointer.target, "application", pointer.application + " " + pointer.version,
                        document.name + " " + document.version);
  }
  for (const auto& model : document.models) {
    if (!model.digest) return wrong_target(pointer.target, "a digest for", model.model, "none");
  }
  return document;
}

void add_blob(Plan& plan, const std::string& digest, std::uint64_t size_bytes) {
  if (std::ranges::find(plan.blobs, digest, &BlobOrder::digest) == plan.blobs.end()) {
    plan.blobs.push_back({digest, size_bytes});
  }
}

std::string model_target(const wire::ApplicationModel& model) {
  return fmt::format("models/{}/{}.json", model.model, model.version);
}

Error over_budget(std::string_view id, std::string_view model, std::string_view what, std::string_view expected,
                  std::string_view got) {
  return Error(ErrorCode::failed_precondition, id,
               fmt::format("model '{}': expected {} of at most {}, got {}; the version before goes on", model, what,
                           expected, got));
}

/// What the trial says, against what the package promises.
Result<void> judge(const ModelTrial& trial, const wire::Metadata& metadata) {
  if (trial.golden_passed < trial.golden_samples) {
    return Error(
        ErrorCode::failed_precondition, "VRG-UPD-007",
        fmt::format("model '{}' on {}: {} of {} golden samples are wrong: {}; the version before goes on", trial.model,
                    trial.engine, trial.golden_samples - trial.golden_passed, trial.golden_samples, trial.difference));
  }
  const auto budget = metadata.budget.value_or(wire::Budget{});
  if (budget.latency_ms && trial.latency_ms > *budget.latency_ms) {
    return over_budget("VRG-UPD-008", trial.model, "an inference", fmt::format("{} ms", *budget.latency_ms),
                       fmt::format("{:.3f} ms", trial.latency_ms));
  }
  if (budget.memory_bytes && trial.memory_bytes > static_cast<std::uint64_t>(*budget.memory_bytes)) {
    return over_budget("VRG-UPD-009", trial.model, "memory", human_bytes(static_cast<double>(*budget.memory_bytes)),
                       human_bytes(static_cast<double>(trial.memory_bytes)));
  }
  return {};
}

}  // namespace

wire::DevicePointer pointer_to(const wire::DesiredApplication& desired) {
  wire::DevicePointer pointer;
  pointer.application = desired.application;
  pointer.version = desired.version;
  pointer.target = desired.target;
  pointer.digest = desired.digest;
  return pointer;
}

Result<trust::Target> Stages::trusted(const std::string& path, const std::string& digest, const std::string& name,
                                      const std::string& version) {
  VERGE_ASSIGN(trust::Target target, trust.target(ports.network, path, ports.clock.now_ms() / 1000));
  if (target.digest != digest) return wrong_target(path, "digest", digest, target.digest);
  VERGE_ASSIGN(const wire::TargetCustom custom, wire::read_target_custom(target.custom, wire::Place(path)));
  if (custom.name != name || custom.version != version) {
    return wrong_target(path, "name and version", name + " " + version, custom.name + " " + custom.version);
  }
  if (custom.kind != kind_of(path)) {
    return wrong_target(path, "kind", wire::name(kind_of(path)), wire::name(custom.kind));
  }
  if ((custom.kind == wire::TargetKind::agent) != (name == package::kAgentName)) {
    return wrong_target(path, "name", "'verge-agent' for a release of the agent, and for nothing else", name);
  }
  VERGE_TRY(package::check_fit(custom, ports.runtime.device()));
  return target;
}

Result<FoundTarget> Stages::find(const wire::DesiredApplication& desired) {
  VERGE_TRY(trust.refresh(ports.network, ports.clock.now_ms() / 1000));
  VERGE_TRY(stored.keep());
  FoundTarget found;
  VERGE_ASSIGN(found.target_, trusted(desired.target, desired.digest, desired.application, desired.version));
  found.pointer_ = pointer_to(desired);
  return found;
}

Result<void> Stages::fetch_document(const BlobOrder& order, Traffic& traffic) {
  if (order.size_bytes > kDocumentLimitBytes) {
    return Error(ErrorCode::data_loss, "VRG-UPD-003",
                 fmt::format("{}: expected a document of at most 4 MiB, got {}", order.digest,
                             human_bytes(static_cast<double>(order.size_bytes))));
  }
  const bool begun = store.bytes_there(order) > 0;
  VERGE_TRY(store.fetch(order, ports.network, traffic.fetched_bytes));
  auto checked = store.check(order);
  if (checked || !begun || checked.error().code() != ErrorCode::data_loss) return checked;
  // What had come before may have been torn by a loss of power: that is no fault of the hub.
  VERGE_TRY(store.fetch(order, ports.network, traffic.fetched_bytes));
  return store.check(order);
}

Result<DownloadedTarget> Stages::download(const FoundTarget& found, Traffic& traffic) {
  DownloadedTarget downloaded;
  downloaded.pointer_ = found.pointer_;
  VERGE_TRY(fetch_document({found.target_.digest, found.target_.length_bytes}, traffic));
  if (kind_of(found.pointer_.target) == wire::TargetKind::application) {
    VERGE_ASSIGN(const std::string text,
                 ports.files.read(ContentStore::blob_name(found.pointer_.digest), kDocumentLimitBytes));
    VERGE_ASSIGN(const wire::Application document, read_application_document(text, found.pointer_));
    for (const auto& model : document.models) {
      VERGE_ASSIGN(const trust::Target target, trusted(model_target(model), *model.digest, model.model, model.version));
      VERGE_TRY(fetch_document({target.digest, target.length_bytes}, traffic));
    }
  }
  VERGE_ASSIGN(downloaded.plan_, plan(found.pointer_));
  std::uint64_t there = 0;
  traffic.total_bytes = 0;
  for (const auto& blob : downloaded.plan_.blobs) {
    traffic.total_bytes += blob.size_bytes;
    there += store.bytes_there(blob);
  }
  if (traffic.reused_bytes == 0 && there > traffic.fetched_bytes) traffic.reused_bytes = there - traffic.fetched_bytes;
  const auto missing = traffic.total_bytes - there;
  if (const auto free = ports.files.free_bytes(); missing > 0 && missing + kReserveBytes > free) {
    return Error(
        ErrorCode::failed_precondition, "VRG-UPD-006",
        fmt::format("needs {} of disk, has {}; free some space and deploy again",
                    human_bytes(static_cast<double>(missing + kReserveBytes)), human_bytes(static_cast<double>(free))));
  }
  VERGE_TRY(use_deltas(downloaded.plan_, traffic));
  for (const auto& blob : downloaded.plan_.blobs) VERGE_TRY(store.fetch(blob, ports.network, traffic.fetched_bytes));
  return downloaded;
}

Result<void> Stages::use_deltas(const Plan& plan, Traffic& traffic) {
  if (!store.has_others(plan.blobs)) return {};
  for (const auto& package : plan.packages) {
    std::vector<BlobOrder> missing;
    for (const auto& file : package.content.files) {
      const BlobOrder order{file.digest, file.size_bytes};
      if (order.size_bytes > store.bytes_there(order)) missing.push_back(order);
    }
    if (std::ranges::none_of(missing, [](const BlobOrder& order) { return order.size_bytes >= kDeltaFromBytes; })) {
      continue;
    }
    const auto offers = ports.network.deltas(package.digest);
    if (!offers && passes_by_itself(offers.error())) return offers.error();
    if (!offers) continue;  // No update fails for want of a delta.
    for (const auto& order : missing) VERGE_TRY(use_delta(order, *offers, traffic));
  }
  return {};
}

Result<void> Stages::use_delta(const BlobOrder& order, const std::vector<DeltaOffer>& offers, Traffic& traffic) {
  const auto missing = order.size_bytes - store.bytes_there(order);
  while (const auto* offer = store.best_delta(order, offers)) {
    VERGE_ASSIGN(const bool made, store.fetch_by_delta(order, *offer, ports.network, traffic.fetched_bytes));
    if (!made) continue;
    traffic.spared_bytes += missing - std::min(missing, offer->size_bytes);
    break;
  }
  return {};
}

Result<Plan> Stages::plan(const wire::DevicePointer& pointer) {
  Plan plan;
  const auto read = [&](const std::string& digest) -> Result<std::string> {
    VERGE_ASSIGN(std::string text, ports.files.read(ContentStore::blob_name(digest), kDocumentLimitBytes));
    add_blob(plan, digest, text.size());
    return text;
  };
  const auto add_package = [&](const std::string& digest, std::string_view artifact_type) -> Result<void> {
    VERGE_ASSIGN(const std::string text, read(digest));
    VERGE_ASSIGN(auto content, package::read_manifest(text, digest, artifact_type));
    add_blob(plan, content.config.digest, content.config.size_bytes);
    for (const auto& file : content.files) add_blob(plan, file.digest, file.size_bytes);
    plan.packages.push_back({digest, std::move(content)});
    return {};
  };
  const auto kind = kind_of(pointer.target);
  if (kind == wire::TargetKind::agent) {
    plan.document = agent_itself(pointer);
    VERGE_TRY(add_package(pointer.digest, package::kAgentArtifactType));
  } else if (kind == wire::TargetKind::model) {
    plan.document = lone_model(pointer);
  } else {
    VERGE_ASSIGN(const std::string text, read(pointer.digest));
    VERGE_ASSIGN(plan.document, read_application_document(text, pointer));
  }
  for (const auto& model : plan.document.models) VERGE_TRY(add_package(*model.digest, package::kArtifactType));
  return plan;
}

/// The document of a package, out of the store.
Result<wire::Node> Stages::document_of(const Plan::Package& package, std::string_view path, const std::string& target) {
  const auto file = std::ranges::find(package.content.files, path, &package::PackageFile::path);
  if (file == package.content.files.end()) return wrong_target(target, "file", path, "no such file");
  VERGE_ASSIGN(const std::string text, ports.files.read(ContentStore::blob_name(file->digest), kDocumentLimitBytes));
  return wire::parse_json(text, path);
}

Result<InstalledPackage> Stages::release_of(const wire::DevicePointer& pointer, const Plan::Package& package) {
  VERGE_ASSIGN(const wire::Node node, document_of(package, package::kReleaseFile, pointer.target));
  InstalledPackage installed;
  installed.digest = package.digest;
  VERGE_ASSIGN(installed.release, wire::read_agent_release(node, wire::Place(package::kReleaseFile)));
  for (const auto& file : package.content.files) {
    installed.files.push_back({file.path, ContentStore::blob_name(file.digest), file.digest, file.size_bytes});
  }
  if (installed.release->version != pointer.version) {
    return wrong_target(pointer.target, "a release with the version", pointer.version, installed.release->version);
  }
  if (std::ranges::find(installed.files, installed.release->program, &ReleaseFile::path) == installed.files.end())
    return wrong_target(pointer.target, "the program", installed.release->program, "no such file");
  return installed;
}

Result<InstalledPackage> Stages::model_of(const wire::ApplicationModel& model, const Plan::Package& package) {
  VERGE_ASSIGN(const wire::Node node, document_of(package, package::kMetadataFile, model_target(model)));
  VERGE_ASSIGN(wire::Metadata metadata, wire::read_metadata(node, wire::Place(package::kMetadataFile)));
  if (metadata.name != model.model || metadata.version != model.version) {
    return wrong_target(model_target(model), "a package of", model.model + " " + model.version,
                        metadata.name + " " + metadata.version);
  }
  return InstalledPackage{package.digest, ContentStore::package_folder(package.digest), std::move(metadata)};
}

Result<VerifiedApplication> Stages::check_content(const wire::DevicePointer& pointer, const Plan& plan) {
  // After a loss of power many may be torn: all are found at once, so that they count as one attempt.
  Result<void> whole;
  for (const auto& blob : plan.blobs) {
    auto checked = store.check(blob);
    const bool fetched_again =
        !checked && (checked.error().code() == ErrorCode::data_loss || checked.error().code() == ErrorCode::not_found);
    if (!checked && !fetched_again) return std::move(checked).error();
    if (whole) whole = std::move(checked);
  }
  VERGE_TRY(std::move(whole));
  VerifiedApplication application;
  application.pointer_ = pointer;
  application.document_ = plan.document;
  const bool is_agent = kind_of(pointer.target) == wire::TargetKind::agent;
  for (std::size_t i = 0; i < plan.packages.size(); ++i) {
    VERGE_ASSIGN(auto installed, is_agent ? release_of(pointer, plan.packages[i])
                                          : model_of(plan.document.models[i], plan.packages[i]));
    application.packages_.push_back(std::move(installed));
  }
  return application;
}

Result<VerifiedTarget> Stages::verify(const DownloadedTarget& downloaded) {
  VerifiedTarget verified;
  VERGE_ASSIGN(verified.application_, check_content(downloaded.pointer_, downloaded.plan_));
  // Before a pointer names them.
  VERGE_TRY(store.keep_checked());
  verified.plan_ = downloaded.plan_;
  return verified;
}

Result<void> Stages::link_package(const Plan::Package& package) {
  const auto folder = ContentStore::package_folder(package.digest);
  // A folder from before may be half there, or hold a file that was damaged and has been fetched anew since. This is
  // looked at before every run, so that nothing here need be durable.
  const bool whole = std::ranges::all_of(package.content.files, [&](const package::PackageFile& file) {
    return ports.files.same(ContentStore::blob_name(file.digest), folder + "/" + file.path);
  });
  if (whole) return {};
  VERGE_TRY(ports.files.remove(folder));
  const auto part = folder + ".part";
  VERGE_TRY(ports.files.remove(part));
  for (const auto& file : package.content.files) {
    VERGE_TRY(ports.files.link(ContentStore::blob_name(file.digest), part + "/" + file.path));
  }
  return ports.files.rename(part, folder);
}

Result<void> Stages::link_packages(const Plan& plan) {
  for (const auto& package : plan.packages) VERGE_TRY(link_package(package));
  return {};
}

Result<InstalledCandidate> Stages::install(const VerifiedTarget& verified) {
  if (!verified.application_.is_agent()) VERGE_TRY(link_packages(verified.plan_));
  InstalledCandidate installed;
  installed.application_ = verified.application_;
  return installed;
}

Result<TestedCandidate> Stages::try_out(const InstalledCandidate& installed, std::map<std::string, double>& numbers) {
  VERGE_ASSIGN(const auto trials, ports.runtime.try_out(installed.application_));
  Result<void> judged;
  const auto& packages = installed.application_.packages_;
  for (std::size_t i = 0; i < trials.size(); ++i) {
    const auto& trial = trials[i];
    numbers["golden_samples"] += static_cast<double>(trial.golden_samples);
    numbers["golden_passed"] += static_cast<double>(trial.golden_passed);
    numbers["memory_bytes"] += static_cast<double>(trial.memory_bytes);
    numbers["latency_ms"] = std::max(numbers["latency_ms"], trial.latency_ms);
    // The models that a new agent is tried with have proved themselves on their own.
    const bool has_budget = !installed.application_.is_agent() && i < packages.size();
    if (judged) judged = judge(trial, has_budget ? packages[i].metadata : wire::Metadata{});
  }
  VERGE_TRY(std::move(judged));
  TestedCandidate tested;
  tested.application_ = installed.application_;
  return tested;
}

Result<VerifiedApplication> Stages::check_again(const wire::DevicePointer& pointer) {
  VERGE_ASSIGN(const auto size, ports.files.size(ContentStore::blob_name(pointer.digest)));
  VERGE_TRY(store.check({pointer.digest, size}));
  VERGE_ASSIGN(const Plan found, plan(pointer));
  VERGE_ASSIGN(VerifiedApplication application, check_content(pointer, found));
  if (!application.is_agent()) VERGE_TRY(link_packages(found));
  return application;
}

}  // namespace verge::update
