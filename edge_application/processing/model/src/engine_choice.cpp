#include <algorithm>
#include <fstream>

#include <fmt/format.h>

#include "batches.hpp"
#include "engine_choice_record.hpp"
#include "engine_measurement.hpp"
#include "model_state.hpp"
#include "verge/processing/golden_replay.hpp"

namespace verge::processing {
namespace {

/// One that needs fewer threads is taken when it is so little slower: its neighbours have use for them.
constexpr double kWorthAThread = 1.03;

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name") || line.starts_with("CPU part")) return line.substr(line.find(':') + 1);
  }
  return "unknown";
}

Goal goal(const LoadOptions& options) {
  return options.goal.value_or(Goal::latency);
}

/// What a measurement depends on. Loads no engine: that would cost more than the measurement saves.
std::string measurement_key(const package::ModelPackage& package, const EngineCatalogue& engines,
                            const LoadOptions& options, std::string_view engine) {
  return fmt::format(
      "processor={}; engine={}; goal={}; threads={} of {}; workers={}; batch={}; isolated={}; "
      "precision={}; engines={}",
      processor_name(), engine, goal(options) == Goal::latency ? "latency" : "throughput", options.threads,
      options.available_threads, options.max_workers, options.batch_rows, options.isolation.has_value(),
      wire::name(package.metadata.precision), engines.fingerprint());
}

std::filesystem::path record_path(const package::ModelPackage& package, const LoadOptions& options) {
  return options.state_directory / "engine_choices" / (package.digest.substr(package.digest.find(':') + 1) + ".json");
}

/// Every number of threads that is worth a try, the largest first.
std::vector<unsigned> thread_counts(const LoadOptions& options) {
  if (options.threads > 0 || options.available_threads == 0) return {options.threads};
  std::vector<unsigned> counts;
  for (unsigned count = options.available_threads; count > 0; count /= 2) counts.push_back(count);
  return counts;
}

std::vector<Settings> candidates(const LoadOptions& options) {
  std::vector<Settings> list;
  for (const unsigned threads : thread_counts(options)) {
    unsigned workers = std::max(options.max_workers, 1U);
    if (options.max_workers == 0 && goal(options) == Goal::throughput && threads > 0) {
      workers = std::max(options.available_threads / threads, 1U);
    }
    list.push_back({threads, workers, std::max<std::int64_t>(options.batch_rows, 1)});
  }
  return list;
}

class Trials {
 public:
  Trials(const package::ModelPackage& package, EngineCatalogue& engines, const LoadOptions& options)
      : package_(package), engines_(engines), options_(options) {}

  /// All settings in one engine; stops at the first that is not correct: the others would not be either.
  void measure(const EngineInfo& info) {
    for (const auto& settings : candidates(options_)) {
      trials_.push_back(attempt(info, settings));
      if (!trials_.back().correct) return;
    }
    if (goal(options_) != Goal::throughput || options_.batch_rows != 0 || !batches_) return;
    Settings best = trials_[fastest(info.name)].settings;
    for (const std::int64_t rows : {4, 8}) {
      best.batch_rows = rows;
      trials_.push_back(attempt(info, best));
    }
  }
  void leave_out(const std::string& engine, std::string reason) {
    trials_.push_back({engine, "", {}, false, 0, 0, std::move(reason)});
  }

  /// Index of the best trial of the engine (empty: of all); trials().size() when none is correct.
  [[nodiscard]] std::size_t fastest(std::string_view engine) const {
    std::size_t best = trials_.size();
    for (std::size_t i = 0; i < trials_.size(); ++i) {
      if (!trials_[i].correct || (!engine.empty() && trials_[i].engine != engine)) continue;
      if (best == trials_.size() || beats(trials_[i], trials_[best])) best = i;
    }
    return best;
  }
  [[nodiscard]] std::vector<EngineTrial> take() { return std::move(trials_); }
  [[nodiscard]] const std::vector<EngineTrial>& all() const noexcept { return trials_; }

 private:
  [[nodiscard]] bool beats(const EngineTrial& one, const EngineTrial& other) const {
    if (goal(options_) == Goal::throughput) return one.per_second > other.per_second;
    const bool frugal = one.settings.threads < other.settings.threads;
    return one.median_ms * (frugal ? 1 : kWorthAThread) < other.median_ms * (frugal ? kWorthAThread : 1);
  }

  EngineTrial attempt(const EngineInfo& info, const Settings& settings) {
    EngineTrial trial{info.name, info.version, settings, false, 0, 0, {}};
    if (auto measured = run(trial); !measured) {
      trial.reason = measured.error().text();
    } else if (trial.reason.empty()) {
      trial.correct = true;
    }
    return trial;
  }

  Result<void> run(EngineTrial& trial) {
    LoadOptions one = options_;
    one.goal.reset();
    one.engine = trial.engine;
    one.threads = trial.settings.threads;
    one.max_workers = trial.settings.workers;
    VERGE_ASSIGN(const auto model, LoadedModel::load(package_, engines_, one));
    batches_ = Batches::possible(*model);
    VERGE_ASSIGN(auto worker, model->create_worker());
    VERGE_ASSIGN(const auto results, replay_golden(worker));
    for (const auto& result : results) {
      if (!result.passed) trial.reason = fmt::format("golden sample '{}': {}", result.sample, result.difference);
    }
    if (!trial.reason.empty()) return {};
    VERGE_ASSIGN(trial.median_ms, median_ms(worker));
    if (goal(options_) == Goal::latency) return {};
    VERGE_ASSIGN(trial.per_second, rows_per_second(*model, trial.settings.workers, trial.settings.batch_rows));
    return {};
  }

  const package::ModelPackage& package_;
  EngineCatalogue& engines_;
  const LoadOptions& options_;
  std::vector<EngineTrial> trials_;
  bool batches_ = false;
};

std::string described(const EngineTrial& trial) {
  std::string text = trial.per_second > 0 ? fmt::format("{:.1f} samples/s", trial.per_second)
                                          : fmt::format("{:.3g} ms", trial.median_ms);
  const auto& settings = trial.settings;
  if (settings.threads > 0) {
    text += fmt::format(" with {} thread{}", settings.threads, settings.threads == 1 ? "" : "s");
  }
  if (settings.workers > 1) text += fmt::format(" in each of {} workers", settings.workers);
  if (settings.batch_rows > 1) text += fmt::format(", {} rows at once", settings.batch_rows);
  return text;
}

std::string because(const std::vector<EngineTrial>& trials, std::size_t chosen, Goal goal) {
  std::string text = described(trials[chosen]);
  const EngineTrial* next = nullptr;
  for (std::size_t i = 0; i < trials.size(); ++i) {
    if (i == chosen || !trials[i].correct) continue;
    const bool better = next == nullptr || (goal == Goal::throughput ? trials[i].per_second > next->per_second
                                                                     : trials[i].median_ms < next->median_ms);
    if (better) next = &trials[i];
  }
  return next == nullptr ? text + "; nothing else is correct"
                         : text + fmt::format("; next: {}, {}", next->engine, described(*next));
}

}  // namespace

Result<EngineChoice> choose_engine(const package::ModelPackage& package, EngineCatalogue& engines,
                                   const LoadOptions& options, std::string_view engine) {
  const std::string key = measurement_key(package, engines, options, engine);
  const bool keeps = !options.state_directory.empty();
  if (keeps) {
    if (auto choice = remembered_choice(record_path(package, options), key)) return std::move(*choice);
  }
  const std::string format(wire::name(package.metadata.model.format));
  Trials trials(package, engines, options);
  for (const auto& name : engines.names()) {
    if (engine != "auto" && name != engine) continue;
    auto info = engines.info(name);
    if (!info) {
      trials.leave_out(name, info.error().text());
    } else if (std::ranges::find(info->formats, format) != info->formats.end()) {
      trials.measure(*info);
    }
  }
  const auto best = trials.fastest({});
  if (best == trials.all().size()) {
    std::string refusals;
    for (const auto& trial : trials.all()) refusals += fmt::format("; {}: {}", trial.engine, trial.reason);
    return Error(
        ErrorCode::failed_precondition, "VRG-MDL-001",
        fmt::format("no engine of this machine runs this {} model correctly{}; install an engine that does, or "
                    "name one with 'engine'",
                    format, refusals.empty() ? "; none reads that format" : refusals));
  }
  EngineChoice choice;
  choice.engine = trials.all()[best].engine;
  choice.settings = trials.all()[best].settings;
  choice.because = because(trials.all(), best, goal(options));
  choice.trials = trials.take();
  if (keeps) VERGE_TRY(remember_choice(record_path(package, options), key, choice));
  return choice;
}

}  // namespace verge::processing
