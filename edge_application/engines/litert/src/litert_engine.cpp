// Engine "litert": TensorFlow Lite models on the CPU, with XNNPACK.
#include "litert_request.hpp"
#include "litert_session.hpp"
#include "verge/engines/adapter.hpp"

extern "C" const verge_engine_api* verge_engine_entry(std::uint32_t host_abi_major) {
  namespace litert = verge::engines::litert;
  static constexpr verge_engine_api kApi =
      verge::engines::Adapter<litert::Session, litert::Request>::api("litert", VERGE_LITERT_VERSION, litert::kFormats);
  return host_abi_major == VERGE_ENGINE_ABI_MAJOR ? &kApi : nullptr;
}
