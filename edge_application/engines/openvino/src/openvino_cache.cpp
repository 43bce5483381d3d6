#include "openvino_cache.hpp"

#include <unistd.h>
#include <fstream>
#include <sstream>
#include <string_view>

#include <openvino/runtime/properties.hpp>

#include "verge/engines/tflite_file.hpp"

namespace verge::engines::openvino {
namespace {

/// FNV-1a, 64 bits: tells contents apart that are not made to collide; the cache directory is the agent's own.
class Fingerprint {
 public:
  void add(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < size; ++i) value_ = (value_ ^ bytes[i]) * 0x100000001b3ULL;
  }
  void add(std::string_view text) { add(text.data(), text.size()); }
  [[nodiscard]] std::string text() const { return std::to_string(value_); }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

}  // namespace

std::optional<std::filesystem::path> cache_entry(const verge_engine_load& load, const ov::AnyMap& properties) {
  if (load.cache_directory == nullptr || load.cache_directory[0] == '\0') return std::nullopt;
  if (std::string_view(load.format) != "tflite") return std::nullopt;
  Fingerprint fingerprint;
  const MappedFile file(load.model_path);
  fingerprint.add(file.bytes().data(), file.bytes().size());
  fingerprint.add(ov::get_openvino_version().buildNumber);
  for (const auto& [name, value] : properties) fingerprint.add(name + "=" + value.as<std::string>() + ";");
  std::ifstream processor("/proc/cpuinfo");
  for (std::string line; std::getline(processor, line) && !line.empty();) {
    if (line.starts_with("model name") || line.starts_with("flags") || line.starts_with("CPU part")) {
      fingerprint.add(line);
    }
  }
  return std::filesystem::path(load.cache_directory) / ("openvino-" + fingerprint.text() + ".compiled");
}

std::optional<ov::CompiledModel> restore(ov::Core& core, const std::filesystem::path& entry, const std::string& device,
                                         const verge_engine_load& load, ReadModel& description) {
  try {
    std::error_code missing;
    if (!std::filesystem::exists(entry, missing)) return std::nullopt;
    const MappedFile kept(entry.string());
    const std::string_view content(reinterpret_cast<const char*>(kept.bytes().data()), kept.bytes().size());
    const std::size_t line_end = content.find('\n');
    if (line_end == std::string_view::npos) return std::nullopt;
    const std::string_view blob = content.substr(line_end + 1);
    Fingerprint fingerprint;
    fingerprint.add(blob);
    if (fingerprint.text() != content.substr(0, line_end)) return std::nullopt;  // Damaged since it was written.
    std::istringstream stream{std::string(blob)};
    ov::CompiledModel compiled = core.import_model(stream, device);
    const TfliteModel file = read_tflite(MappedFile(load.model_path).bytes());
    if (compiled.inputs().size() != file.inputs.size() || compiled.outputs().size() != file.outputs.size()) {
      return std::nullopt;
    }
    for (std::size_t i = 0; i < file.inputs.size(); ++i) {
      if (datatype_of(compiled.input(i).get_element_type()) != file.inputs[i].description.datatype) return std::nullopt;
      description.inputs.push_back(file.inputs[i].description);
      description.initial_shapes.push_back(file.inputs[i].initial_shape);
    }
    for (std::size_t i = 0; i < file.outputs.size(); ++i) {
      if (datatype_of(compiled.output(i).get_element_type()) != file.outputs[i].description.datatype)
        return std::nullopt;
      description.outputs.push_back(file.outputs[i].description);
      description.outputs.back().shape = shape_of(compiled.output(i).get_partial_shape());
    }
    return compiled;
  } catch (const std::exception&) {
    description = {};
    return std::nullopt;
  }
}

void keep(ov::CompiledModel& compiled, const std::filesystem::path& entry) {
  std::error_code ignored;
  std::filesystem::create_directories(entry.parent_path(), ignored);
  const auto temporary = entry.string() + "." + std::to_string(::getpid());
  try {
    std::ostringstream blob;
    compiled.export_model(blob);
    const std::string content = std::move(blob).str();
    Fingerprint fingerprint;
    fingerprint.add(content);
    std::ofstream stream(temporary, std::ios::binary);
    stream << fingerprint.text() << '\n' << content;
    stream.close();
    if (stream.good()) {
      std::filesystem::rename(temporary, entry, ignored);
      return;
    }
  } catch (const std::exception&) {
    // As below: without a cache the model works all the same.
  }
  std::filesystem::remove(temporary, ignored);
}

}  // namespace verge::engines::openvino
