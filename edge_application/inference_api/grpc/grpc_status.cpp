#include "grpc_service.hpp"

namespace verge::inference_api {
namespace {

grpc::StatusCode code_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return grpc::INVALID_ARGUMENT;
    case ErrorCode::not_found: return grpc::NOT_FOUND;
    case ErrorCode::already_exists: return grpc::ALREADY_EXISTS;
    case ErrorCode::permission_denied: return grpc::PERMISSION_DENIED;
    case ErrorCode::unauthenticated: return grpc::UNAUTHENTICATED;
    case ErrorCode::failed_precondition: return grpc::FAILED_PRECONDITION;
    case ErrorCode::out_of_range: return grpc::OUT_OF_RANGE;
    case ErrorCode::resource_exhausted: return grpc::RESOURCE_EXHAUSTED;
    case ErrorCode::data_loss: return grpc::DATA_LOSS;
    case ErrorCode::unimplemented: return grpc::UNIMPLEMENTED;
    case ErrorCode::unavailable: return grpc::UNAVAILABLE;
    case ErrorCode::deadline_exceeded: return grpc::DEADLINE_EXCEEDED;
    case ErrorCode::cancelled: return grpc::CANCELLED;
    case ErrorCode::aborted: return grpc::ABORTED;
    case ErrorCode::internal: return grpc::INTERNAL;
  }
  return grpc::UNKNOWN;
}

}  // namespace

grpc::Status status_of(const Error& error) {
  return {code_of(error.code()), error.text()};
}

}  // namespace verge::inference_api
