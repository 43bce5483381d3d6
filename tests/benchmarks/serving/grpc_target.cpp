// gRPC by the generated stub, synchronous, with raw bytes.
#include <cstring>

#include <grpc_service.grpc.pb.h>
#include <grpcpp/grpcpp.h>

#include "target.hpp"

namespace verge::bench {
namespace {

class GrpcTarget final : public Target {
 public:
  explicit GrpcTarget(const TargetSpec& spec) : name_(spec.name) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection of its own.
    stub_ = inference::GRPCInferenceService::NewStub(
        grpc::CreateCustomChannel(spec.address, grpc::InsecureChannelCredentials(), arguments));
    request_.set_model_name(spec.model);
    auto& input = *request_.add_inputs();
    input.set_name(spec.input);
    input.set_datatype(spec.datatype);
    for (const auto dimension : spec.shape) input.add_shape(dimension);
    const auto bytes = content(spec.body_bytes);
    request_.add_raw_input_contents()->assign(bytes.data(), bytes.size());
    ask();
    if (response_.raw_output_contents_size() != 1 ||
        response_.raw_output_contents(0) != request_.raw_input_contents(0)) {
      give_up(name_ + ": the answer is another than was sent");
    }
  }
  void ask() override {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const auto status = stub_->ModelInfer(&context, request_, &response_);
    if (!status.ok()) give_up(name_ + ": " + status.error_message());
  }

 private:
  std::string name_;
  std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
  inference::ModelInferRequest request_;
  inference::ModelInferResponse response_;
};

}  // namespace

std::unique_ptr<Target> make_grpc_target(const TargetSpec& spec) {
  return std::make_unique<GrpcTarget>(spec);
}

}  // namespace verge::bench
