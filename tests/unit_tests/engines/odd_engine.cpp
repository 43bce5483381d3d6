// Plug-ins that a host must refuse; which one, the compile definition says.
#include "verge/engines/abi.h"

namespace {

#if defined(VERGE_ODD_ENGINE_other_abi)
constexpr verge_engine_api kApi{
    .abi_major = VERGE_ENGINE_ABI_MAJOR + 1, .struct_size = sizeof(verge_engine_api), .name = "other_abi"};
#elif defined(VERGE_ODD_ENGINE_half_table)
constexpr verge_engine_api kApi{.abi_major = VERGE_ENGINE_ABI_MAJOR,
                                .struct_size = offsetof(verge_engine_api, session_create),
                                .name = "half_table",
                                .version = "1",
                                .formats = "half"};
#endif

}  // namespace

extern "C" const verge_engine_api* verge_engine_entry(uint32_t) {
#if defined(VERGE_ODD_ENGINE_refuses_abi)
  return nullptr;
#else
  return &kApi;
#endif
}
