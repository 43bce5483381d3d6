#include "executorch_platform.hpp"

#include <array>
#include <mutex>
#include <string_view>

#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

namespace verge::engines::executorch {
namespace {

using ::executorch::runtime::Error;

/// Of this thread, in place: a complaint in a run allocates nothing.
thread_local std::array<char, 400> first_complaint{};

void keep_complaint(et_timestamp_t /*at*/, et_pal_log_level_t level, const char* /*file*/, const char* /*function*/,
                    std::size_t /*line*/, const char* message, std::size_t length) {
  const bool counts = level == et_pal_log_level_t::kError || level == et_pal_log_level_t::kFatal;
  if (!counts || first_complaint[0] != '\0') return;
  const std::size_t size = std::string_view(message, length).copy(first_complaint.data(), first_complaint.size() - 1);
  first_complaint[size] = '\0';
}

[[noreturn]] void give_up() {
  throw Failure(VERGE_ENGINE_CORRUPT, "the file is damaged: ExecuTorch gives up: " + complaint() + "; get it again");
}

verge_engine_status status_of(Error error, Stage stage) {
  switch (error) {
    case Error::NotSupported:
    case Error::NotImplemented:
    case Error::OperatorMissing: return VERGE_ENGINE_UNSUPPORTED;
    case Error::DelegateMemoryAllocationFailed: return VERGE_ENGINE_OUT_OF_MEMORY;
    default: return stage == Stage::load ? VERGE_ENGINE_CORRUPT : VERGE_ENGINE_FAILED;
  }
}

}  // namespace

void prepare_platform() {
  static std::once_flag once;
  std::call_once(once, [] {
    ::executorch::runtime::runtime_init();
    const auto platform = ::executorch::runtime::PalImpl::create(nullptr, give_up, nullptr, nullptr, keep_complaint,
                                                                 nullptr, nullptr, "verge");
    if (!::executorch::runtime::register_pal(platform)) {
      throw Failure(VERGE_ENGINE_UNAVAILABLE, "engine 'executorch' is not usable: its platform cannot be set");
    }
  });
}

std::string complaint() {
  return first_complaint.data();
}

void forget_complaints() noexcept {
  first_complaint[0] = '\0';
}

void check(Error error, const char* operation, Stage stage) {
  if (error == Error::Ok) return;
  std::string text = std::string("ExecuTorch: ") + operation + ": ";
  text += first_complaint[0] == '\0' ? ::executorch::runtime::to_string(error) : complaint();
  const verge_engine_status status = status_of(error, stage);
  if (status == VERGE_ENGINE_CORRUPT) text = "the file is damaged, or no ExecuTorch program; get it again. " + text;
  throw Failure(status, std::move(text));
}

}  // namespace verge::engines::executorch
