#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <thread>

#include <fmt/format.h>

#include "commands.hpp"
#include "output.hpp"
#include "preview.hpp"
#include "verge/base/file.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/pipeline/runner.hpp"
#include "verge/processing/draft.hpp"
#include "verge/processing/rendering.hpp"

namespace verge::cli {
namespace {

struct RunOptions {
  std::string model;
  std::vector<std::string> samples;
  std::vector<std::string> images;
  std::string folder, video, labels, engine, output = "table", directory = ".", state;
  int camera = -1;
  unsigned threads = 0;
  bool show_preview = false;
  [[nodiscard]] Format format() const { return output == "json" ? Format::json : Format::table; }
};

std::atomic<bool> interrupted{false};

/// Opens a package, or drafts one for a bare model file in `scratch`.
Result<package::ModelPackage> open_model(const RunOptions& options, processing::EngineCatalogue& engines,
                                         const std::filesystem::path& scratch) {
  std::error_code failed;
  const std::filesystem::path path(options.model);
  const bool bare =
      std::filesystem::is_regular_file(path, failed) || std::filesystem::exists(path / "saved_model.pb", failed);
  if (!bare) return package::open(options.model, scratch);
  VERGE_ASSIGN(const auto draft, processing::draft_package(path, engines, options.engine));
  VERGE_TRY(processing::write_draft(draft, path, options.labels, scratch / "draft", false));
  if (options.format() != Format::json) {
    note("No package, so the processing was guessed ('verge package init' writes it down):");
    for (const auto& guess : draft.guesses) {
      note(fmt::format("  {}: {} ({}{})", guess.what, guess.value, guess.certain ? "" : "a guess: ", guess.why));
    }
  }
  return package::open_folder(scratch / "draft");
}

std::string summary(const processing::Prediction& prediction) {
  constexpr std::size_t kShown = 3;
  std::string out;
  const auto add = [&](std::string_view label, int index, float score) {
    out += fmt::format("{}{} {:.3f}", out.empty() ? "" : ", ",
                       label.empty() ? std::to_string(index) : std::string(label), score);
  };
  switch (prediction.kind) {
    case processing::PredictionKind::classes:
      for (std::size_t i = 0; i < std::min(kShown, prediction.classes.size()); ++i) {
        add(prediction.classes[i].label, prediction.classes[i].class_index, prediction.classes[i].score);
      }
      break;
    case processing::PredictionKind::boxes:
      for (const auto& box : prediction.boxes) {
        add(box.label, box.class_index, box.score);
        out += fmt::format(" [{:.0f}, {:.0f}, {:.0f}, {:.0f}]", box.x0, box.y0, box.x1, box.y1);
      }
      if (prediction.boxes.empty()) out = "nothing found";
      break;
    case processing::PredictionKind::mask:
      for (const auto& area : prediction.areas) add(area.label, area.class_index, area.fraction);
      break;
    case processing::PredictionKind::anomaly:
      out = fmt::format("{}: error {:.4g}, threshold {:.4g}", prediction.anomaly.found ? "anomaly" : "normal",
                        prediction.anomaly.error, prediction.anomaly.threshold);
      break;
    case processing::PredictionKind::values:
      for (const auto& [name, value] : prediction.values) {
        out += fmt::format("{}{} {:.6g}", out.empty() ? "" : ", ", name, value);
      }
      break;
    case processing::PredictionKind::custom: out = prediction.custom; break;
    case processing::PredictionKind::tensors:
      for (const auto& tensor : prediction.tensors) {
        out +=
            fmt::format("{}{} {}", out.empty() ? "" : ", ", name(tensor.datatype), processing::describe(tensor.shape));
      }
      break;
  }
  return out;
}

/// Prints predictions, and draws them where that was asked for.
class Printer final : public pipeline::Sink, public pipeline::Observer {
 public:
  explicit Printer(const RunOptions& options) : options_(options) {}

  Result<void> put(const pipeline::Event& event) override {
    progress_.clear();
    const auto& finding = event.findings.front();
    if (options_.output == "json") {
      std::string line = "{\"source\":";
      processing::append_json_string(event.sample.name, line);
      print(fmt::format("{},\"frame\":{},{}}}", line, event.sample.index, finding.json));
    } else if (options_.output == "table" && !options_.show_preview) {
      const auto& times = finding.times;
      const auto ms = [](std::int64_t ns) { return static_cast<double>(ns) / 1e6; };
      print(fmt::format("{}  {}  {:.2f} ms (decode {:.2f}, preprocess {:.2f}, infer {:.2f}, postprocess {:.2f})",
                        shown_name(event.sample), summary(finding.prediction), ms(times.total_ns()),
                        ms(times.decode_ns), ms(times.preprocess_ns), ms(times.infer_ns), ms(times.postprocess_ns)));
    }
    if (options_.output == "image" || options_.show_preview) return draw(event);
    return {};
  }

  void on_predicted(const pipeline::Event&, const pipeline::Counts& counts) override {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    progress_.show(fmt::format("{} done, {} failed, {:.1f} frames per second", counts.predicted, counts.failed,
                               static_cast<double>(counts.predicted) / std::max(seconds, 1e-3)));
  }
  void on_error(const pipeline::Sample& sample, const Error& error, const pipeline::Counts&) override {
    progress_.clear();
    const int code = report(Error(error.code(), error.id(), sample.name + ": " + error.message()), options_.format());
    if (status == 0) status = code;
  }
  void finish(const pipeline::Counts& counts, bool stream) {
    progress_.clear();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (stream && options_.format() != Format::json) {
      note(fmt::format("{} frames in {:.1f} s: {:.1f} frames per second, {} dropped, {} failed", counts.predicted,
                       seconds, static_cast<double>(counts.predicted) / std::max(seconds, 1e-3), counts.dropped,
                       counts.failed));
    }
  }

  int status = 0;

 private:
  static std::string shown_name(const pipeline::Sample& sample) {
    return sample.encoded.empty() ? fmt::format("{} #{}", sample.name, sample.index) : sample.name;
  }

  Result<void> draw(const pipeline::Event& event) {
    const auto& finding = event.findings.front();
    VERGE_ASSIGN(const auto picture, event.picture.view());
    processing::draw_overlay(picture, finding.prediction, finding.palette, overlay_);
    if (options_.show_preview) {
      constexpr int kColumns = 80;
      print(preview(overlay_.view(), kColumns) + shown_name(event.sample) + "  " + summary(finding.prediction));
    }
    if (options_.output != "image") return {};
    const std::filesystem::path from(event.sample.name);
    const std::string stem = event.sample.encoded.empty()
                                 ? fmt::format("{}.{:06}", from.stem().string(), event.sample.index)
                                 : from.stem().string();
    const std::string base = fmt::format("{}.{}", stem, finding.name);
    const std::filesystem::path folder(options_.directory);
    VERGE_TRY(write_picture(folder / (base + ".png"), overlay_.view()));
    if (finding.prediction.kind == processing::PredictionKind::mask) {
      VERGE_TRY(write_picture(folder / (base + ".mask.png"), processing::class_numbers(finding.prediction.mask)));
    }
    return {};
  }

  static Result<void> write_picture(const std::filesystem::path& path, const processing::ImageView& image) {
    VERGE_ASSIGN(const auto png, processing::encode_png(image));
    VERGE_TRY(write_file(path, png));
    print(path.string());
    return {};
  }

  const RunOptions& options_;
  Progress progress_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  processing::Image overlay_;
};

/// The model that was loaded, as a pipeline sees it.
class LoadedOnce final : public pipeline::Model {
 public:
  explicit LoadedOnce(processing::WorkerPool& workers) : workers_(workers) {}
  [[nodiscard]] processing::WorkerPool& workers() const override { return workers_; }
  void count(const processing::StageTimes&, bool) override {}

 private:
  processing::WorkerPool& workers_;
};

/// Hands on to what outlives the run.
class Forward final : public pipeline::Sink {
 public:
  explicit Forward(pipeline::Sink& to) : to_(to) {}
  Result<void> put(const pipeline::Event& event) override { return to_.put(event); }

 private:
  pipeline::Sink& to_;
};

void show_choice(const processing::LoadedModel& model) {
  const auto& choice = model.choice();
  note(fmt::format("{} {} on {} {}{}", model.package().metadata.name, model.package().metadata.version, choice.engine,
                   model.engine_version(), choice.trials.empty() ? "" : ", chosen by measurement:"));
  for (const auto& trial : choice.trials) {
    note(trial.correct ? fmt::format("  {} {}: {:.2f} ms, correct", trial.engine, trial.engine_version, trial.median_ms)
                       : fmt::format("  {} {}: not used: {}", trial.engine, trial.engine_version, trial.reason));
  }
}

Result<std::vector<std::unique_ptr<pipeline::Source>>> open_sources(const RunOptions& options) {
  std::vector<std::unique_ptr<pipeline::Source>> sources;
  for (const auto& sample : options.samples) {
    VERGE_ASSIGN(auto source, pipeline::image_source(sample));
    sources.push_back(std::move(source));
  }
  for (const auto& image : options.images) {
    VERGE_ASSIGN(auto source, pipeline::image_source(image));
    sources.push_back(std::move(source));
  }
  if (!options.folder.empty()) {
    VERGE_ASSIGN(auto source, pipeline::folder_source(options.folder, false));
    sources.push_back(std::move(source));
  }
  if (!options.video.empty()) {
    VERGE_ASSIGN(auto source, pipeline::video_source(options.video, {}));
    sources.push_back(std::move(source));
  }
  if (options.camera >= 0) {
    VERGE_ASSIGN(auto source, pipeline::camera_source(options.camera, 0, 0));
    sources.push_back(std::move(source));
  }
  if (sources.empty()) {
    return Error(
        ErrorCode::invalid_argument, "VRG-CLI-001",
        "expected something to look at; give --image FILE, --sample FILE, --folder FOLDER, --video FILE or --camera N");
  }
  return sources;
}

Result<int> run_model(const RunOptions& options) {
  VERGE_ASSIGN(auto sources, open_sources(options));
  VERGE_ASSIGN(const TemporaryFolder scratch, TemporaryFolder::create("verge-run-"));
  processing::EngineCatalogue engines(processing::default_engine_folder());
  VERGE_ASSIGN(auto package, open_model(options, engines, scratch.path()));
  processing::LoadOptions load;
  load.engine = options.engine;
  // Engines differ in what they do when left alone; measured against each other they must have the same.
  load.threads = options.threads > 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
  load.state_directory = options.state;
  VERGE_ASSIGN(const auto model, processing::LoadedModel::load(std::move(package), engines, load));
  if (options.format() != Format::json) show_choice(*model);
  VERGE_ASSIGN(const auto pool, processing::WorkerPool::create(model, 1, 0));
  Printer printer(options);
  // The signal only sets a flag; this thread turns it into a stop request.
  std::stop_source stop;
  std::jthread watch([&stop](const std::stop_token& done) {
    while (!done.stop_requested() && !interrupted) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (interrupted) stop.request_stop();
  });
  pipeline::Plan plan;
  plan.steps.push_back({model->package().metadata.name, std::nullopt});
  const auto once = std::make_shared<LoadedOnce>(*pool);
  const auto find = [&once](const std::string&) -> Result<std::shared_ptr<pipeline::Model>> { return once; };
  std::vector<std::unique_ptr<pipeline::Sink>> sinks;
  sinks.push_back(std::make_unique<Forward>(printer));
  pipeline::Counts counts;
  for (const auto& source : sources) {
    const auto part = pipeline::run(plan, *source, find, sinks, printer, stop.get_token());
    counts.predicted += part.predicted;
    counts.failed += part.failed;
    counts.dropped += part.dropped;
  }
  printer.finish(counts, options.images.empty() || counts.predicted > 1);
  return printer.status;
}

}  // namespace

void add_run_command(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand(
      "run",
      "Run a model on pictures, a folder, a video or a camera; needs no hub and no configuration\n\nExamples:\n"
      "  verge run models/efficientnet_lite0 --image cat.jpg\n"
      "  verge run yolox.onnx --labels coco.txt --video street.mp4 --output image --directory frames/\n"
      "  verge run models/selfie_segmentation --camera 0 --preview");
  auto o = std::make_shared<RunOptions>();
  verb->add_option("MODEL", o->model, "A model package (folder or image layout), or a bare model file")->required();
  verb->add_option("--image", o->images, "Picture (JPEG, PNG, BMP); several may follow");
  verb->add_option("--sample", o->samples, "Sound (WAV), table row (JSON, CSV) or raw values; several may follow");
  verb->add_option("--folder", o->folder, "Folder of pictures");
  verb->add_option("--video", o->video, "Video file");
  verb->add_option("--camera", o->camera, "Camera N (/dev/videoN)");
  verb->add_option("--output", o->output, "table, json (one object a line) or image (overlays as PNG)")
      ->check(CLI::IsMember({"table", "json", "image"}))
      ->capture_default_str();
  verb->add_option("--directory", o->directory, "Where --output image writes")->capture_default_str();
  verb->add_flag("--preview", o->show_preview, "Show the overlay in the terminal");
  verb->add_option("--engine", o->engine, "Engine in place of the package's own: auto, openvino, litert, …");
  verb->add_option("--threads", o->threads, "Threads of one inference; 0: one for each core")->capture_default_str();
  verb->add_option("--labels", o->labels, "Label file for a bare model")->check(CLI::ExistingFile);
  verb->add_option("--state", o->state, "Folder that keeps engine choices and compiled models between runs");
  verb->callback([o, &action] {
    action = [o] {
      std::signal(SIGINT, [](int) { interrupted = true; });
      std::signal(SIGTERM, [](int) { interrupted = true; });
      const auto status = run_model(*o);
      return status ? *status : report(status.error(), o->format());
    };
  });
}

}  // namespace verge::cli
