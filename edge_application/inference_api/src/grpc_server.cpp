#include "verge/inference_api/grpc_server.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

namespace verge::inference_api {
namespace {

std::filesystem::path part_path() {
  constexpr std::string_view kName = "libverge_part_grpc.so";
  if (const char* set = std::getenv("VERGE_PART_PATH"); set != nullptr) return std::filesystem::path(set) / kName;
  std::error_code failed;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
  auto installed = program.parent_path().parent_path() / VERGE_LIBRARY_FOLDER / "verge" / "parts" / kName;
  if (std::filesystem::exists(installed, failed)) return installed;
  return std::filesystem::path(VERGE_BUILD_PARTS_FOLDER) / kName;
}

}  // namespace

Result<std::unique_ptr<GrpcServer>> start_grpc(const GrpcOptions& options, const Service& service) {
  const auto path = part_path();
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
