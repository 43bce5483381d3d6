// Any request to the inference API, shared memory and repository included. The first three bytes choose path, header
// and length; the rest is the body.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cctype>

#include <nlohmann/json.hpp>

#include "files.hpp"
#include "verge/inference_api/router.hpp"

using namespace verge;

namespace {

constexpr std::array<std::string_view, 12> kTypes{"FP32",  "FP64",  "FP16",  "BOOL",   "INT8",   "INT16",
                                                  "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"};

/// Names of packages are in small letters.
std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// A model with an input of every type, of which one has a variable size, and one that takes pictures.
void write_packages(const std::filesystem::path& folder) {
  std::string model = "verge-fake 1\n";
  std::string inputs;
  std::string outputs;
  const auto add = [&](std::string_view name, std::string_view type, std::string_view shape) {
    model += "input i" + std::string(name) + " " + std::string(type) + " " + std::string(shape) + "\n";
    model += "output o" + std::string(name) + " " + std::string(type) + " " + std::string(shape) + "\n";
    const auto tensor = [&](const char* prefix) {
      return R"({"name":")" + (prefix + std::string(name)) + R"(","datatype":")" + std::string(type) + R"(","shape":)" +
             std::string(shape) + "}";
    };
    inputs += (inputs.empty() ? "" : ",") + tensor("i");
    outputs += (outputs.empty() ? "" : ",") + tensor("o");
  };
  const auto write = [&](const std::string& name, const std::string& more) {
    std::filesystem::create_directories(folder / name / "model_files");
    std::filesystem::create_directories(folder / name / "preprocessing");
    fuzz::put(folder / name / "model_files" / "model.fake", model + "function identity\n");
    fuzz::put(folder / name / "metadata.json",
              R"({"schema_version":1,"name":")" + name + R"(","version":"1.0.0","task":"tensor","engine":"fake",)" +
                  R"("model":{"file":"model_files/model.fake","format":"fake"},"inputs":[)" + inputs +
                  R"(],"outputs":[)" + outputs + "]}");
    if (!more.empty()) fuzz::put(folder / name / "preprocessing" / "preprocessing.yaml", more);
  };
  add("x", "FP32", "[-1,2]");
  write("variable", "");
  model = "verge-fake 1\n";
  inputs = outputs = "";
  add("x", "UINT8", "[1,8,8,3]");
  write("picture", "version: 1\nsample: image\nsteps:\n  - resize: { width: 8, height: 8 }\n");
  for (const auto type : kTypes) {
    model = "verge-fake 1\n";
    inputs = outputs = "";
    add("x", type, "[2]");
    write(lower(type), "");
  }
}

struct Api {
  telemetry::Metrics metrics{telemetry::DeviceInfo{}, "1"};
  inference_api::ModelRepository models;
  inference_api::SharedMemory memory{std::uint64_t{1} << 20U};
  inference_api::Service service{models, memory, nullptr, "1"};
  inference_api::Router router{service, metrics};
  std::vector<std::string> names{"variable", "picture"};

  /// A region of shared memory for requests that name "r".
  void add_region() {
    const std::string key = "/verge-fuzz-" + std::to_string(::getpid());
    const int file = ::shm_open(key.c_str(), O_RDWR | O_CREAT, 0600);
    if (file < 0 || ::ftruncate(file, 4096) != 0 || !memory.add({"r", key, 16, 2048})) __builtin_trap();
    ::close(file);
    ::shm_unlink(key.c_str());
  }

  Api() {
    add_region();
    const auto folder = fuzz::folder() / "packages";
    write_packages(folder);
    for (const auto type : kTypes) names.push_back(lower(type));
    processing::EngineCatalogue engines(processing::default_engine_folder());
    inference_api::ModelRepository::Models made;
    for (const auto& name : names) {
      auto package = package::open_folder(folder / name);
      if (!package) __builtin_trap();
      processing::LoadOptions options;
      options.image_limits.max_pixels = 1U << 20U;
      auto model = processing::LoadedModel::load(std::move(*package), engines, options);
      if (!model) __builtin_trap();
      auto served = std::make_shared<inference_api::ServedModel>();
      served->name = name;
      served->metrics = metrics.model(name, "1.0.0", "fake");
      auto pool = processing::WorkerPool::create(*model, 1, 1);
      if (!pool) __builtin_trap();
      served->workers = std::move(*pool);
      made[name] = std::move(served);
    }
    models.replace(std::move(made));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  static Api api;
  if (size_bytes < 3) return 0;
  const std::uint8_t choice = data[1];
  const std::string body(reinterpret_cast<const char*>(data + 3), size_bytes - 3);
  std::string path;
  if ((choice & 1U) != 0) {  // The path is the body's first line.
    path = "/v2/" + body.substr(0, std::min(body.find('\n'), body.size()));
  } else {
    path = "/v2/models/" + api.names[data[0] % api.names.size()] + ((choice & 2U) != 0 ? "/predict" : "/infer");
  }
  const std::string length = std::to_string(data[2] * ((choice & 16U) != 0 ? 8U : 1U));
  constexpr std::array<std::string_view, 4> kAccepts{"", "image/png", "image/png;view=mask", "image/png;view=overlay"};
  http::Request request;
  request.method = (choice & 33U) == 33U ? "GET" : "POST";
  request.path = path;
  request.body = std::as_bytes(std::span(body));
  request.header = [&](std::string_view name) -> std::string_view {
    if (name == "Inference-Header-Content-Length" && (choice & 4U) != 0) return length;
    if (name == "Accept") return kAccepts[choice >> 6U];
    return {};
  };
  auto response = api.router.handle(request);
  for (const auto bytes : response.attached) {  // Read as the server would.
    response.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  constexpr std::array<int, 8> kStatuses{200, 400, 404, 405, 406, 409, 413, 415};
  if (std::find(kStatuses.begin(), kStatuses.end(), response.status) == kStatuses.end()) __builtin_trap();
  if (response.content_type == "application/json" && !response.body.empty() && !nlohmann::json::accept(response.body)) {
    __builtin_trap();
  }
  return 0;
}
