// Engine "torch": TorchScript (.pt) and PyTorch Mobile (.ptl) on the CPU, in LibTorch. An optional component.
//
// A TorchScript file is a program: what it computes, and for how long, is its author's.
#include <torch/version.h>

#include "torch_request.hpp"
#include "torch_session.hpp"
#include "verge/engines/adapter.hpp"

extern "C" const verge_engine_api* verge_engine_entry(std::uint32_t host_abi_major) {
  namespace torch_engine = verge::engines::torch_engine;
  static constexpr verge_engine_api kApi = verge::engines::Adapter<torch_engine::Session, torch_engine::Request>::api(
      "torch", TORCH_VERSION, torch_engine::kFormats);
  return host_abi_major == VERGE_ENGINE_ABI_MAJOR ? &kApi : nullptr;
}
