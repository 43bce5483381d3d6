#include "grpc_service.hpp"

#include <fmt/format.h>

namespace verge::inference_api {
namespace {

template <typename Parameters>
Result<void> refuse_parameters(const Parameters& parameters) {
  for (const auto& [name, value] : parameters) {
    if (name == "unload_dependents") continue;
    return Error(
        ErrorCode::invalid_argument, "VRG-API-043",
        fmt::format("the parameter '{}' is not served: a model is loaded as the agent's configuration names it; "
                    "leave the parameter out",
                    name));
  }
  return {};
}

Error no_device_memory() {
  return Error(ErrorCode::failed_precondition, "VRG-API-037",
               "this agent has no CUDA memory; register POSIX shared memory with SystemSharedMemoryRegister");
}

}  // namespace

/// Who comes by the Unix socket has been let in by its mode.
Result<void> GrpcService::admit(const Context& context) const {
  if (!options_.admit || context.peer().starts_with("unix:")) return {};
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  const std::string_view authorization =
      found == metadata.end() ? std::string_view() : std::string_view(found->second.data(), found->second.size());
  const auto authenticated = context.auth_context();
  return options_.admit(authorization, authenticated != nullptr && authenticated->IsPeerAuthenticated());
}

grpc::Status GrpcService::ServerLive(Context*, const inference::ServerLiveRequest*,
                                     inference::ServerLiveResponse* response) {
  response->set_live(true);
  return Status::OK;
}

grpc::Status GrpcService::ServerReady(Context*, const inference::ServerReadyRequest*,
                                      inference::ServerReadyResponse* response) {
  response->set_ready(service_.models().ready());
  return Status::OK;
}

grpc::Status GrpcService::ModelReady(Context* context, const inference::ModelReadyRequest* request,
                                     inference::ModelReadyResponse* response) {
  return call(*context, [&]() -> Result<void> {
    const auto found = service_.models().find(request->name(), request->version());
    response->set_ready(found && (*found)->ready());
    return {};
  });
}

grpc::Status GrpcService::ServerMetadata(Context* context, const inference::ServerMetadataRequest*,
                                         inference::ServerMetadataResponse* response) {
  return call(*context, [&]() -> Result<void> {
    response->set_name("verge-agent");
    response->set_version(service_.version());
    for (const auto extension : inference_api::Service::kExtensions) response->add_extensions(std::string(extension));
    return {};
  });
}

grpc::Status GrpcService::ModelMetadata(Context* context, const inference::ModelMetadataRequest* request,
                                        inference::ModelMetadataResponse* response) {
  return call(*context, [&]() -> Result<void> {
    VERGE_ASSIGN(const auto model, service_.models().find(request->name(), request->version()));
    write_metadata(*model, *response);
    return {};
  });
}

Result<void> GrpcService::infer(const inference::ModelInferRequest& request,
                                inference::ModelInferResponse& response) const {
  VERGE_ASSIGN(const auto model, service_.models().find(request.model_name(), request.model_version()));
  const auto read = read_infer_request(request);
  if (!read) {
    model->statistics.fail(0);
    model->count("refused");
    return read.error();
  }
  VERGE_ASSIGN(const auto answer, run(*read, *model, service_.memory()));
  write_infer_response(*read, *model, answer, response);
  return {};
}

grpc::Status GrpcService::ModelInfer(Context* context, const inference::ModelInferRequest* request,
                                     inference::ModelInferResponse* response) {
  return call(*context, [&] { return infer(*request, *response); });
}

void GrpcService::answer_in_stream(const inference::ModelInferRequest& request,
                                   inference::ModelStreamInferResponse& response) const {
  auto& answer = *response.mutable_infer_response();
  if (const auto done = infer(request, answer); !done) {
    answer.Clear();
    answer.set_id(request.id());
    response.set_error_message(done.error().text());
  }
  const auto final = request.parameters().find("triton_enable_empty_final_response");
  if (final != request.parameters().end() && final->second.bool_param()) {
    (*answer.mutable_parameters())["triton_final_response"].set_bool_param(true);
  }
}

grpc::Status GrpcService::ModelStreamInfer(
    Context* context,
    grpc::ServerReaderWriter<inference::ModelStreamInferResponse, inference::ModelInferRequest>* stream) {
  if (const auto admitted = admit(*context); !admitted) return status_of(admitted.error());
  inference::ModelInferRequest request;
  inference::ModelStreamInferResponse response;
  const auto next = [&] {
    ++idle_streams_;
    const bool come = stream->Read(&request);
    --idle_streams_;
    return come;
  };
  while (next()) {
    response.Clear();
    answer_in_stream(request, response);
    if (!stream->Write(response)) break;
  }
  return Status::OK;
}

grpc::Status GrpcService::ModelConfig(Context* context, const inference::ModelConfigRequest* request,
                                      inference::ModelConfigResponse* response) {
  return call(*context, [&]() -> Result<void> {
    VERGE_ASSIGN(const auto model, service_.models().find(request->name(), request->version()));
    write_config(*model, *response->mutable_config());
    return {};
  });
}

grpc::Status GrpcService::ModelStatistics(Context* context, const inference::ModelStatisticsRequest* request,
                                          inference::ModelStatisticsResponse* response) {
  return call(*context, [&]() -> Result<void> {
    VERGE_ASSIGN(const auto models, service_.served(request->name(), request->version()));
    for (const auto& model : models) write_statistics(*model, *response->add_model_stats());
    return {};
  });
}

grpc::Status GrpcService::RepositoryIndex(Context* context, const inference::RepositoryIndexRequest* request,
                                          inference::RepositoryIndexResponse* response) {
  return call(*context, [&]() -> Result<void> {
    for (const auto& entry : service_.index(request->ready())) {
      auto& model = *response->add_models();
      model.set_name(entry.name);
      model.set_version(entry.version);
      model.set_state(entry.state);
      model.set_reason(entry.reason);
    }
    return {};
  });
}

grpc::Status GrpcService::RepositoryModelLoad(Context* context, const inference::RepositoryModelLoadRequest* request,
                                              inference::RepositoryModelLoadResponse*) {
  return call(*context, [&]() -> Result<void> {
    VERGE_TRY(refuse_parameters(request->parameters()));
    return service_.load(request->model_name());
  });
}

grpc::Status GrpcService::RepositoryModelUnload(Context* context,
                                                const inference::RepositoryModelUnloadRequest* request,
                                                inference::RepositoryModelUnloadResponse*) {
  return call(*context, [&]() -> Result<void> {
    VERGE_TRY(refuse_parameters(request->parameters()));
    return service_.unload(request->model_name());
  });
}

grpc::Status GrpcService::SystemSharedMemoryStatus(Context* context,
                                                   const inference::SystemSharedMemoryStatusRequest* request,
                                                   inference::SystemSharedMemoryStatusResponse* response) {
  return call(*context, [&]() -> Result<void> {
    VERGE_ASSIGN(const auto regions, service_.memory().list(request->name()));
    for (const auto& region : regions) {
      auto& status = (*response->mutable_regions())[region.name];
      status.set_name(region.name);
      status.set_key(region.key);
      status.set_offset(region.offset_bytes);
      status.set_byte_size(region.size_bytes);
    }
    return {};
  });
}

grpc::Status GrpcService::SystemSharedMemoryRegister(Context* context,
                                                     const inference::SystemSharedMemoryRegisterRequest* request,
                                                     inference::SystemSharedMemoryRegisterResponse*) {
  return call(*context, [&] {
    return service_.memory().add({request->name(), request->key(), request->offset(), request->byte_size()});
  });
}

grpc::Status GrpcService::SystemSharedMemoryUnregister(Context* context,
                                                       const inference::SystemSharedMemoryUnregisterRequest* request,
                                                       inference::SystemSharedMemoryUnregisterResponse*) {
  return call(*context, [&]() -> Result<void> {
    request->name().empty() ? service_.memory().remove_all() : service_.memory().remove(request->name());
    return {};
  });
}

grpc::Status GrpcService::CudaSharedMemoryStatus(Context* context, const inference::CudaSharedMemoryStatusRequest*,
                                                 inference::CudaSharedMemoryStatusResponse*) {
  return call(*context, []() -> Result<void> { return {}; });
}

grpc::Status GrpcService::CudaSharedMemoryRegister(Context* context, const inference::CudaSharedMemoryRegisterRequest*,
                                                   inference::CudaSharedMemoryRegisterResponse*) {
  return call(*context, []() -> Result<void> { return no_device_memory(); });
}

grpc::Status GrpcService::CudaSharedMemoryUnregister(Context* context,
                                                     const inference::CudaSharedMemoryUnregisterRequest*,
                                                     inference::CudaSharedMemoryUnregisterResponse*) {
  return call(*context, []() -> Result<void> { return {}; });
}

}  // namespace verge::inference_api
