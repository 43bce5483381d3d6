#include "keras_import.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/process/child.hpp"
#include "verge/wire/document.hpp"

namespace verge::cli {
namespace {

using wire::Node;

constexpr std::string_view kScript = "import_keras.py";
constexpr std::string_view kRequirements = "requirements.txt";
constexpr std::chrono::minutes kConversionLimit{30};
constexpr std::chrono::minutes kInstallationLimit{120};

std::filesystem::path from_environment(const char* name) {
  // Read once by the program's only thread.
  const char* value = std::getenv(name);
  return value == nullptr ? std::filesystem::path() : std::filesystem::path(value);
}

std::filesystem::path environment_folder() {
  if (auto set = from_environment("VERGE_IMPORT_KERAS"); !set.empty()) return set;
  if (auto data = from_environment("XDG_DATA_HOME"); !data.empty()) return data / "verge/import_keras";
  return from_environment("HOME") / ".local/share/verge/import_keras";
}

/// The converter's files: installed beside the program, or in the source tree that the program was built from.
std::filesystem::path converter_folder() {
  std::error_code failed;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
  const auto installed = program / "../share/verge/import_keras";
  return std::filesystem::exists(installed / kScript, failed) ? installed.lexically_normal()
                                                              : std::filesystem::path(VERGE_IMPORT_KERAS_SOURCE);
}

/// By env(1), so that Python sees its whole path, by which it knows its environment.
Result<process::Ending> run(const std::filesystem::path& program, std::vector<std::string> arguments,
                            std::chrono::minutes limit) {
  arguments.insert(arguments.begin(), program.string());
  process::Program command;
  command.executable = "/usr/bin/env";
  command.arguments = std::move(arguments);
  VERGE_ASSIGN(auto child, process::Child::start(command));
  const auto ending = child.wait(limit);
  return ending ? *ending : child.kill();
}

Error missing_converter() {
  return {
      ErrorCode::failed_precondition, "VRG-DRF-005",
      fmt::format("this model needs the Keras converter (TensorFlow, 2.2 GB), which is not at '{}'; install it with "
                  "'verge package init MODEL --install-converter', or convert the model to .onnx or .tflite yourself",
                  environment_folder().string())};
}

Error refused(std::string why) {
  return {ErrorCode::invalid_argument, "VRG-DRF-006", std::move(why)};
}

std::vector<std::string> texts(const Node& node, std::string_view key) {
  std::vector<std::string> out;
  const Node* list = node.find(key);
  if (list == nullptr || list->kind != Node::Kind::list) return out;
  for (const auto& item : list->items) out.push_back(item.text);
  return out;
}

std::string text(const Node& node, std::string_view key) {
  const Node* found = node.find(key);
  return found == nullptr ? std::string() : found->text;
}

double number(const Node& node, std::string_view key) {
  return std::strtod(text(node, key).c_str(), nullptr);
}

KerasImport read_report(const Node& report, const KerasSource& source, const std::filesystem::path& scratch) {
  KerasImport made;
  const std::string model = text(report, "model");
  made.model = model.empty() ? source.model : scratch / model;
  made.output_names = texts(report, "outputs");
  made.largest_difference = number(report, "largest_difference");
  made.compared_with = text(report, "compared_with");
  made.golden.version = 1;
  const Node* samples = report.find("samples");
  if (samples == nullptr) return made;
  for (const auto& item : samples->items) {
    wire::GoldenSample sample;
    sample.name = text(item, "name");
    sample.tensors = texts(item, "tensors");
    sample.outputs = texts(item, "outputs");
    sample.tolerance.emplace();
    sample.tolerance->absolute = number(item, "absolute");
    sample.tolerance->relative = number(item, "relative");
    made.golden.samples.push_back(std::move(sample));
  }
  return made;
}

}  // namespace

bool needs_converter(const KerasSource& source) {
  static constexpr std::array<std::string_view, 6> kEndings{".h5", ".hdf5", ".keras", ".json", ".yaml", ".yml"};
  const auto ending = source.model.extension().string();
  return !source.weights.empty() || !source.config.empty() || std::ranges::find(kEndings, ending) != kEndings.end();
}

Result<void> install_converter() {
  const auto folder = environment_folder();
  const auto refuse = [&](const std::string& what) {
    return Error(ErrorCode::unavailable, "VRG-DRF-005",
                 fmt::format("the Keras converter cannot be installed in '{}': {}; see pip's words above",
                             folder.string(), what));
  };
  std::error_code failed;
  std::filesystem::create_directories(folder.parent_path(), failed);
  VERGE_ASSIGN(const auto made, run("python3", {"-m", "venv", folder.string()}, kInstallationLimit));
  if (made.signal != 0 || made.exit_status != 0) return refuse("python3 -m venv " + made.text());
  VERGE_ASSIGN(const auto filled, run(folder / "bin/python",
                                      {"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r",
                                       (converter_folder() / kRequirements).string()},
                                      kInstallationLimit));
  if (filled.signal != 0 || filled.exit_status != 0) return refuse("pip " + filled.text());
  return {};
}

Result<KerasImport> import_keras(const KerasSource& source, const std::filesystem::path& scratch) {
  const auto python = environment_folder() / "bin/python";
  std::error_code failed;
  if (!std::filesystem::exists(python, failed)) return missing_converter();
  std::vector<std::string> arguments{"-I", (converter_folder() / kScript).string(),
                                     std::filesystem::absolute(source.model).string()};
  if (!source.weights.empty()) arguments.insert(arguments.end(), {"--weights", source.weights.string()});
  if (!source.config.empty()) arguments.insert(arguments.end(), {"--config", source.config.string()});
  for (const auto& sample : source.samples) arguments.insert(arguments.end(), {"--sample", sample.string()});
  arguments.insert(arguments.end(), {"--output", scratch.string()});
  VERGE_ASSIGN(const auto ending, run(python, arguments, kConversionLimit));
  const auto report_file = scratch / "report.json";
  if (!std::filesystem::exists(report_file, failed)) {
    return refused(fmt::format("the converter {} and said nothing; run it by hand to see why: {} {} --verbose",
                               ending.text(), python.string(), (converter_folder() / kScript).string()));
  }
  VERGE_ASSIGN(const Node report, wire::read_document(report_file));
  if (const std::string error = text(report, "error"); !error.empty()) return refused(error);
  return read_report(report, source, scratch);
}

}  // namespace verge::cli
