#include <memory>

#include <fmt/format.h>

#include "commands.hpp"
#include "output.hpp"
#include "package_init.hpp"
#include "registry/transfer_commands.hpp"
#include "verge/base/file.hpp"
#include "verge/base/text.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/processing/draft.hpp"
#include "verge/processing/golden_replay.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct PackageOptions {
  std::string path, target, labels, engine, image, expect, output = "table";
  bool write = false, no_run = false;
  [[nodiscard]] Format format() const { return output == "json" ? Format::json : Format::table; }
};

int finish(const Result<void>& result, Format format) {
  return result ? 0 : report(result.error(), format);
}

Result<void> check(const PackageOptions& options) {
  VERGE_ASSIGN(const auto package, package::open_folder(options.path));
  processing::EngineCatalogue engines(processing::default_engine_folder());
  VERGE_ASSIGN(const auto results, processing::try_combinations(package, engines, options.image, options.expect));
  std::vector<std::vector<std::string>> rows{{"AGREES", "COLOUR", "VALUES", "GEOMETRY", "SAYS", "SCORE", "EXPECTED"}};
  Node list = Node::list();
  for (const auto& r : results) {
    rows.push_back({r.agrees ? "yes" : "no", r.colour, r.values, r.geometry, r.label, fmt::format("{:.3f}", r.score),
                    fmt::format("{:.3f}", r.expected_score)});
    Node node = Node::map();
    node.add("agrees", Node::boolean(r.agrees));
    node.add("colour", Node::string(r.colour));
    node.add("values", Node::string(r.values));
    node.add("geometry", Node::string(r.geometry));
    node.add("label", Node::string(r.label));
    node.add("score", Node::number(static_cast<double>(r.score)));
    node.add("expected_score", Node::number(static_cast<double>(r.expected_score)));
    list.items.push_back(std::move(node));
  }
  print(options.format() == Format::json ? wire::write_json(list) : table(rows));
  if (results.empty() || !results.front().agrees) {
    return Error(ErrorCode::failed_precondition, "VRG-CLI-002",
                 fmt::format("no combination says '{}' for '{}'; try another picture, or check the labels and their "
                             "label_offset",
                             options.expect, options.image));
  }
  const auto& best = results.front();
  if (options.write) {
    VERGE_TRY(write_file(std::filesystem::path(options.path) / package::kPreprocessingFile,
                         std::string_view(wire::write_yaml(wire::to_node(best.preprocessing)))));
  }
  if (options.format() == Format::table) {
    print(fmt::format("\nBest: {}, {}, {}{}", best.colour, best.values, best.geometry,
                      options.write ? "; written to preprocessing.yaml"
                                    : "; --write keeps it. Several may agree: try more pictures"));
  }
  return {};
}

Result<void> create(const PackageOptions& options) {
  VERGE_ASSIGN(const auto package, package::open_folder(options.path));
  VERGE_TRY(processing::check_processing(package));
  const auto layout =
      options.target.empty()
          ? std::filesystem::path(fmt::format("{}-{}.oci", package.metadata.name, package.metadata.version))
          : std::filesystem::path(options.target);
  VERGE_TRY(package::write_layout(package, layout));
  if (options.format() == Format::json) {
    Node node = Node::map();
    node.add("layout", Node::string(layout.string()));
    node.add("digest", Node::string(package.digest));
    print(wire::write_json(node));
  } else {
    print(fmt::format("{}\n{}", layout.string(), package.digest));
  }
  return {};
}

std::string tensor_list(const std::vector<wire::Tensor>& tensors) {
  std::string out;
  for (const auto& spec : processing::declared_tensors(tensors)) {
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", spec.name, processing::describe(spec));
  }
  return out;
}

Result<void> inspect(const PackageOptions& options) {
  VERGE_ASSIGN(const TemporaryFolder scratch, TemporaryFolder::create("verge-package-"));
  VERGE_ASSIGN(const auto package, package::open(options.path, scratch.path()));
  const auto& m = package.metadata;
  if (options.format() == Format::json) {
    Node node = Node::map();
    node.add("digest", Node::string(package.digest));
    node.add("metadata", wire::to_node(m));
    node.add("preprocessing", wire::to_node(package.preprocessing));
    node.add("postprocessing", wire::to_node(package.postprocessing));
    node.add("files", Node::list_of(package.files, [](const package::PackageFile& file) {
               Node item = Node::map();
               item.add("path", Node::string(file.path));
               item.add("digest", Node::string(file.digest));
               item.add("size_bytes", Node::integer(static_cast<std::int64_t>(file.size_bytes)));
               return item;
             }));
    print(wire::write_json(node));
    return {};
  }
  double size = 0;
  for (const auto& file : package.files) size += static_cast<double>(file.size_bytes);
  print(table({{"name", m.name},
               {"version", m.version},
               {"digest", package.digest},
               {"task", std::string(wire::name(m.task))},
               {"model", fmt::format("{} ({})", m.model.file, wire::name(m.model.format))},
               {"engine", std::string(wire::name(m.engine))},
               {"inputs", tensor_list(m.inputs)},
               {"outputs", tensor_list(m.outputs)},
               {"labels", std::to_string(package.labels.size())},
               {"golden samples", std::to_string(package.golden.samples.size())},
               {"size", fmt::format("{} in {} files", human_bytes(size), package.files.size())}}));
  print("\npreprocessing.yaml\n" + wire::write_yaml(wire::to_node(package.preprocessing)) + "\npostprocessing.yaml\n" +
        wire::write_yaml(wire::to_node(package.postprocessing)));
  return {};
}

Result<void> verify(const PackageOptions& options) {
  VERGE_ASSIGN(const TemporaryFolder scratch, TemporaryFolder::create("verge-package-"));
  VERGE_ASSIGN(const auto package, package::open(options.path, scratch.path()));
  VERGE_TRY(processing::check_processing(package));
  std::string replayed = "golden samples not run";
  if (!options.no_run) {
    processing::EngineCatalogue engines(processing::default_engine_folder());
    processing::LoadOptions load;
    load.engine = options.engine;
    VERGE_ASSIGN(const auto model, processing::LoadedModel::load(package, engines, load));
    VERGE_ASSIGN(auto worker, model->create_worker());
    VERGE_ASSIGN(const auto results, processing::replay_golden(worker));
    for (const auto& result : results) {
      if (result.passed) continue;
      return Error(ErrorCode::failed_precondition, "VRG-CLI-003",
                   fmt::format("golden sample '{}' on {}: {}; the model or its definition is wrong", result.sample,
                               model->choice().engine, result.difference));
    }
    replayed = fmt::format("{} golden samples right on {}", results.size(), model->choice().engine);
  }
  if (options.format() == Format::json) {
    Node node = Node::map();
    node.add("digest", Node::string(package.digest));
    node.add("files", Node::integer(static_cast<std::int64_t>(package.files.size())));
    node.add("golden_samples",
             Node::integer(options.no_run ? 0 : static_cast<std::int64_t>(package.golden.samples.size())));
    print(wire::write_json(node));
  } else {
    print(fmt::format("{} {}: {} files whole, definitions valid, {}\n{}", package.metadata.name,
                      package.metadata.version, package.files.size(), replayed, package.digest));
  }
  return {};
}

Result<void> unpack(const PackageOptions& options) {
  const auto split =
      options.path.find("@sha256:") != std::string::npos ? options.path.find('@') : options.path.rfind(':');
  const bool tagged = split != std::string::npos && !package::is_layout(options.path);
  const auto layout = tagged ? options.path.substr(0, split) : options.path;
  VERGE_ASSIGN(const auto verified, package::verify_layout(layout, tagged ? options.path.substr(split + 1) : ""));
  VERGE_TRY(package::unpack_layout(verified, options.target, false));
  print(options.target);
  return {};
}

}  // namespace

void add_package_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand("package", "Make, look at and check model packages");
  group->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Result<void> (*command)(const PackageOptions&)) {
    auto* verb = group->add_subcommand(name, help);
    auto o = std::make_shared<PackageOptions>();
    verb->add_option("--output", o->output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    verb->callback([o, command, &action] { action = [o, command] { return finish(command(*o), o->format()); }; });
    return std::pair(verb, o);
  };
  add_package_init(*group, action);
  add_transfer_commands(*group, action);
  {
    auto [verb, o] = add("check",
                         "Try the plausible ways to prepare a picture whose content you know\n\nExample:\n"
                         "  verge package check models/mobilenet --image cat.jpg --expect tabby --write",
                         check);
    verb->add_option("FOLDER", o->path, "Package folder")->required();
    verb->add_option("--image", o->image, "Picture")->required()->check(CLI::ExistingFile);
    verb->add_option("--expect", o->expect, "Part of the label that is right")->required();
    verb->add_flag("--write", o->write, "Keep the best combination in preprocessing.yaml");
  }
  {
    auto [verb, o] = add("create",
                         "Check a package folder and write it as an OCI image layout\n\nExample:\n"
                         "  verge package create models/mobilenet --to packages.oci",
                         create);
    verb->add_option("FOLDER", o->path, "Package folder")->required();
    verb->add_option("--to", o->target, "Layout to write or add to; <name>-<version>.oci when absent");
  }
  {
    auto [verb, o] = add("inspect", "Show what a package holds", inspect);
    verb->add_option("PACKAGE", o->path, "Package folder, or layout[:VERSION]")->required();
  }
  {
    auto [verb, o] = add("verify", "Check digests and definitions, and replay the golden samples", verify);
    verb->add_option("PACKAGE", o->path, "Package folder, or layout[:VERSION]")->required();
    verb->add_option("--engine", o->engine, "Engine in place of the package's own");
    verb->add_flag("--no-run", o->no_run, "Do not run the golden samples");
  }
  {
    auto [verb, o] = add("unpack", "Write the files of a layout's package into a new folder", unpack);
    verb->add_option("LAYOUT", o->path, "Layout, or layout:VERSION")->required();
    verb->add_option("--to", o->target, "New folder")->required();
  }
}

}  // namespace verge::cli
