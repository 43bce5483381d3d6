#include "serving.hpp"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "verge/package/image_layout.hpp"

namespace verge::agent {
namespace {

/// Budgets wait in a line of their own: the models' lines are the limit.
constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
constexpr auto kFarewell = std::chrono::seconds(2);

/// Waits a little for the last requests of what was replaced, then gives its memory back to the system: the allocator
/// would keep it, and the agent would grow with every update.
void release(const std::vector<std::weak_ptr<inference_api::ServedModel>>& old) {
  if (old.empty()) return;
  const auto end = std::chrono::steady_clock::now() + kFarewell;
  while (std::ranges::any_of(old, [](const auto& model) { return !model.expired(); }) &&
         std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  malloc_trim(0);
}

}  // namespace

Serving::Serving(Log& log, telemetry::Metrics& metrics)
    : log_(log), metrics_(metrics), engines_(processing::default_engine_folder()) {}

Serving::~Serving() {
  stop();
}

Result<void> Serving::open() {
  VERGE_ASSIGN(auto scratch, TemporaryFolder::create("verge-agent-"));
  scratch_ = std::move(scratch);
  return {};
}

void Serving::set(ServingOptions options) {
  const std::lock_guard lock(mutex_);
  if (thread_budget_ == nullptr || thread_budget_->capacity() != options.threads) {
    thread_budget_ = std::make_shared<processing::Turnstile>(options.threads, kUnlimited);
  }
  slow_requests_->set_limit(std::chrono::nanoseconds(static_cast<std::int64_t>(options.slow_request_ms * 1e6)));
  options_ = std::move(options);
}

ServingOptions Serving::options() const {
  const std::lock_guard lock(mutex_);
  return options_;
}

void Serving::log_loaded(const inference_api::ServedModel& model, double took_ms) {
  const auto& loaded = model.workers->model();
  const auto& choice = loaded.choice();
  log_.info("model loaded", {{"model", model.name},
                             {"version", model.version()},
                             {"engine", choice.engine},
                             {"engine_version", loaded.engine_version()},
                             {"chosen", choice.trials.empty() ? "as configured"
                                        : choice.remembered   ? "by an earlier measurement"
                                                              : "by measurement"},
                             {"because", choice.because},
                             {"threads", static_cast<long long>(choice.settings.threads)},
                             {"workers", static_cast<long long>(choice.settings.workers)},
                             {"batch_rows", static_cast<long long>(choice.settings.batch_rows)},
                             {"load_ms", took_ms}});
  for (const auto& trial : choice.trials) {
    if (!trial.correct) {
      log_.info("engine left out", {{"model", model.name}, {"engine", trial.engine}, {"reason", trial.reason}});
    }
  }
}

Result<void> Serving::check_memory(const package::ModelPackage& package, const Group& next) const {
  if (options_.model_memory_bytes == 0) return {};
  const auto declared = [](const wire::Metadata& metadata) {
    return static_cast<std::uint64_t>(metadata.budget.value_or(wire::Budget{}).memory_bytes.value_or(0));
  };
  std::uint64_t taken = 0;
  std::set<const inference_api::ServedModel*> counted;
  const auto count = [&](const Group& group) {
    for (const auto& entry : group.entries) {
      if (counted.insert(entry.model.get()).second) taken += declared(entry.model->workers->model().package().metadata);
    }
  };
  for (const auto& [name, group] : groups_) count(group);
  count(next);
  const auto wanted = declared(package.metadata);
  if (wanted == 0 || taken + wanted <= options_.model_memory_bytes) return {};
  return Error(
      ErrorCode::resource_exhausted, "VRG-AGT-009",
      fmt::format("model '{}' declares {} MiB, and the models that run declare {} MiB of the {} MiB there are; "
                  "serve fewer models, lower the package's budget.memory_bytes, or raise 'model_memory_bytes'",
                  package.metadata.name, wanted >> 20U, taken >> 20U, options_.model_memory_bytes >> 20U));
}

Result<Serving::Entry> Serving::load(const ModelOrder& order, const Group* present, const Group& next) {
  VERGE_ASSIGN(auto package, package::open(order.entry.package, scratch_->path()));
  if (!order.digest.empty() && package.digest != order.digest) {
    return Error(ErrorCode::data_loss, "VRG-AGT-004",
                 fmt::format("'{}' is another package than was checked: expected {}, got {}", order.entry.package,
                             order.digest, package.digest));
  }
  const std::string name = order.entry.name.value_or(package.metadata.name);
  auto options = load_options(order.entry, package.metadata, options_);
  options.custom_steps.on_ended = [this, name](const Error& error) {
    log_.warning("custom step ended", {{"model", name}, {"error", error.text()}});
  };
  wire::ModelEntry running = order.entry;
  running.package.clear();
  if (!running.isolation) running.isolation = options_.isolation;
  Entry entry;
  entry.fingerprint = fmt::format(
      "{} {} {} {} {} {}", name, package.digest, wire::write_json_line(wire::to_node(running)), options_.threads,
      options_.max_image_pixels, wire::write_json_line(wire::to_node(options_.custom_steps)));
  if (present != nullptr) {
    const auto same = std::ranges::find(present->entries, entry.fingerprint, &Entry::fingerprint);
    if (same != present->entries.end()) return *same;
  }
  VERGE_TRY(check_memory(package, next));
  const auto start = std::chrono::steady_clock::now();
  VERGE_ASSIGN(auto loaded, processing::LoadedModel::load(std::move(package), engines_, options));
  entry.order = order.entry;
  entry.model = std::make_shared<inference_api::ServedModel>();
  entry.model->name = name;
  entry.model->slow_requests = slow_requests_;
  entry.model->metrics = metrics_.model(name, loaded->package().metadata.version, loaded->choice().engine);
  VERGE_ASSIGN(entry.model->workers, processing::WorkerPool::create(
                                         loaded, pool_options(order.entry, loaded->choice().settings, thread_budget_)));
  log_loaded(*entry.model, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  return entry;
}

/// Packages name themselves where the configuration does not: only now can two be found to have one name.
Result<void> Serving::check_name(const std::string& group, const Group& next, const std::string& name) const {
  const auto called = [&](const Entry& entry) { return entry.model->name == name; };
  for (const auto& [other, content] : groups_) {
    if (other == group || !std::ranges::any_of(content.entries, called)) continue;
    return Error(ErrorCode::invalid_argument, "VRG-AGT-001",
                 fmt::format("a model called '{}' is served already, by {}; give one another 'name'", name,
                             other.empty() ? "the configuration" : "application '" + other + "'"));
  }
  if (!std::ranges::any_of(next.entries, called)) return {};
  return Error(ErrorCode::invalid_argument, "VRG-AGT-001",
               fmt::format("two models are called '{}'; give one another 'name'", name));
}

Result<void> Serving::replace(const std::string& group, const std::vector<ModelOrder>& orders,
                              const std::vector<wire::PipelineEntry>& pipelines, bool lenient) {
  std::vector<std::weak_ptr<inference_api::ServedModel>> old;
  {
    const std::lock_guard lock(mutex_);
    const auto present = groups_.find(group);
    Group next;
    next.pipelines = pipelines;
    for (const auto& order : orders) {
      auto entry = load(order, present == groups_.end() ? nullptr : &present->second, next);
      if (entry) {
        if (auto free = check_name(group, next, entry->model->name); !free) entry = std::move(free).error();
      }
      if (entry) {
        next.entries.push_back(std::move(*entry));
      } else if (lenient) {
        log_.error("model not loaded", {{"package", order.entry.package}, {"error", entry.error().text()}});
      } else {
        return std::move(entry).error().with_context(order.entry.package);
      }
    }
    if (present != groups_.end()) {
      for (const auto& entry : present->second.entries) {
        if (std::ranges::find(next.entries, entry.fingerprint, &Entry::fingerprint) == next.entries.end()) {
          old.push_back(entry.model);
        }
      }
    }
    groups_[group] = std::move(next);
    switch_groups();
  }
  release(old);
  return {};
}

void Serving::end(const std::string& group) {
  std::vector<std::weak_ptr<inference_api::ServedModel>> old;
  {
    const std::lock_guard lock(mutex_);
    const auto present = groups_.find(group);
    if (present == groups_.end()) return;
    for (const auto& entry : present->second.entries) old.push_back(entry.model);
    groups_.erase(present);
    switch_groups();
  }
  release(old);
}

void Serving::switch_groups() {
  inference_api::ModelRepository::Models models;
  for (const auto& [name, group] : groups_) {
    for (const auto& entry : group.entries) models[entry.model->name] = entry.model;
  }
  repository_.replace(std::move(models));
  renew_pipelines();
}

/// A pipeline starts when all its models are there, and goes when one has gone.
Result<void> Serving::check_models(const wire::PipelineEntry& entry) const {
  for (const auto& model : entry.models) VERGE_TRY(repository_.find(model.model, ""));
  return {};
}

void Serving::renew_pipelines() {
  std::vector<std::shared_ptr<PipelineThread>> kept;
  std::vector<const wire::PipelineEntry*> missing;
  for (const auto& [name, group] : groups_) {
    for (const auto& entry : group.pipelines) {
      if (const auto there = check_models(entry); !there) {
        log_.error("pipeline not started", {{"pipeline", entry.name}, {"error", there.error().text()}});
        continue;
      }
      const auto running = std::ranges::find_if(pipelines_, [&](const auto& one) { return one->runs(entry); });
      if (running != pipelines_.end()) {
        kept.push_back(*running);
      } else {
        missing.push_back(&entry);
      }
    }
  }
  keep_pipelines(kept);  // Before others start: a camera or a file has one reader at a time.
  for (const auto* entry : missing) {
    auto started = PipelineThread::start(*entry, repository_, metrics_, log_, options_.spools);
    if (!started) {
      log_.error("pipeline not started", {{"pipeline", entry->name}, {"error", started.error().text()}});
      continue;
    }
    log_.info("pipeline started", {{"pipeline", entry->name}, {"models", entry->models.size()}});
    kept.push_back(std::move(*started));
  }
  keep_pipelines(std::move(kept));
}

void Serving::keep_pipelines(std::vector<std::shared_ptr<PipelineThread>> kept) {
  const std::lock_guard lock(pipelines_mutex_);
  pipelines_.swap(kept);
}

void Serving::stop() {
  const std::lock_guard lock(mutex_);
  keep_pipelines({});
}

std::vector<Serving::Served> Serving::models(const std::string& group) const {
  const std::lock_guard lock(mutex_);
  std::vector<Served> models;
  const auto found = groups_.find(group);
  if (found == groups_.end()) return models;
  for (const auto& entry : found->second.entries) models.push_back(entry.model);
  return models;
}

std::vector<Serving::Served> Serving::models() const {
  std::vector<Served> models;
  const auto all = repository_.models();
  if (all == nullptr) return models;
  for (const auto& [name, model] : *all) models.push_back(model);
  return models;
}

std::vector<ModelOrder> Serving::orders() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelOrder> orders;
  for (const auto& [name, group] : groups_) {
    for (const auto& entry : group.entries) {
      const auto& loaded = entry.model->workers->model();
      if (loaded.given_up()) continue;
      ModelOrder order{entry.order, loaded.package().digest};
      order.entry.name = entry.model->name;
      order.entry.package = loaded.package().root.string();
      orders.push_back(std::move(order));
    }
  }
  return orders;
}

bool Serving::isolates() const {
  const auto all = repository_.models();
  return std::ranges::any_of(*all, [](const auto& model) { return model.second->workers->model().isolated(); });
}

std::vector<std::shared_ptr<PipelineThread>> Serving::pipelines() const {
  const std::lock_guard lock(pipelines_mutex_);
  return pipelines_;
}

std::shared_ptr<PipelineThread> Serving::pipeline(std::string_view name) const {
  const std::lock_guard lock(pipelines_mutex_);
  const auto found = std::ranges::find_if(pipelines_, [&](const auto& one) { return one->name() == name; });
  return found == pipelines_.end() ? nullptr : *found;
}

}  // namespace verge::agent
