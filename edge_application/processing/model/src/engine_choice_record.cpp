#include "engine_choice_record.hpp"

#include "verge/base/file.hpp"
#include "verge/wire/engine_choice.hpp"

namespace verge::processing {
namespace {

constexpr std::size_t kReasonLimit = 4096;

wire::EngineSettingsRecord written(const Settings& settings) {
  wire::EngineSettingsRecord record;
  record.threads = settings.threads;
  record.workers = settings.workers;
  record.batch_rows = settings.batch_rows;
  return record;
}

Settings read(const wire::EngineSettingsRecord& record) {
  return {static_cast<unsigned>(record.threads), static_cast<unsigned>(record.workers), record.batch_rows};
}

}  // namespace

std::optional<EngineChoice> remembered_choice(const std::filesystem::path& path, const std::string& key) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) return std::nullopt;
  const auto node = wire::read_document(path);
  if (!node) return std::nullopt;  // A damaged record is measured again and written anew.
  const auto record = wire::read_engine_choice_record(*node, wire::Place("engine choice"));
  if (!record || record->key != key) return std::nullopt;
  EngineChoice choice{record->engine, read(record->settings), record->because, {}, true};
  for (const auto& trial : record->trials) {
    choice.trials.push_back({trial.engine, trial.engine_version.value_or(""), read(trial.settings), trial.correct,
                             trial.median_ms.value_or(0), trial.per_second.value_or(0), trial.reason.value_or("")});
  }
  return choice;
}

Result<void> remember_choice(const std::filesystem::path& path, const std::string& key, const EngineChoice& choice) {
  wire::EngineChoiceRecord record;
  record.version = 2;
  record.key = key;
  record.engine = choice.engine;
  record.settings = written(choice.settings);
  record.because = choice.because.substr(0, kReasonLimit);
  for (const auto& trial : choice.trials) {
    wire::EngineTrialRecord row;
    row.engine = trial.engine;
    row.engine_version = trial.engine_version;
    row.settings = written(trial.settings);
    row.correct = trial.correct;
    if (trial.correct) row.median_ms = trial.median_ms;
    if (trial.per_second > 0) row.per_second = trial.per_second;
    if (!trial.reason.empty()) row.reason = trial.reason.substr(0, kReasonLimit);
    record.trials.push_back(std::move(row));
  }
  return write_file(path, std::string_view(wire::write_json(wire::to_node(record))));
}

}  // namespace verge::processing
