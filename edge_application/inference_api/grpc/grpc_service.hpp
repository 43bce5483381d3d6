// The service's calls, as gRPC's generated interface has them. They translate and nothing else: what is checked and
// done is the same for HTTP.
#pragma once

#include <atomic>
#include <functional>

#include <grpc_service.grpc.pb.h>

#include "verge/inference_api/grpc_server.hpp"
#include "verge/inference_api/infer_call.hpp"

namespace verge::inference_api {

/// The canonical code's own number in gRPC; the text is the error's.
[[nodiscard]] grpc::Status status_of(const Error& error);

/// Reads the request; tensors stay where they are. Errors: invalid_argument (VRG-API-010 …).
Result<InferCall> read_infer_request(const inference::ModelInferRequest& request);
void write_infer_response(const InferCall& call, const ServedModel& model, const InferAnswer& answer,
                          inference::ModelInferResponse& response);

void write_metadata(const ServedModel& model, inference::ModelMetadataResponse& response);
void write_config(const ServedModel& model, inference::ModelConfig& config);
void write_statistics(const ServedModel& model, inference::ModelStatistics& statistics);

class GrpcService final : public inference::GRPCInferenceService::Service {
 public:
  using Status = grpc::Status;
  using Context = grpc::ServerContext;

  GrpcService(const GrpcOptions& options, const inference_api::Service& service)
      : options_(options), service_(service) {}

  Status ServerLive(Context*, const inference::ServerLiveRequest*, inference::ServerLiveResponse* response) override;
  Status ServerReady(Context*, const inference::ServerReadyRequest*, inference::ServerReadyResponse* response) override;
  Status ModelReady(Context* context, const inference::ModelReadyRequest* request,
                    inference::ModelReadyResponse* response) override;
  Status ServerMetadata(Context* context, const inference::ServerMetadataRequest*,
                        inference::ServerMetadataResponse* response) override;
  Status ModelMetadata(Context* context, const inference::ModelMetadataRequest* request,
                       inference::ModelMetadataResponse* response) override;
  Status ModelInfer(Context* context, const inference::ModelInferRequest* request,
                    inference::ModelInferResponse* response) override;
  Status ModelStreamInfer(
      Context* context,
      grpc::ServerReaderWriter<inference::ModelStreamInferResponse, inference::ModelInferRequest>* stream) override;
  Status ModelConfig(Context* context, const inference::ModelConfigRequest* request,
                     inference::ModelConfigResponse* response) override;
  Status ModelStatistics(Context* context, const inference::ModelStatisticsRequest* request,
                         inference::ModelStatisticsResponse* response) override;
  Status RepositoryIndex(Context* context, const inference::RepositoryIndexRequest* request,
                         inference::RepositoryIndexResponse* response) override;
  Status RepositoryModelLoad(Context* context, const inference::RepositoryModelLoadRequest* request,
                             inference::RepositoryModelLoadResponse*) override;
  Status RepositoryModelUnload(Context* context, const inference::RepositoryModelUnloadRequest* request,
                               inference::RepositoryModelUnloadResponse*) override;
  Status SystemSharedMemoryStatus(Context* context, const inference::SystemSharedMemoryStatusRequest* request,
                                  inference::SystemSharedMemoryStatusResponse* response) override;
  Status SystemSharedMemoryRegister(Context* context, const inference::SystemSharedMemoryRegisterRequest* request,
                                    inference::SystemSharedMemoryRegisterResponse*) override;
  Status SystemSharedMemoryUnregister(Context* context, const inference::SystemSharedMemoryUnregisterRequest* request,
                                      inference::SystemSharedMemoryUnregisterResponse*) override;
  Status CudaSharedMemoryStatus(Context* context, const inference::CudaSharedMemoryStatusRequest*,
                                inference::CudaSharedMemoryStatusResponse*) override;
  Status CudaSharedMemoryRegister(Context* context, const inference::CudaSharedMemoryRegisterRequest*,
                                  inference::CudaSharedMemoryRegisterResponse*) override;
  Status CudaSharedMemoryUnregister(Context* context, const inference::CudaSharedMemoryUnregisterRequest*,
                                    inference::CudaSharedMemoryUnregisterResponse*) override;

  /// Streams that wait for their next request.
  [[nodiscard]] int idle_streams() const noexcept { return idle_streams_; }

 private:
  [[nodiscard]] Result<void> admit(const Context& context) const;
  /// Admits the caller, does the work, gives the status of its error.
  template <typename Work>
  Status call(const Context& context, Work work) const {
    if (const auto admitted = admit(context); !admitted) return status_of(admitted.error());
    const auto done = work();
    return done ? Status::OK : status_of(done.error());
  }
  Result<void> infer(const inference::ModelInferRequest& request, inference::ModelInferResponse& response) const;
  void answer_in_stream(const inference::ModelInferRequest& request,
                        inference::ModelStreamInferResponse& response) const;

  const GrpcOptions& options_;
  const inference_api::Service& service_;
  std::atomic<int> idle_streams_{0};
};

}  // namespace verge::inference_api
