#include "package_init.hpp"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "keras_import.hpp"
#include "output.hpp"
#include "verge/base/file.hpp"
#include "verge/package/model_package.hpp"
#include "verge/processing/draft.hpp"
#include "verge/processing/golden_replay.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct InitOptions {
  KerasSource source;
  std::string path, target, labels, engine, weights, config, inputs, preprocessing, postprocessing, output = "table";
  std::vector<std::string> samples;
  bool compare = false, install_converter = false;
  [[nodiscard]] Format format() const { return output == "json" ? Format::json : Format::table; }
};

/// Puts each sample's outputs in the order of the package's, where the names tell it.
void order_outputs(KerasImport& imported, const std::vector<wire::Tensor>& outputs) {
  std::vector<std::size_t> order;
  for (const auto& output : outputs) {
    const auto plain = output.name.substr(0, output.name.find(':'));
    const auto found = std::ranges::find(imported.output_names, plain);
    if (found == imported.output_names.end()) return;
    order.push_back(static_cast<std::size_t>(found - imported.output_names.begin()));
  }
  for (auto& sample : imported.golden.samples) {
    if (sample.outputs.size() != order.size()) return;
    std::vector<std::string> sorted;
    sorted.reserve(order.size());
    for (const std::size_t index : order) sorted.push_back(sample.outputs[index]);
    sample.outputs = std::move(sorted);
  }
}

Result<void> write_golden(const KerasImport& imported, const std::filesystem::path& scratch,
                          const std::filesystem::path& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder / "golden", failed);
  for (const auto& sample : imported.golden.samples) {
    for (const auto* files : {&sample.tensors, &sample.outputs}) {
      for (const auto& file : *files) std::filesystem::copy_file(scratch / file, folder / "golden" / file, failed);
    }
  }
  if (failed) {
    return Error(ErrorCode::unavailable, "VRG-BAS-001",
                 fmt::format("cannot copy samples to '{}': {}", (folder / "golden").string(), failed.message()));
  }
  return write_file(folder / package::kGoldenFile, std::string_view(wire::write_json(wire::to_node(imported.golden))));
}

/// Runs the package on what the source was sampled with: what the engine gives must be what the source gave.
Result<void> check_against_source(const std::filesystem::path& folder, processing::EngineCatalogue& engines,
                                  const std::string& engine) {
  VERGE_ASSIGN(const auto package, package::open_folder(folder));
  processing::LoadOptions load;
  load.engine = engine;
  VERGE_ASSIGN(const auto model, processing::LoadedModel::load(package, engines, load));
  VERGE_ASSIGN(auto worker, model->create_worker());
  VERGE_ASSIGN(const auto results, processing::replay_golden(worker));
  for (const auto& result : results) {
    if (result.passed) continue;
    return Error(
        ErrorCode::failed_precondition, "VRG-DRF-007",
        fmt::format("engine '{}' and the source disagree on sample '{}': {}; no package was written. Try another "
                    "engine with --engine, or convert the model another way",
                    model->choice().engine, result.sample, result.difference));
  }
  return {};
}

struct Made {
  processing::Draft draft;
  std::filesystem::path folder;
};

void note_import(processing::Draft& draft, const KerasImport& imported) {
  draft.guesses.push_back(
      {"samples",
       fmt::format("{} of {} kept as golden samples", imported.golden.samples.size(), imported.compared_with),
       fmt::format("the engine gives what the source gives; source and graph differ by {:.3g} at most",
                   imported.largest_difference),
       true});
}

Result<Made> make_package(const InitOptions& options, const KerasSource& source) {
  processing::EngineCatalogue engines(processing::default_engine_folder());
  VERGE_ASSIGN(const TemporaryFolder scratch, TemporaryFolder::create("verge-import-"));
  const bool imports = options.compare || needs_converter(source);
  KerasImport imported;
  imported.model = source.model;
  if (imports) {
    VERGE_ASSIGN(imported, import_keras(source, scratch.path()));
    if (imported.model != source.model) {  // Named as the source is: the package takes its name from it.
      const auto named = scratch.path() / (source.model.stem().string() + ".pb");
      std::error_code failed;
      if (named != imported.model) std::filesystem::rename(imported.model, named, failed);
      imported.model = named;
    }
  }
  VERGE_ASSIGN(auto draft, processing::draft_package(imported.model, engines, options.engine, options.inputs));
  VERGE_TRY(processing::take_scripts(draft, source.model, options.preprocessing, options.postprocessing));
  if (imports) note_import(draft, imported);
  const auto folder = options.target.empty() ? std::filesystem::path("models") / draft.metadata.name
                                             : std::filesystem::path(options.target);
  VERGE_TRY(processing::write_draft(draft, imported.model, options.labels, folder, false));
  if (imports) {
    order_outputs(imported, draft.metadata.outputs);
    auto checked = write_golden(imported, scratch.path(), folder);
    if (checked) checked = check_against_source(folder, engines, options.engine);
    if (!checked) {
      std::error_code ignored;
      std::filesystem::remove_all(folder, ignored);
      return std::move(checked).error();
    }
  }
  return Made{std::move(draft), folder};
}

void print_made(const Made& made, Format format) {
  if (format == Format::json) {
    Node node = Node::map();
    node.add("folder", Node::string(made.folder.string()));
    node.add("metadata", wire::to_node(made.draft.metadata));
    node.add("guesses", Node::list_of(made.draft.guesses, [](const processing::Guess& guess) {
               Node item = Node::map();
               item.add("what", Node::string(guess.what));
               item.add("value", Node::string(guess.value));
               item.add("why", Node::string(guess.why));
               item.add("certain", Node::boolean(guess.certain));
               return item;
             }));
    return print(wire::write_json(node));
  }
  std::vector<std::vector<std::string>> rows{{"WHAT", "VALUE", "SURE?", "WHY"}};
  for (const auto& guess : made.draft.guesses) {
    rows.push_back({guess.what, guess.value, guess.certain ? "yes" : "a guess", guess.why});
  }
  print(fmt::format(
      "Wrote {}\n\n{}\n\nNext: try the guesses on a picture whose content you know:\n  verge package check {} "
      "--image PICTURE --expect LABEL",
      made.folder.string(), table(rows), made.folder.string()));
}

Result<void> init(const InitOptions& options) {
  KerasSource source{options.path, options.weights, options.config, {options.samples.begin(), options.samples.end()}};
  if (options.install_converter) VERGE_TRY(install_converter());
  VERGE_ASSIGN(const Made made, make_package(options, source));
  print_made(made, options.format());
  return {};
}

}  // namespace

void add_package_init(CLI::App& group, Action& action) {
  auto* verb =
      group.add_subcommand("init",
                           "Draft a package for a model file, and say what was guessed\n\nExamples:\n"
                           "  verge package init mobilenet.tflite --labels imagenet.txt\n"
                           "  verge package init model.pb --weights model_weights.h5 --config model_config.yaml\n"
                           "  verge package init net.pt --inputs 'x FP32 [1,3,224,224]'");
  auto o = std::make_shared<InitOptions>();
  verb->add_option("--output", o->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  verb->add_option(
          "MODELFILE", o->path,
          "Model file (.onnx, .tflite, .pb, .pte, .pt, .ptl, .xml; by the converter .h5, .keras, .json, .yaml) "
          "or SavedModel folder")
      ->required();
  verb->add_option("--to", o->target, "Folder to write; models/<name> when absent");
  verb->add_option("--labels", o->labels, "Label file, one a line")->check(CLI::ExistingFile);
  verb->add_option("--engine", o->engine, "Engine to look at the model with");
  verb->add_option("--inputs", o->inputs,
                   "What a .pt or .ptl takes, which it does not say: 'NAME TYPE [SIZE,...]; ...'");
  verb->add_option("--preprocessing", o->preprocessing,
                   "Function for the preprocessing, as FILE.py:FUNCTION (or .so); preprocessing_script.py beside the "
                   "model is taken by itself");
  verb->add_option("--postprocessing", o->postprocessing,
                   "Function for the postprocessing, as FILE.py:FUNCTION (or .so); postprocessing_script.py likewise");
  verb->add_option("--weights", o->weights, "Keras weights (.h5) of a configuration, or to compare a .pb with")
      ->check(CLI::ExistingFile);
  verb->add_option("--config", o->config, "Keras configuration (.json, .yaml) of the weights")
      ->check(CLI::ExistingFile);
  verb->add_option("--sample", o->samples,
                   "Values to compare on besides random ones (.npy, or raw); may be given again")
      ->check(CLI::ExistingFile);
  verb->add_flag("--compare", o->compare, "Compare the engine with TensorFlow on samples, and keep them");
  verb->add_flag("--install-converter", o->install_converter,
                 "First install the Keras converter (TensorFlow, 2.2 GB, by pip)");
  verb->callback([o, &action] {
    action = [o] {
      const auto result = init(*o);
      return result ? 0 : report(result.error(), o->format());
    };
  });
}

}  // namespace verge::cli
