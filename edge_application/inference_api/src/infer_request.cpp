#include <charconv>

#include <fmt/format.h>

#include "api.hpp"
#include "json_values.hpp"
#include "malformed.hpp"
#include "verge/wire/json_reader.hpp"

namespace verge::inference_api {
namespace {

constexpr int kDepthLimit = 16;  // A tensor has at most 8 dimensions.

/// Goes through one request. What no field of ours is called is read over.
class RequestReader {
 public:
  RequestReader(std::string_view text, std::span<const std::byte> binary) : json_(text, kDepthLimit), binary_(binary) {}

  Result<InferCall> read() {
    if (json_.peek() != '{') {
      json_.skip();
      if (json_.failed() || !json_.at_end()) return no_json();
      return malformed("VRG-API-010", "expected a JSON object with 'inputs'");
    }
    json_.object([&](const std::string& key) {
      if (key == "inputs") {
        list("inputs", [this] { read_input(); });
      } else if (key == "outputs") {
        list("outputs", [this] { read_output(); });
      } else if (key == "parameters") {
        read_parameters("parameters", [this](const std::string& name) { return request_parameter(name); });
      } else if (key == "id") {
        text("id", call_.id.emplace());
      } else {
        json_.skip();
      }
      stop_at_refusal();
    });
    if (refusal_) return std::move(*refusal_);
    if (json_.failed() || !json_.at_end()) return no_json();
    if (!binary_.empty()) {
      return malformed("VRG-API-014", fmt::format("{} bytes are left behind the last binary tensor", binary_.size()));
    }
    for (std::size_t i = 0; i < call_.outputs.size(); ++i) {
      call_.outputs[i].binary = binary_of_[i].value_or(call_.binary_outputs);
    }
    return std::move(call_);
  }

 private:
  Error no_json() { return malformed("VRG-API-010", "the request is not valid JSON, " + json_.mistake()); }
  void refuse(std::string_view id, std::string message) {
    if (!refusal_) refusal_ = malformed(id, std::move(message));
  }
  /// A refusal ends the reading: what follows does not matter any more.
  void stop_at_refusal() {
    if (refusal_) json_.fail();
  }

  void text(std::string_view what, std::string& out) {
    if (json_.peek() == '"') {
      json_.string(out);
    } else {
      refuse("VRG-API-010", fmt::format("expected '{}' to be a text, got {}", what, json_.skip().substr(0, 80)));
    }
  }
  template <typename Read>
  void list(std::string_view what, Read read) {
    if (json_.peek() == '[') {
      json_.array(read);
    } else {
      refuse("VRG-API-010",
             fmt::format("expected '{}' to be a list of objects, got {}", what, json_.skip().substr(0, 80)));
    }
  }
  /// Calls `read(name)`, which says whether it has read the value.
  template <typename Read>
  void read_parameters(std::string_view what, Read read) {
    if (json_.peek() != '{') {
      refuse("VRG-API-010", fmt::format("expected '{}' to be an object, got {}", what, json_.skip().substr(0, 80)));
      return;
    }
    json_.object([&](const std::string& name) {
      if (!read(name)) json_.skip();
      stop_at_refusal();
    });
  }
  std::uint64_t count(std::string_view what) {
    const auto number = json_.whole_number();
    if (number && *number >= 0) return static_cast<std::uint64_t>(*number);
    if (!json_.failed()) {
      refuse("VRG-API-014", fmt::format("expected '{}' as a whole number from 0 to {}", what,
                                        std::numeric_limits<std::int64_t>::max()));
    }
    return 0;
  }
  bool flag(std::string_view what) {
    const auto value = json_.boolean();
    if (!value && !json_.failed()) refuse("VRG-API-010", fmt::format("expected '{}' to be true or false", what));
    return value.value_or(false);
  }

  bool request_parameter(const std::string& name) {
    if (name == "binary_data_output") {
      call_.binary_outputs = flag(name);
    } else if (name == "priority") {
      call_.priority = count(name);
    } else if (name == "timeout") {
      call_.timeout_us = count(name);
    } else {
      return false;
    }
    return true;
  }

  /// Of an input or output; nothing was said when the region has no name.
  bool shared_memory_parameter(const std::string& name, SharedMemoryPart& part) {
    if (name == "shared_memory_region") {
      text(name, part.region);
    } else if (name == "shared_memory_byte_size") {
      part.size_bytes = count(name);
    } else if (name == "shared_memory_offset") {
      part.offset_bytes = count(name);
    } else {
      return false;
    }
    return true;
  }

  void read_shape(GivenInput& input) {
    bool whole = json_.peek() == '[';
    if (whole) {
      json_.array([&] {
        const auto dimension = json_.whole_number();
        whole = whole && dimension;
        if (input.shape.size() < 64) input.shape.push_back(dimension.value_or(-1));
      });
    } else {
      json_.skip();
    }
    if (!whole && !json_.failed()) {
      refuse("VRG-API-012", fmt::format("input '{}': expected 'shape' as a list of whole numbers; for example "
                                        R"("shape":[1,4])",
                                        input.name));
    }
  }

  void read_input() {
    if (json_.peek() != '{') {
      json_.skip();
      return refuse("VRG-API-010", "expected each of 'inputs' to be an object");
    }
    GivenInput& input = call_.inputs.emplace_back();
    SharedMemoryPart part;
    std::optional<std::uint64_t> binary;
    std::string_view data;
    bool has_shape = false;
    json_.object([&](const std::string& key) {
      if (key == "name") {
        text("name", input.name);
      } else if (key == "datatype") {
        text("datatype", input.datatype);
      } else if (key == "shape") {
        has_shape = true;
        read_shape(input);
      } else if (key == "data") {
        data = json_.skip();
      } else if (key == "parameters") {
        read_parameters(key, [&](const std::string& name) {
          if (name != "binary_data_size") return shared_memory_parameter(name, part);
          binary = count(name);
          return true;
        });
      } else {
        json_.skip();
      }
      stop_at_refusal();
    });
    if (!json_.failed() && !has_shape) {
      refuse("VRG-API-012",
             fmt::format("input '{}': expected 'shape' as a list of whole numbers, got none; for example "
                         R"("shape":[1,4])",
                         input.name));
    }
    if (!json_.failed()) place(input, part, binary, data);
    if (call_.inputs.size() > 1024) refuse("VRG-API-010", "no model has more than 1024 inputs");
  }

  /// Where the input's content is.
  void place(GivenInput& input, SharedMemoryPart& part, std::optional<std::uint64_t> binary, std::string_view data) {
    if (!part.region.empty()) {
      input.content = std::move(part);
    } else if (binary) {
      if (*binary > binary_.size()) {
        return refuse(
            "VRG-API-014",
            fmt::format("input '{}': expected the {} bytes of its 'binary_data_size' behind the JSON, got {}; "
                        "give the JSON's length in 'Inference-Header-Content-Length', and the whole body's in "
                        "'Content-Length'",
                        input.name, *binary, binary_.size()));
      }
      input.content = binary_.first(static_cast<std::size_t>(*binary));
      binary_ = binary_.subspan(static_cast<std::size_t>(*binary));
    } else if (data.starts_with('[')) {
      input.content = FillTensor([data](const processing::TensorSpec& spec, const processing::TensorView& tensor) {
        return write_json_values(data, spec, tensor);
      });
    }
  }

  void read_output() {
    if (json_.peek() != '{') {
      json_.skip();
      return refuse("VRG-API-010", "expected each of 'outputs' to be an object");
    }
    WantedOutput& output = call_.outputs.emplace_back();
    SharedMemoryPart part;
    std::optional<bool> binary;
    json_.object([&](const std::string& key) {
      if (key == "name") {
        text("name", output.name);
      } else if (key == "parameters") {
        read_parameters(key, [&](const std::string& name) {
          if (name == "classification" && count(name) > 0) {
            refuse("VRG-API-016",
                   "outputs as classes ('classification') are not served by infer; ask …/predict, whose "
                   "answer has the labels, or leave the parameter out");
          } else if (name == "binary_data") {
            binary = flag(name);
          } else if (name != "classification") {
            return shared_memory_parameter(name, part);
          }
          return true;
        });
      } else {
        json_.skip();
      }
      stop_at_refusal();
    });
    if (!part.region.empty()) output.destination = std::move(part);
    binary_of_.push_back(binary);
    if (call_.outputs.size() > 1024) refuse("VRG-API-010", "no model has more than 1024 outputs");
  }

  wire::JsonReader json_;
  std::span<const std::byte> binary_;  ///< What no input has taken yet.
  InferCall call_;
  std::vector<std::optional<bool>> binary_of_;  ///< Outputs, as each says itself.
  std::optional<Error> refusal_;
};

/// Raw request: no JSON at all, the body is the one input's content.
Result<InferCall> read_raw(const http::Request& request, const processing::LoadedModel& model) {
  const auto specs = model.inputs();
  if (specs.size() != 1) {
    return malformed("VRG-API-015",
                     fmt::format("a raw request needs a model with one input, this one has {}", specs.size()));
  }
  InferCall call;
  GivenInput& input = call.inputs.emplace_back();
  input.name = specs[0].name;
  input.datatype = processing::name(specs[0].datatype);
  input.shape = specs[0].shape;
  for (auto& dimension : input.shape) dimension = dimension < 0 ? 1 : dimension;
  input.content = request.body;
  call.binary_outputs = true;
  call.request_bytes = std::max<std::size_t>(1, request.body.size());
  return call;
}

}  // namespace

Result<InferCall> read_infer_request(const http::Request& request, const processing::LoadedModel& model) {
  std::size_t json_size = request.body.size();
  if (const auto header = request.header("Inference-Header-Content-Length"); !header.empty()) {
    const auto parsed = std::from_chars(header.data(), header.data() + header.size(), json_size);
    if (parsed.ec != std::errc{} || parsed.ptr != header.data() + header.size() || json_size > request.body.size()) {
      return malformed("VRG-API-014", fmt::format("expected 'Inference-Header-Content-Length' from 0 to the body's {} "
                                                  "bytes, got '{}'",
                                                  request.body.size(), header));
    }
    if (json_size == 0) return read_raw(request, model);
  }
  const std::string_view text(reinterpret_cast<const char*>(request.body.data()), json_size);
  RequestReader reader(text, request.body.subspan(json_size));
  VERGE_ASSIGN(auto call, reader.read());
  call.request_bytes = request.body.size();
  return call;
}

}  // namespace verge::inference_api
