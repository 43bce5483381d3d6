#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>

#include <fmt/format.h>

#include "model_state.hpp"
#include "verge/base/file.hpp"
#include "verge/processing/golden_replay.hpp"
#include "verge/wire/engine_choice.hpp"

namespace verge::processing {
namespace {

constexpr int kWarmUpRuns = 3;
constexpr int kMostRuns = 31;
constexpr auto kLongestMeasurement = std::chrono::milliseconds(500);

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name") || line.starts_with("CPU part")) return line.substr(line.find(':') + 1);
  }
  return "unknown";
}

/// What a measurement depends on. Loads no engine: that would cost more than the measurement saves.
std::string measurement_key(const package::ModelPackage& package, const EngineCatalogue& engines,
                            const LoadOptions& options) {
  return fmt::format("processor={}; threads={}; workers={}; precision={}; engines={}", processor_name(),
                     options.threads, options.max_workers, wire::name(package.metadata.precision),
                     engines.fingerprint());
}

std::filesystem::path record_path(const package::ModelPackage& package, const LoadOptions& options) {
  return options.state_directory / "engine_choices" / (package.digest.substr(package.digest.find(':') + 1) + ".json");
}

std::optional<EngineChoice> remembered(const std::filesystem::path& path, const std::string& key) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) return std::nullopt;
  const auto node = wire::read_document(path);
  if (!node) return std::nullopt;  // A damaged record is measured again and written anew.
  const auto record = wire::read_engine_choice_record(*node, wire::Place("engine choice"));
  if (!record || record->key != key) return std::nullopt;
  EngineChoice choice{record->engine, {}, true};
  for (const auto& trial : record->trials) {
    choice.trials.push_back({trial.engine, trial.engine_version.value_or(""), trial.correct,
                             trial.median_ms.value_or(0), trial.reason.value_or("")});
  }
  return choice;
}

Result<void> remember(const std::filesystem::path& path, const std::string& key, const EngineChoice& choice) {
  wire::EngineChoiceRecord record;
  record.version = 1;
  record.key = key;
  record.engine = choice.engine;
  for (const auto& trial : choice.trials) {
    wire::EngineTrialRecord written;
    written.engine = trial.engine;
    written.engine_version = trial.engine_version;
    written.correct = trial.correct;
    if (trial.correct) written.median_ms = trial.median_ms;
    if (!trial.reason.empty()) written.reason = trial.reason.substr(0, 4096);
    record.trials.push_back(std::move(written));
  }
  return write_file(path, std::string_view(wire::write_json(wire::to_node(record))));
}

Result<double> median_ms(Worker& worker) {
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < kWarmUpRuns; ++i) {
    if (auto run = worker.infer(); !run) return std::move(run).error();
  }
  std::vector<double> times;
  const auto end = Clock::now() + kLongestMeasurement;
  while (static_cast<int>(times.size()) < kMostRuns && (times.size() < 3 || Clock::now() < end)) {
    if (auto run = worker.infer(); !run) return std::move(run).error();
    times.push_back(static_cast<double>(worker.times().infer_ns) / 1e6);
  }
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

EngineTrial try_engine(const package::ModelPackage& package, EngineCatalogue& engines, const LoadOptions& options,
                       const EngineInfo& info) {
  EngineTrial trial{info.name, info.version, false, 0, {}};
  LoadOptions one = options;
  one.engine = info.name;
  const auto model = LoadedModel::load(package, engines, one);
  if (!model) {
    trial.reason = model.error().text();
    return trial;
  }
  auto worker = (*model)->create_worker();
  if (!worker) {
    trial.reason = worker.error().text();
    return trial;
  }
  const auto results = replay_golden(*worker);
  if (!results) {
    trial.reason = results.error().text();
    return trial;
  }
  for (const auto& result : *results) {
    if (!result.passed) trial.reason = fmt::format("golden sample '{}': {}", result.sample, result.difference);
  }
  if (!trial.reason.empty()) return trial;
  const auto median = median_ms(*worker);
  if (!median) {
    trial.reason = median.error().text();
    return trial;
  }
  trial.correct = true;
  trial.median_ms = *median;
  return trial;
}

}  // namespace

Result<EngineChoice> choose_engine(const package::ModelPackage& package, EngineCatalogue& engines,
                                   const LoadOptions& options) {
  const std::string key = measurement_key(package, engines, options);
  const bool keeps = !options.state_directory.empty();
  if (keeps) {
    if (auto choice = remembered(record_path(package, options), key)) return std::move(*choice);
  }
  EngineChoice choice;
  const std::string format(wire::name(package.metadata.model.format));
  std::string refusals;
  for (const auto& name : engines.names()) {
    auto info = engines.info(name);
    if (!info) {
      choice.trials.push_back({name, "", false, 0, info.error().text()});
      refusals += fmt::format("; {}: {}", name, info.error().message());
      continue;
    }
    if (std::ranges::find(info->formats, format) == info->formats.end()) continue;
    choice.trials.push_back(try_engine(package, engines, options, *info));
    const auto& trial = choice.trials.back();
    if (!trial.correct) refusals += fmt::format("; {}: {}", name, trial.reason);
  }
  double best = std::numeric_limits<double>::infinity();
  for (const auto& trial : choice.trials) {
    if (!trial.correct || trial.median_ms >= best) continue;
    best = trial.median_ms;
    choice.engine = trial.engine;
  }
  if (choice.engine.empty()) {
    return Error(
        ErrorCode::failed_precondition, "VRG-MDL-001",
        fmt::format("no engine of this machine runs this {} model correctly{}; install an engine that does, or "
                    "name one with 'engine'",
                    format, refusals.empty() ? "; none reads that format" : refusals));
  }
  if (keeps) VERGE_TRY(remember(record_path(package, options), key, choice));
  return choice;
}

}  // namespace verge::processing
