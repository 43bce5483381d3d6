#include "fake_model.hpp"

#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>

namespace verge::engines::fake {
namespace {

constexpr std::size_t kLimitBytes = std::size_t{64} << 10U;
constexpr double kTensorLimitBytes = 1024.0 * 1024.0 * 1024.0;
constexpr std::array<std::string_view, 13> kTypes{"BOOL",  "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16",
                                                  "INT32", "INT64", "FP16",   "FP32",   "FP64",   "BF16"};

class Lines {
 public:
  explicit Lines(std::istream& in) : in_(in) {}
  /// Words of the next line that has any; nothing at the end.
  std::optional<std::istringstream> next() {
    std::string text;
    while (std::getline(in_, text)) {
      ++number_;
      const std::size_t first = text.find_first_not_of(" \t\r");
      if (first != std::string::npos && text[first] != '#') return std::istringstream(text);
    }
    return std::nullopt;
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw Failure(VERGE_ENGINE_CORRUPT, "line " + std::to_string(number_) + ": " + what);
  }

 private:
  std::istream& in_;
  int number_ = 0;
};

std::vector<std::int64_t> read_shape(const std::string& text, const Lines& lines) {
  std::vector<std::int64_t> shape;
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') {
    lines.refuse("a shape looks like [1,4], got '" + text + "'");
  }
  const char* at = text.data() + 1;
  const char* const end = text.data() + text.size() - 1;
  while (at < end) {
    std::int64_t dimension = 0;
    const auto [stop, error] = std::from_chars(at, end, dimension);
    if (error != std::errc{} || dimension < -1 || dimension == 0 || (stop != end && *stop != ',')) {
      lines.refuse("a dimension is a positive number or -1, in '" + text + "'");
    }
    shape.push_back(dimension);
    at = stop == end ? end : stop + 1;
  }
  if (shape.size() > VERGE_ENGINE_MAX_RANK) lines.refuse("more than 8 dimensions");
  return shape;
}

TensorDescription read_tensor(std::istringstream& words, const Lines& lines) {
  TensorDescription tensor;
  std::string type;
  std::string shape;
  if (!(words >> tensor.name >> type >> shape)) lines.refuse("expected a name, a type and a shape");
  const auto found = std::find(kTypes.begin(), kTypes.end(), type);
  if (found == kTypes.end()) lines.refuse("unknown type '" + type + "'");
  tensor.datatype = static_cast<verge_engine_datatype>(found - kTypes.begin());
  tensor.shape = read_shape(shape, lines);
  std::vector<std::int64_t> known = tensor.shape;
  for (auto& dimension : known) dimension = std::max<std::int64_t>(dimension, 1);
  double size_bytes = static_cast<double>(element_size_bytes(tensor.datatype));
  for (const auto dimension : known) size_bytes *= static_cast<double>(dimension);
  if (size_bytes > kTensorLimitBytes) lines.refuse("a tensor of more than 1 GiB");
  if (words >> tensor.scale) {
    tensor.is_quantised = true;
    if (!(words >> tensor.zero_point) || !(tensor.scale > 0.0F)) lines.refuse("expected a scale and a zero point");
  }
  return tensor;
}

void read_function(std::istringstream& words, const Lines& lines, Model& model) {
  std::string name;
  words >> name;
  const auto number = [&] {
    if (!(words >> model.number)) lines.refuse("function " + name + " needs a number");
  };
  if (name == "identity") {
    model.function = Function::identity;
  } else if (name == "sum") {
    model.function = Function::sum;
  } else if (name == "constant") {
    model.function = Function::constant;
    number();
  } else if (name == "fail") {
    model.function = Function::fail;
    std::getline(words >> std::ws, model.message);
    if (model.message.empty()) model.message = "this model fails by design";
  } else if (name == "fail_after") {
    model.function = Function::fail_after;
    number();
  } else if (name == "crash_after") {
    model.function = Function::crash_after;
    number();
  } else if (name == "leak") {
    model.function = Function::leak;
    number();
  } else {
    lines.refuse("unknown function '" + name +
                 "'; known: identity, sum, constant, fail, fail_after, crash_after, leak");
  }
}

}  // namespace

Model read_model(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "there is no readable model file");
  }
  if (std::filesystem::file_size(path, error) > kLimitBytes) {
    throw Failure(VERGE_ENGINE_CORRUPT, "more than 64 KiB of text");
  }
  std::ifstream in(path);
  Lines lines(in);
  Model model;
  bool has_function = false;
  auto first = lines.next();
  std::string mark;
  std::string version;
  if (!first || !(*first >> mark >> version) || mark != "verge-fake" || version != "1") {
    lines.refuse("expected 'verge-fake 1'");
  }
  while (auto words = lines.next()) {
    std::string key;
    *words >> key;
    if (key == "input") {
      model.inputs.push_back(read_tensor(*words, lines));
    } else if (key == "output") {
      model.outputs.push_back(read_tensor(*words, lines));
    } else if (key == "function") {
      read_function(*words, lines, model);
      has_function = true;
    } else if (key == "delay_ms") {
      if (!(*words >> model.delay_ms) || model.delay_ms > 600'000) lines.refuse("delay_ms is a number up to 600000");
    } else {
      lines.refuse("unknown key '" + key + "'; known: input, output, function, delay_ms");
    }
  }
  // The function comes last in what people write, so that a truncated file is noticed.
  if (model.outputs.empty() || !has_function) lines.refuse("the file ends early: it needs an output and a function");
  return model;
}

}  // namespace verge::engines::fake
