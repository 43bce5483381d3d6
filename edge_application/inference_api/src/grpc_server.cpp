#include "verge/inference_api/grpc_server.hpp"

#include <dlfcn.h>

#include <fmt/format.h>

#include "verge/base/part.hpp"

namespace verge::inference_api {

Result<std::unique_ptr<GrpcServer>> start_grpc(const GrpcOptions& options, const Service& service) {
  const auto path = part_path("libverge_part_grpc.so");
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // Never closed: gRPC leaves threads behind.
  if (library == nullptr) {
    return Error(
        ErrorCode::unavailable, "VRG-API-050",
        fmt::format("'api: grpc' needs the gRPC part, which does not load: {}; install it, or leave 'grpc' out",
                    ::dlerror()));
  }
  const auto entry = reinterpret_cast<GrpcPartEntry>(::dlsym(library, "verge_grpc_part_entry"));
  if (entry == nullptr || std::string_view(entry()->version) != VERGE_VERSION) {
    return Error(ErrorCode::failed_precondition, "VRG-API-050",
                 fmt::format("expected the gRPC part of version {} at '{}'; install the one of this program",
                             VERGE_VERSION, path.string()));
  }
  return entry()->start(options, service);
}

}  // namespace verge::inference_api
