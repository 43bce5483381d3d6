// Engine "executorch": programs of PyTorch's ExecuTorch (.pte) on the CPU, with XNNPACK.
#include "executorch_request.hpp"
#include "executorch_session.hpp"
#include "verge/engines/adapter.hpp"

extern "C" const verge_engine_api* verge_engine_entry(std::uint32_t host_abi_major) {
  namespace executorch = verge::engines::executorch;
  static constexpr verge_engine_api kApi = verge::engines::Adapter<executorch::Session, executorch::Request>::api(
      "executorch", VERGE_EXECUTORCH_VERSION, executorch::kFormats);
  return host_abi_major == VERGE_ENGINE_ABI_MAJOR ? &kApi : nullptr;
}
