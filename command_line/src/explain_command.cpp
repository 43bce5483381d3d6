// verge model explain: which engine and settings run a model on this machine, and why.
#include <memory>
#include <thread>

#include <fmt/format.h>

#include "commands.hpp"
#include "output.hpp"
#include "verge/base/file.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct ExplainOptions {
  std::string model;
  std::string engine = "auto";
  std::string goal = "latency";
  std::string state;
  unsigned threads = 0;
  std::string output = "table";
  [[nodiscard]] Format format() const { return output == "json" ? Format::json : Format::table; }
};

Node settings_node(const processing::Settings& settings) {
  Node node = Node::map();
  node.add("threads", Node::integer(settings.threads));
  node.add("workers", Node::integer(settings.workers));
  node.add("batch_rows", Node::integer(settings.batch_rows));
  return node;
}

void print_json(const processing::EngineChoice& choice) {
  Node node = Node::map();
  node.add("engine", Node::string(choice.engine));
  node.add("settings", settings_node(choice.settings));
  node.add("because", Node::string(choice.because));
  node.add("remembered", Node::boolean(choice.remembered));
  node.add("trials", Node::list_of(choice.trials, [](const processing::EngineTrial& trial) {
             Node row = Node::map();
             row.add("engine", Node::string(trial.engine));
             row.add("engine_version", Node::string(trial.engine_version));
             row.add("settings", settings_node(trial.settings));
             row.add("correct", Node::boolean(trial.correct));
             if (trial.correct) row.add("median_ms", Node::number(trial.median_ms));
             if (trial.per_second > 0) row.add("per_second", Node::number(trial.per_second));
             if (!trial.reason.empty()) row.add("reason", Node::string(trial.reason));
             return row;
           }));
  print(wire::write_json(node));
}

void print_table(const processing::EngineChoice& choice) {
  std::vector<std::vector<std::string>> rows{
      {"ENGINE", "VERSION", "THREADS", "WORKERS", "BATCH", "MEDIAN ms", "SAMPLES/s", "RESULT"}};
  bool chosen = false;
  for (const auto& trial : choice.trials) {
    const bool is_it = !chosen && trial.correct && trial.engine == choice.engine && trial.settings == choice.settings;
    chosen = chosen || is_it;
    rows.push_back({trial.engine, trial.engine_version, std::to_string(trial.settings.threads),
                    std::to_string(trial.settings.workers), std::to_string(trial.settings.batch_rows),
                    trial.correct ? fmt::format("{:.3f}", trial.median_ms) : "-",
                    trial.per_second > 0 ? fmt::format("{:.1f}", trial.per_second) : "-",
                    is_it           ? "kept"
                    : trial.correct ? "correct"
                                    : "left out: " + trial.reason});
  }
  print(table(rows));
  print(fmt::format("\n{}{}: {}", choice.engine, choice.remembered ? " (measured earlier)" : "", choice.because));
}

Result<void> explain(const ExplainOptions& options) {
  VERGE_ASSIGN(const TemporaryFolder scratch, TemporaryFolder::create("verge-explain-"));
  VERGE_ASSIGN(auto package, package::open(options.model, scratch.path()));
  processing::EngineCatalogue engines(processing::default_engine_folder());
  processing::LoadOptions load;
  load.engine = options.engine;
  load.goal = options.goal == "latency" ? processing::Goal::latency : processing::Goal::throughput;
  load.available_threads = options.threads > 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
  load.state_directory = options.state;
  VERGE_ASSIGN(const auto model, processing::LoadedModel::load(std::move(package), engines, load));
  options.format() == Format::json ? print_json(model->choice()) : print_table(model->choice());
  return {};
}

}  // namespace

void add_explain_command(CLI::App& app, Action& action) {
  auto* verb = app.get_subcommand("model")->add_subcommand(
      "explain",
      "Measure every engine, number of threads and batch that runs a model here correctly, and say which is kept\n\n"
      "Example:\n  verge model explain models/efficientnet_lite0 --goal throughput");
  auto o = std::make_shared<ExplainOptions>();
  verb->add_option("MODEL", o->model, "Model package (folder or image layout)")->required();
  verb->add_option("--engine", o->engine, "Only this engine")->capture_default_str();
  verb->add_option("--goal", o->goal, "latency or throughput")
      ->check(CLI::IsMember({"latency", "throughput"}))
      ->capture_default_str();
  verb->add_option("--threads", o->threads, "Threads that may be used; 0: one for each core")->capture_default_str();
  verb->add_option("--state", o->state, "State directory of an agent, whose measurement is shown when it has one");
  verb->add_option("--output", o->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  verb->callback([o, &action] {
    action = [o] {
      const auto done = explain(*o);
      return done ? 0 : report(done.error(), o->format());
    };
  });
}

}  // namespace verge::cli
