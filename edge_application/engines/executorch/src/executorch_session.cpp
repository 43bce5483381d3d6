#include "executorch_session.hpp"

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>

#include <executorch/runtime/backend/backend_options_map.h>

#include "executorch_platform.hpp"
#include "executorch_request.hpp"
#include "verge/engines/executorch_file.hpp"

namespace verge::engines::executorch {
namespace {

using ::executorch::runtime::Program;

std::uint32_t thread_count(const verge_engine_load& load) {
  return load.threads > 0 ? load.threads : std::max(1U, std::thread::hardware_concurrency());
}

void check_delegate(const verge_engine_load& load) {
  const std::string_view delegate = load.delegate == nullptr ? "" : load.delegate;
  if (delegate.empty() || delegate == "xnnpack") return;
  throw Failure(VERGE_ENGINE_UNSUPPORTED,
                "engine 'executorch' runs what the program was exported for, got the delegate '" +
                    std::string(delegate) + "': leave it out");
}

}  // namespace

std::unique_ptr<Session> Session::create(const verge_engine_load& load) {
  check_format(load, "executorch", kFormats);
  check_device_is_cpu(load, "executorch");
  check_options(load, "executorch", {"method"});
  check_delegate(load);
  prepare_platform();
  forget_complaints();
  return std::make_unique<Session>(load);
}

Session::Session(const verge_engine_load& load)
    : content_(load.model_path),
      loader_(content_.bytes().data(), content_.bytes().size()),
      threads_(thread_count(load)),
      max_requests_(std::max(1U, load.max_requests)) {
  check_executorch(content_.bytes());
  auto program = Program::load(&loader_, Program::Verification::InternalConsistency);
  check(program.error(), "reading the program", Stage::load);
  program_.emplace(std::move(*program));
  method_ = method_name(*program_, option(load, "method"));
  const auto meta = program_->method_meta(method_.c_str());
  check(meta.error(), "reading the method", Stage::load);
  check_backends(*meta);
  input_tensors_ = read_inputs(*meta);
  output_tensors_ = read_outputs(*meta);
  if (output_tensors_.empty()) throw Failure(VERGE_ENGINE_UNSUPPORTED, "the program has no output");
  for (const Tensor& tensor : input_tensors_) inputs_.push_back(tensor.description);
  for (const Tensor& tensor : output_tensors_) outputs_.push_back(tensor.description);
  // Here and not at the first request, so that what cannot be built is refused when it is loaded.
  idle_.push_back(make_instance());
}

std::unique_ptr<Instance> Session::make_instance() const {
  const auto meta = program_->method_meta(method_.c_str());
  check(meta.error(), "reading the method", Stage::load);
  auto instance = std::make_unique<Instance>(threads_, *meta);
  // One workspace for each interpreter (2 is the library's default: one for the whole process, behind one lock).
  ::executorch::runtime::BackendOptions<1> xnnpack;
  check(xnnpack.set_option("workspace_sharing_mode", 1), "setting the workspace", Stage::load);
  ::executorch::runtime::LoadBackendOptionsMap options;
  check(options.set_options("XnnpackBackend", xnnpack.view()), "setting the workspace", Stage::load);
  const PoolForThisThread pool(instance->pool);
  try {
    auto method = program_->load_method(method_.c_str(), instance->memory.manager(), nullptr, nullptr, &options);
    check(method.error(), "building the method", Stage::load);
    instance->method.emplace(std::move(*method));
  } catch (const std::out_of_range& exception) {  // From XNNPACK's delegate, which looks tensors up by their numbers.
    throw Failure(VERGE_ENGINE_CORRUPT, std::string("the file is damaged: ") + exception.what() + "; get it again");
  }
  return instance;
}

std::unique_ptr<Instance> Session::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Instance> instance = std::move(idle_.back());
      idle_.pop_back();
      return instance;
    }
  }
  forget_complaints();
  return make_instance();
}

void Session::give_back(std::unique_ptr<Instance> instance) noexcept {
  if (instance == nullptr) return;
  const std::lock_guard lock(mutex_);
  if (idle_.size() >= max_requests_) return;
  try {
    idle_.push_back(std::move(instance));
  } catch (...) {
    // Without memory to keep it, it goes.
  }
}

std::unique_ptr<Request> Session::create_request() {
  return std::make_unique<Request>(*this);
}

}  // namespace verge::engines::executorch
