#include "plugin_host.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "step_frame.hpp"
#include "verge/data_processing/prediction_reader.hpp"
#include "verge/data_processing/step_abi.h"
#include "verge/process/shared_memory.hpp"
#include "verge/processing/tensor.hpp"

namespace verge::data_processing {
namespace {

using nlohmann::json;

class PluginHost {
 public:
  explicit PluginHost(process::Channel& channel) : channel_(channel) {}

  void serve() {
    process::Packet packet;
    while (channel_.receive(packet) == process::Channel::Outcome::received) {
      StepFrame frame;
      if (packet.bytes.size() < sizeof(frame)) return;
      std::memcpy(&frame, packet.bytes.data(), sizeof(frame));
      handle(frame, packet.bytes.subspan(sizeof(frame)), std::move(packet.descriptor));
    }
  }

 private:
  struct Answer {
    std::string text;
    bool failed = false;
  };

  void handle(const StepFrame& frame, std::span<const std::byte> content, Descriptor descriptor) {
    switch (frame.kind) {
      case StepKind::load: return load({reinterpret_cast<const char*>(content.data()), content.size()});
      case StepKind::given: return take(given_, std::move(descriptor), frame.size_bytes);
      case StepKind::made: return take(made_, std::move(descriptor), frame.size_bytes);
      case StepKind::preprocess: return preprocess(frame);
      case StepKind::postprocess: return postprocess(frame, content);
      case StepKind::confine:
      case StepKind::answer: break;
    }
    say(StepStatus::wrong, "a plug-in's process does not know this message");
  }

  void say(StepStatus status, std::string_view text) {
    const StepFrame frame{.status = status};
    channel_.send(std::as_bytes(std::span(&frame, 1)), std::as_bytes(std::span(text)));
  }

  static void take(process::SharedMemory& memory, Descriptor descriptor, std::size_t size_bytes) {
    auto opened = process::SharedMemory::open(std::move(descriptor), size_bytes);
    if (opened) memory = std::move(*opened);
  }

  void load(std::string_view text) {
    const auto order = json::parse(text);
    inputs_ = order.at("inputs");
    outputs_ = order.at("outputs");
    for (const auto& tensor : inputs_) names_in_.push_back(tensor.at("name").get<std::string>());
    for (const auto& tensor : outputs_) names_out_.push_back(tensor.at("name").get<std::string>());
    std::string problem;
    if (order.contains("preprocess")) preprocess_ = find(order["preprocess"], problem);
    if (order.contains("postprocess") && problem.empty()) postprocess_ = find(order["postprocess"], problem);
    say(problem.empty() ? StepStatus::ok : StepStatus::unusable, problem);
  }

  static verge_step_function find(const json& step, std::string& problem) {
    const auto file = "./" + step.at("file").get<std::string>();  // The current folder is the package's top.
    void* const library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      problem = fmt::format(
          "expected a shared library for this machine, got: {}; build it for this processor and system", ::dlerror());
      return nullptr;
    }
    const auto name = step.at("function").get<std::string>();
    const auto found = reinterpret_cast<verge_step_function>(::dlsym(library, name.c_str()));
    if (found == nullptr) {
      problem = fmt::format(
          "expected a function '{}' in it, got none that is exported; write extern \"C\" and "
          "__attribute__((visibility(\"default\")))",
          name);
    }
    return found;
  }

  /// Calls the function; what it says, or throws, becomes the answer.
  bool call(verge_step_function function, verge_step_call& call, Answer& answer) {
    call.struct_size = sizeof(call);
    call.abi_major = VERGE_STEP_ABI_MAJOR;
    call.context = &answer;
    call.answer = [](void* context, const char* text, size_t length) {
      static_cast<Answer*>(context)->text.assign(text, std::min(length, kPredictionLimitBytes + 1));
    };
    call.fail = [](void* context, const char* reason) {
      auto* const told = static_cast<Answer*>(context);
      told->text = reason;
      told->failed = true;
    };
    int status = -1;
    StepStatus outcome = StepStatus::raised;
    try {
      status = function(&call);
    } catch (const std::bad_alloc&) {
      outcome = StepStatus::no_memory;
      answer = {"needed more memory than 'memory_limit_bytes' allows", true};
    } catch (const std::exception& thrown) {
      answer = {fmt::format("an exception left the function: {}", thrown.what()), true};
    }
    if (status == 0 && !answer.failed) return true;
    if (!answer.failed) answer.text = fmt::format("the function returned {} without a reason", status);
    say(outcome, answer.text);
    return false;
  }

  void preprocess(const StepFrame& frame) {
    auto tensors = describe(inputs_, names_in_);
    std::vector<std::size_t> offsets;
    std::size_t end = 0;
    for (auto& tensor : tensors) {
      const auto size = processing::element_count(std::span(tensor.shape, tensor.rank));
      const auto element = processing::size_bytes(static_cast<processing::DataType>(tensor.datatype));
      offsets.push_back(end);
      tensor.data = made_.bytes().data() + end;
      const auto left = made_.bytes().size() - end;
      tensor.size_bytes = size ? *size * element : left / tensors.size() / kAlignment * kAlignment;
      end += std::min((tensor.size_bytes + kAlignment - 1) / kAlignment * kAlignment, left);
    }
    verge_step_call made{};
    made.sample = reinterpret_cast<const std::uint8_t*>(given_.bytes().data());
    made.sample_size_bytes = frame.size_bytes;
    made.width = frame.width;
    made.height = frame.height;
    made.tensors = tensors.data();
    made.tensor_count = static_cast<std::uint32_t>(tensors.size());
    Answer answer;
    if (!call(preprocess_, made, answer)) return;
    std::vector<StepTensor> places(tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      StepTensor& place = places[i];
      place.datatype = tensors[i].datatype;
      place.rank = std::min(tensors[i].rank, kMaxRank);
      std::copy_n(tensors[i].shape, place.rank, place.shape);
      const auto count = processing::element_count(place.dimensions());
      place.offset_bytes = offsets[i];
      place.size_bytes = count.value_or(0) * processing::size_bytes(static_cast<processing::DataType>(place.datatype));
    }
    const StepFrame done{.count = static_cast<std::uint32_t>(places.size())};
    channel_.send(std::as_bytes(std::span(&done, 1)), std::as_bytes(std::span(places)));
  }

  void postprocess(const StepFrame& frame, std::span<const std::byte> content) {
    auto tensors = describe(outputs_, names_out_);
    for (std::size_t i = 0; i < std::min<std::size_t>(frame.count, tensors.size()); ++i) {
      StepTensor place;
      std::memcpy(&place, content.data() + i * sizeof(place), sizeof(place));
      tensors[i].rank = place.rank;
      std::copy_n(place.shape, kMaxRank, tensors[i].shape);
      tensors[i].data = given_.bytes().data() + place.offset_bytes;
      tensors[i].size_bytes = place.size_bytes;
    }
    verge_step_call made{};
    made.width = frame.width;
    made.height = frame.height;
    made.tensors = tensors.data();
    made.tensor_count = static_cast<std::uint32_t>(tensors.size());
    Answer answer;
    if (!call(postprocess_, made, answer)) return;
    const auto size = std::min(answer.text.size(), made_.bytes().size());
    std::memcpy(made_.bytes().data(), answer.text.data(), size);
    const StepFrame done{.size_bytes = size};
    channel_.send(std::as_bytes(std::span(&done, 1)), {});
  }

  static std::vector<verge_step_tensor> describe(const json& list, const std::vector<std::string>& names) {
    std::vector<verge_step_tensor> tensors;
    for (std::size_t i = 0; i < list.size(); ++i) {
      verge_step_tensor tensor{};
      tensor.name = names[i].c_str();
      tensor.datatype = list[i].at("datatype").get<std::uint32_t>();
      const auto& shape = list[i].at("shape");
      tensor.rank = static_cast<std::uint32_t>(std::min<std::size_t>(shape.size(), kMaxRank));
      for (std::uint32_t d = 0; d < tensor.rank; ++d) tensor.shape[d] = shape[d].get<std::int64_t>();
      tensors.push_back(tensor);
    }
    return tensors;
  }

  process::Channel& channel_;
  json inputs_;
  json outputs_;
  std::vector<std::string> names_in_;
  std::vector<std::string> names_out_;
  verge_step_function preprocess_ = nullptr;
  verge_step_function postprocess_ = nullptr;
  process::SharedMemory given_;
  process::SharedMemory made_;
};

}  // namespace

void host_plugins(process::Channel& channel) {
  PluginHost(channel).serve();
}

}  // namespace verge::data_processing
