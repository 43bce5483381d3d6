// The bare gRPC echo: the bytes that came go back, without a look at them. `bench_grpc_echo PORT`.
#include <cstdio>
#include <string>

#include <grpc_service.grpc.pb.h>
#include <grpcpp/grpcpp.h>

namespace {

class Echo final : public inference::GRPCInferenceService::Service {
  grpc::Status ModelInfer(grpc::ServerContext*, const inference::ModelInferRequest* request,
                          inference::ModelInferResponse* response) override {
    for (auto& raw : *const_cast<inference::ModelInferRequest*>(request)->mutable_raw_input_contents()) {
      response->add_raw_output_contents()->swap(raw);
    }
    return grpc::Status::OK;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  Echo echo;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::string(argv[1]), grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&echo);
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::puts("ready");
  std::fflush(stdout);
  server->Wait();
}
