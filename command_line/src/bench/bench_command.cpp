// verge bench: what the engine takes, what Verge adds, and where each microsecond goes.
#include <array>
#include <chrono>
#include <functional>
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "../commands.hpp"
#include "../output.hpp"
#include "bench_sample.hpp"
#include "measured_agent.hpp"
#include "percentiles.hpp"
#include "verge/package/image_layout.hpp"

namespace verge::cli {
namespace {

using Clock = std::chrono::steady_clock;
using wire::Node;

/// Blocks of each measurement take turns, so that a machine that grows warm or busy does so for all alike.
constexpr int kRounds = 10;

struct BenchOptions {
  std::string model;
  std::string image;
  std::string engine;
  unsigned threads = 0;
  double seconds = 10;
  bool no_agent = false;
  std::size_t layers = 0;
  std::string output = "table";
  [[nodiscard]] Format format() const { return output == "json" ? Format::json : Format::table; }
};

/// One thing that is measured.
struct Measured {
  const char* name;
  const char* what;
  std::function<Result<void>()> run;
  Times times{};
};

/// Sums of the stages, over all samples.
struct Stages {
  double decode_us = 0;
  double preprocess_us = 0;
  double infer_us = 0;
  double postprocess_us = 0;
  std::int64_t count = 0;
  void add(const processing::StageTimes& times) {
    decode_us += static_cast<double>(times.decode_ns) / 1e3;
    preprocess_us += static_cast<double>(times.preprocess_ns) / 1e3;
    infer_us += static_cast<double>(times.infer_ns) / 1e3;
    postprocess_us += static_cast<double>(times.postprocess_ns) / 1e3;
    ++count;
  }
  [[nodiscard]] double mean(double sum) const { return count == 0 ? 0 : sum / static_cast<double>(count); }
};

Result<void> measure(std::vector<Measured>& all, double seconds) {
  const auto block =
      std::chrono::duration<double>(seconds / kRounds / static_cast<double>(std::max<std::size_t>(all.size(), 1)));
  for (auto& one : all) {
    for (int i = 0; i < 5; ++i) VERGE_TRY(one.run());
  }
  Progress progress;
  for (int round = 0; round < kRounds; ++round) {
    for (auto& one : all) {
      progress.show(fmt::format("round {} of {}: {}", round + 1, kRounds, one.name));
      const auto end = Clock::now() + block;
      do {
        const auto start = Clock::now();
        VERGE_TRY(one.run());
        one.times.add(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
      } while (Clock::now() < end);
    }
  }
  return {};
}

/// An infer request with binary tensors in and out; its JSON comes first.
struct InferRequest {
  std::string body;
  std::size_t json_bytes = 0;
};

InferRequest infer_request(const processing::LoadedModel& model, const BenchSample& sample) {
  std::string json = R"({"parameters":{"binary_data_output":true},"inputs":[)";
  std::string tensors;
  for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
    const auto& spec = model.inputs()[i];
    auto shape = spec.shape;
    std::ranges::replace_if(
        shape, [](std::int64_t size) { return size < 0; }, 1);
    json += fmt::format(R"({}{{"name":"{}","datatype":"{}","shape":[{}],"parameters":{{"binary_data_size":{}}}}})",
                        i == 0 ? "" : ",", spec.name, processing::name(spec.datatype), fmt::join(shape, ","),
                        sample.inputs[i].size());
    tensors.append(reinterpret_cast<const char*>(sample.inputs[i].data()), sample.inputs[i].size());
  }
  json += "]}";
  const auto json_bytes = json.size();
  return {json + tensors, json_bytes};
}

Node number(double value) {
  return Node::number(value);
}

void print_json(const processing::LoadedModel& model, const BenchSample& sample, std::vector<Measured>& all,
                const Stages& stages) {
  Node node = Node::map();
  node.add("model", Node::string(model.package().metadata.name));
  node.add("engine", Node::string(model.choice().engine));
  node.add("engine_version", Node::string(std::string(model.engine_version())));
  node.add("threads", Node::integer(model.choice().settings.threads));
  node.add("sample", Node::string(sample.name));
  Node measured = Node::map();
  for (auto& one : all) {
    Node row = Node::map();
    row.add("count", Node::integer(static_cast<std::int64_t>(one.times.count())));
    for (const auto& [name, share] : std::array<std::pair<const char*, double>, 4>{
             {{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p99_9_us", 0.999}}}) {
      row.add(name, number(one.times.at(share)));
    }
    measured.add(one.name, std::move(row));
  }
  node.add("measured", std::move(measured));
  Node mean = Node::map();
  mean.add("decode_us", number(stages.mean(stages.decode_us)));
  mean.add("preprocess_us", number(stages.mean(stages.preprocess_us)));
  mean.add("infer_us", number(stages.mean(stages.infer_us)));
  mean.add("postprocess_us", number(stages.mean(stages.postprocess_us)));
  node.add("processing_mean", std::move(mean));
  print(wire::write_json(node));
}

void print_table(const processing::LoadedModel& model, const BenchSample& sample, std::vector<Measured>& all,
                 const Stages& stages) {
  print(fmt::format("{} {} on {} {}, {} thread{}, sample {}\n", model.package().metadata.name,
                    model.package().metadata.version, model.choice().engine, model.engine_version(),
                    model.choice().settings.threads, model.choice().settings.threads == 1 ? "" : "s", sample.name));
  std::vector<std::vector<std::string>> rows{
      {"MEASURED", "P50 µs", "P90 µs", "P99 µs", "P99.9 µs", "OF ENGINE", "RUNS", "WHAT"}};
  const double engine = all.front().times.at(0.5);
  for (auto& one : all) {
    const auto us = [&](double share) { return fmt::format("{:.0f}", one.times.at(share)); };
    rows.push_back({one.name, us(0.5), us(0.9), us(0.99), us(0.999), fmt::format("{:.3f}", one.times.at(0.5) / engine),
                    std::to_string(one.times.count()), one.what});
  }
  print(table(rows));
  std::vector<std::vector<std::string>> where{{"WHERE IT GOES", "MEAN µs"}};
  const auto add = [&](const char* name, double us) { where.push_back({name, fmt::format("{:.1f}", us)}); };
  add("decode", stages.mean(stages.decode_us));
  add("preprocess", stages.mean(stages.preprocess_us));
  add("infer", stages.mean(stages.infer_us));
  add("postprocess", stages.mean(stages.postprocess_us));
  if (all.size() > 2) {
    add("HTTP and JSON around predict (p50)", all[3].times.at(0.5) - all[1].times.at(0.5));
    add("HTTP and JSON around infer (p50)", all[2].times.at(0.5) - engine);
  }
  print("\n" + table(where));
}

/// The layers that take the most, averaged over some runs.
Result<void> print_layers(const package::ModelPackage& package, processing::EngineCatalogue& engines,
                          processing::LoadOptions load, const BenchSample& sample, std::size_t most) {
  constexpr int kRuns = 20;
  load.profile = true;
  VERGE_ASSIGN(const auto model, processing::LoadedModel::load(package, engines, load));
  VERGE_ASSIGN(auto worker, model->create_worker());
  VERGE_TRY(predict(worker, sample));
  std::vector<processing::LayerTime> layers;
  for (int run = 0; run < kRuns; ++run) {
    VERGE_TRY(worker.infer());
    VERGE_ASSIGN(const auto times, worker.profile());
    if (layers.empty()) layers.resize(times.size());
    for (std::size_t i = 0; i < std::min(times.size(), layers.size()); ++i) {
      layers[i].name = times[i].name;
      layers[i].kind = times[i].kind;
      layers[i].time_ns += times[i].time_ns;
    }
  }
  double total_us = 0;
  for (const auto& layer : layers) total_us += static_cast<double>(layer.time_ns) / 1e3 / kRuns;
  std::ranges::sort(layers, std::greater{}, &processing::LayerTime::time_ns);
  std::vector<std::vector<std::string>> rows{{"LAYER", "KIND", "MEAN µs", "SHARE"}};
  for (std::size_t i = 0; i < std::min(most, layers.size()); ++i) {
    const double us = static_cast<double>(layers[i].time_ns) / 1e3 / kRuns;
    rows.push_back({layers[i].name, layers[i].kind, fmt::format("{:.1f}", us),
                    fmt::format("{:.1f} %", total_us > 0 ? us / total_us * 100 : 0)});
  }
  print(fmt::format("\n{}\n{} layers, {:.0f} µs together, with the engine's own measuring", table(rows), layers.size(),
                    total_us));
  return {};
}

Result<void> bench(const BenchOptions& options) {
  VERGE_ASSIGN(const TemporaryFolder scratch, TemporaryFolder::create("verge-bench-"));
  VERGE_ASSIGN(const auto package, package::open(options.model, scratch.path()));
  processing::EngineCatalogue engines(processing::default_engine_folder());
  processing::LoadOptions load;
  load.engine = options.engine;
  load.threads = options.threads;
  load.available_threads = std::max(1U, std::thread::hardware_concurrency());
  VERGE_ASSIGN(const auto model, processing::LoadedModel::load(package, engines, load));
  VERGE_ASSIGN(auto worker, model->create_worker());
  VERGE_ASSIGN(const BenchSample sample, bench_sample(worker, options.image));
  Stages stages;
  std::vector<Measured> all;
  all.push_back({"engine", "the engine alone", [&]() -> Result<void> {
                   VERGE_TRY(worker.infer());
                   return {};
                 }});
  all.push_back({"processing", "sample to prediction, in this process", [&]() -> Result<void> {
                   VERGE_TRY(predict(worker, sample));
                   stages.add(worker.times());
                   return {};
                 }});
  std::unique_ptr<MeasuredAgent> agent;
  const auto request = infer_request(*model, sample);
  const std::string content(reinterpret_cast<const char*>(sample.content.data()), sample.content.size());
  if (!options.no_agent) {
    VERGE_ASSIGN(agent, MeasuredAgent::start(options.model, model->choice().engine, model->choice().settings.threads));
    all.push_back({"infer", "tensors over HTTP", [&]() -> Result<void> {
                     VERGE_TRY(agent->post("/v2/models/model/infer", request.body, "application/octet-stream",
                                           request.json_bytes));
                     return {};
                   }});
    all.push_back({"predict", "sample over HTTP", [&]() -> Result<void> {
                     VERGE_TRY(agent->post("/v2/models/model/predict", content, "application/octet-stream", 0));
                     return {};
                   }});
  }
  VERGE_TRY(measure(all, options.seconds));
  if (options.format() == Format::json) {
    print_json(*model, sample, all, stages);
    return {};
  }
  print_table(*model, sample, all, stages);
  if (options.layers == 0) return {};
  load.engine = model->choice().engine;
  load.threads = model->choice().settings.threads;
  return print_layers(package, engines, load, sample, options.layers);
}

}  // namespace

void add_bench_command(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand(
      "bench",
      "Measure a model on this machine: the engine alone, the processing, and an agent over HTTP\n\nExample:\n"
      "  verge bench models/efficientnet_lite0 --image cat.jpg\n\n"
      "P90 is what MLPerf's SingleStream reports, P99 what its MultiStream does.");
  auto o = std::make_shared<BenchOptions>();
  verb->add_option("MODEL", o->model, "Model package (folder or image layout)")->required();
  verb->add_option("--image", o->image, "Picture to measure with; the first golden one when absent")
      ->check(CLI::ExistingFile);
  verb->add_option("--engine", o->engine, "Engine in place of the package's own");
  verb->add_option("--threads", o->threads, "Threads of one inference; 0: measured for 'auto', else one for each core")
      ->capture_default_str();
  verb->add_option("--seconds", o->seconds, "How long to measure")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  verb->add_option("--layers", o->layers, "Show the layers that take the most, where the engine tells (openvino)");
  verb->add_flag("--no-agent", o->no_agent, "Leave the agent out");
  verb->add_option("--output", o->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  verb->callback([o, &action] {
    action = [o] {
      const auto done = bench(*o);
      return done ? 0 : report(done.error(), o->format());
    };
  });
}

}  // namespace verge::cli
