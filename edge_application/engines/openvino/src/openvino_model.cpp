#include "openvino_model.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <utility>

#include <openvino/core/preprocess/pre_post_process.hpp>
#include <openvino/frontend/manager.hpp>

#include "verge/engines/tflite_file.hpp"

namespace verge::engines::openvino {
namespace {

struct Format {
  std::string_view name;
  std::vector<std::string_view> extensions;  ///< Front ends look at them too.
  const char* front_end;                     ///< Null: OpenVINO's own format.
};

const std::array<Format, 5>& formats() {
  static const std::array<Format, 5> kFormats{{{"onnx", {".onnx"}, "onnx"},
                                               {"tensorflow", {".pb", ".pbtxt", ".meta"}, "tf"},
                                               {"tflite", {".tflite"}, "tflite"},
                                               {"openvino", {".xml"}, nullptr},
                                               {"paddle", {".pdmodel", ".json"}, "paddle"}}};
  return kFormats;
}

const Format& format_named(std::string_view name) {
  const auto found = std::find_if(formats().begin(), formats().end(), [&](const Format& f) { return f.name == name; });
  if (found == formats().end()) throw Failure(VERGE_ENGINE_UNSUPPORTED, "unknown format");
  return *found;
}

void check_path(const std::filesystem::path& path, std::string_view format) {
  std::error_code error;
  if (format == "tensorflow" && std::filesystem::is_directory(path, error)) {
    if (std::filesystem::exists(path / "saved_model.pb", error)) return;
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "the folder is no SavedModel: it has no saved_model.pb");
  }
  if (!std::filesystem::is_regular_file(path, error)) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "there is no readable model file");
  }
  if (std::filesystem::file_size(path, error) == 0) {
    throw Failure(VERGE_ENGINE_CORRUPT, "the file is damaged: it is empty; get it again");
  }
  std::string list;
  for (const std::string_view extension : format_named(format).extensions) {
    if (path.extension() == extension) return;
    list += (list.empty() ? "" : " or ") + std::string(extension);
  }
  throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "a model of format '" + std::string(format) + "' must end in " + list +
                                                   ", got '" + path.filename().string() + "'");
}

/// The format's own front end. ov::Core::read_model() would ask every front end there is for a file that its own
/// refuses, which loads them all and logs their complaints.
std::shared_ptr<ov::Model> convert(ov::Core& core, const std::string& path, std::string_view format) {
  const char* name = format_named(format).front_end;
  if (name == nullptr) return core.read_model(path);
  ov::frontend::FrontEndManager manager;
  const ov::frontend::FrontEnd::Ptr front_end = manager.load_by_framework(name);
  if (front_end == nullptr) {
    throw Failure(VERGE_ENGINE_UNAVAILABLE, "OpenVINO's front end '" + std::string(name) + "' is not installed");
  }
  if (!front_end->supported(path)) {
    throw Failure(VERGE_ENGINE_CORRUPT,
                  "the file is damaged, or no model of format '" + std::string(format) + "'; get it again");
  }
  const ov::frontend::InputModel::Ptr input = front_end->load(path);
  if (input == nullptr) throw Failure(VERGE_ENGINE_CORRUPT, "OpenVINO's front end gave no model");
  return front_end->convert(input);
}

/// "what" without OpenVINO's source lines, which say nothing to whoever has the model.
std::string short_reason(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    const bool is_source = line.starts_with("Exception from src/") || line.starts_with("Check '") ||
                           line.starts_with("FrontEnd API failed");
    if (line.empty() || is_source) continue;
    if (!out.empty()) out += "; ";
    out += line;
  }
  return out;
}

[[noreturn]] void throw_unreadable(std::string_view text) {
  for (const std::string_view mark : {"No translator found", "OpConversionFailure", "not supported", "unsupported",
                                      "NotImplementedFailure", "No conversion rule", "doesn't support"}) {
    if (text.find(mark) == std::string_view::npos) continue;
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "OpenVINO cannot convert the model: " + short_reason(text));
  }
  throw Failure(VERGE_ENGINE_CORRUPT, "OpenVINO cannot read the model: " + short_reason(text));
}

std::string name_of(const ov::Output<ov::Node>& port, const std::string& otherwise) {
  if (!port.get_names().empty()) return port.get_any_name();
  const std::string& name = port.get_node()->get_friendly_name();
  return name.empty() ? otherwise : name;
}

TensorDescription describe_port(const ov::Output<ov::Node>& port, const std::string& otherwise) {
  TensorDescription tensor;
  tensor.name = name_of(port, otherwise);
  tensor.datatype = datatype_of(port.get_element_type());
  tensor.shape = shape_of(port.get_partial_shape());
  return tensor;
}

/// The file's names, types, quantisation and first shapes: the front end gives another type for some tensors and no
/// quantisation at all, and LiteRT, which reads the same file, must not differ.
void follow_file(ReadModel& read, const TfliteModel& file) {
  if (file.inputs.size() != read.model->inputs().size() || file.outputs.size() != read.model->outputs().size()) {
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "OpenVINO sees other inputs or outputs than the file has");
  }
  ov::preprocess::PrePostProcessor convert(read.model);
  bool converts = false;
  for (std::size_t i = 0; i < file.inputs.size(); ++i) {
    const TensorDescription& declared = file.inputs[i].description;
    if (datatype_of(read.model->input(i).get_element_type()) != declared.datatype) {
      convert.input(i).tensor().set_element_type(element_type_of(declared.datatype));
      converts = true;
    }
    read.inputs.push_back(declared);
    read.initial_shapes.push_back(file.inputs[i].initial_shape);
  }
  for (std::size_t i = 0; i < file.outputs.size(); ++i) {
    const TensorDescription& declared = file.outputs[i].description;
    if (datatype_of(read.model->output(i).get_element_type()) != declared.datatype) {
      convert.output(i).tensor().set_element_type(element_type_of(declared.datatype));
      converts = true;
    }
    read.outputs.push_back(declared);
    read.outputs.back().shape = shape_of(read.model->output(i).get_partial_shape());
  }
  if (converts) read.model = convert.build();
}

std::optional<TfliteModel> read_file(const std::string& path, std::string_view format) {
  if (format != "tflite") return std::nullopt;
  TfliteModel file = read_tflite(MappedFile(path).bytes());
  if (file.has_legacy_hybrid_weights) {
    // Measured: unet_person_hybrid_quant gave 3e28 where LiteRT gave probabilities.
    throw Failure(VERGE_ENGINE_UNSUPPORTED,
                  "its weights are signed numbers in tensors marked UINT8 (the form of before 2019), which OpenVINO "
                  "takes for unsigned ones: use the engine 'litert', or convert the model again");
  }
  return file;
}

}  // namespace

ReadModel read_model(ov::Core& core, const std::string& path, std::string_view format) {
  check_path(path, format);
  const std::optional<TfliteModel> file = read_file(path, format);
  ReadModel read;
  try {
    read.model = convert(core, path, format);
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& exception) {
    throw_unreadable(exception.what());
  }
  if (file) {
    follow_file(read, *file);
    return read;
  }
  for (std::size_t i = 0; i < read.model->inputs().size(); ++i) {
    read.inputs.push_back(describe_port(read.model->input(i), "input" + std::to_string(i)));
    read.initial_shapes.push_back(initial_shape(read.inputs.back()));
  }
  for (std::size_t i = 0; i < read.model->outputs().size(); ++i) {
    read.outputs.push_back(describe_port(read.model->output(i), "output" + std::to_string(i)));
  }
  return read;
}

namespace {

const std::array<std::pair<verge_engine_datatype, ov::element::Type>, 13>& types() {
  static const std::array<std::pair<verge_engine_datatype, ov::element::Type>, 13> kTypes{
      {{VERGE_ENGINE_BOOL, ov::element::boolean},
       {VERGE_ENGINE_UINT8, ov::element::u8},
       {VERGE_ENGINE_UINT16, ov::element::u16},
       {VERGE_ENGINE_UINT32, ov::element::u32},
       {VERGE_ENGINE_UINT64, ov::element::u64},
       {VERGE_ENGINE_INT8, ov::element::i8},
       {VERGE_ENGINE_INT16, ov::element::i16},
       {VERGE_ENGINE_INT32, ov::element::i32},
       {VERGE_ENGINE_INT64, ov::element::i64},
       {VERGE_ENGINE_FP16, ov::element::f16},
       {VERGE_ENGINE_FP32, ov::element::f32},
       {VERGE_ENGINE_FP64, ov::element::f64},
       {VERGE_ENGINE_BF16, ov::element::bf16}}};
  return kTypes;
}

}  // namespace

verge_engine_datatype datatype_of(const ov::element::Type& type) {
  for (const auto& [datatype, element] : types()) {
    if (element == type) return datatype;
  }
  throw Failure(VERGE_ENGINE_UNSUPPORTED,
                "an input or output has the element type '" + type.get_type_name() + "', which Verge does not handle");
}

ov::element::Type element_type_of(verge_engine_datatype datatype) {
  for (const auto& [known, element] : types()) {
    if (known == datatype) return element;
  }
  throw Failure(VERGE_ENGINE_UNSUPPORTED, "OpenVINO does not know this element type");
}

std::vector<std::int64_t> shape_of(const ov::PartialShape& shape) {
  if (shape.rank().is_dynamic()) {
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "an input or output has a variable number of dimensions");
  }
  std::vector<std::int64_t> out;
  for (const ov::Dimension& dimension : shape) out.push_back(dimension.is_dynamic() ? -1 : dimension.get_length());
  return out;
}

ov::Shape shape_from(std::span<const std::int64_t> shape) {
  ov::Shape out;
  for (const std::int64_t dimension : shape) out.push_back(static_cast<std::size_t>(dimension));
  return out;
}

}  // namespace verge::engines::openvino
