// Adapter: the ABI's table of functions over an engine's two classes.
#pragma once

#include <memory>

#include "verge/engines/plugin.hpp"

namespace verge::engines {

/// Everything the ABI asks of every engine in the same way: null and index checks, exceptions into statuses.
///
/// Session: static std::unique_ptr<Session> create(const verge_engine_load&); inputs(), outputs() giving lists of
/// TensorDescription; std::unique_ptr<Request> create_request().
/// Request: set_input_shape(index, shape), input(index, out), output(index, out), bind_input(index, tensor),
/// bind_output(index, tensor), run(), start(done, user_data), wait(error) giving the run's status, cancel(); where the
/// engine knows its layers, profile(each, user_data).
/// All but wait() throw Failure.
template <typename Session, typename Request>
class Adapter {
 public:
  static constexpr verge_engine_api api(const char* name, const char* version, const char* formats) {
    return {.abi_major = VERGE_ENGINE_ABI_MAJOR,
            .abi_minor = 1,
            .struct_size = sizeof(verge_engine_api),
            .name = name,
            .version = version,
            .formats = formats,
            .session_create = creator(),
            .session_destroy = [](verge_engine_session* session) { delete of(session); },
            .input_count = [](const verge_engine_session* session) { return count(of(session)->inputs()); },
            .output_count = [](const verge_engine_session* session) { return count(of(session)->outputs()); },
            .input_info = input_info,
            .output_info = output_info,
            .request_create = request_create,
            .request_destroy = [](verge_engine_request* request) { delete of(request); },
            .request_set_input_shape = set_input_shape,
            .request_input = input,
            .request_output = output,
            .request_bind_input = bind_input,
            .request_bind_output = bind_output,
            .request_run = run,
            .request_start = start,
            .request_wait = wait,
            .request_cancel = cancel,
            .request_profile = profiler()};
  }

 private:
  using Status = verge_engine_status;
  using Message = verge_engine_error;

  static Session* of(verge_engine_session* session) { return reinterpret_cast<Session*>(session); }
  static const Session* of(const verge_engine_session* session) { return reinterpret_cast<const Session*>(session); }
  static Request* of(verge_engine_request* request) { return reinterpret_cast<Request*>(request); }

  template <typename List>
  static std::uint32_t count(const List& list) {
    return static_cast<std::uint32_t>(list.size());
  }

  /// Null for a session that is made in another way than by a plug-in's table.
  static constexpr decltype(verge_engine_api::session_create) creator() {
    if constexpr (requires(const verge_engine_load& load) { Session::create(load); }) {
      return session_create;
    } else {
      return nullptr;
    }
  }
  static Status session_create(const verge_engine_load* load, verge_engine_session** session, Message* error) {
    return at_boundary(
        error, [&] { *session = reinterpret_cast<verge_engine_session*>(Session::create(received(load)).release()); });
  }
  static Status input_info(const verge_engine_session* session, std::uint32_t index, verge_engine_tensor_info* info,
                           Message* error) {
    return at_boundary(error, [&] {
      check_index("input", index, of(session)->inputs().size());
      describe(of(session)->inputs()[index], info);
    });
  }
  static Status output_info(const verge_engine_session* session, std::uint32_t index, verge_engine_tensor_info* info,
                            Message* error) {
    return at_boundary(error, [&] {
      check_index("output", index, of(session)->outputs().size());
      describe(of(session)->outputs()[index], info);
    });
  }
  static Status request_create(verge_engine_session* session, verge_engine_request** request, Message* error) {
    return at_boundary(
        error, [&] { *request = reinterpret_cast<verge_engine_request*>(of(session)->create_request().release()); });
  }

  static Status set_input_shape(verge_engine_request* request, std::uint32_t index, const std::int64_t* shape,
                                std::uint32_t rank, Message* error) {
    return at_boundary(error, [&] {
      if (shape == nullptr && rank > 0) throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "a shape must be given");
      of(request)->set_input_shape(index, std::span(shape, rank));
    });
  }
  static Status input(verge_engine_request* request, std::uint32_t index, verge_engine_tensor* tensor, Message* error) {
    return at_boundary(error, [&] { of(request)->input(index, tensor); });
  }
  static Status output(verge_engine_request* request, std::uint32_t index, verge_engine_tensor* tensor,
                       Message* error) {
    return at_boundary(error, [&] { of(request)->output(index, tensor); });
  }
  static Status bind_input(verge_engine_request* request, std::uint32_t index, const verge_engine_tensor* tensor,
                           Message* error) {
    return at_boundary(error, [&] { of(request)->bind_input(index, received(tensor)); });
  }
  static Status bind_output(verge_engine_request* request, std::uint32_t index, const verge_engine_tensor* tensor,
                            Message* error) {
    return at_boundary(error, [&] { of(request)->bind_output(index, received(tensor)); });
  }

  static Status run(verge_engine_request* request, Message* error) {
    return at_boundary(error, [&] { of(request)->run(); });
  }
  static Status start(verge_engine_request* request, verge_engine_done done, void* user_data, Message* error) {
    return at_boundary(error, [&] { of(request)->start(done, user_data); });
  }
  static Status wait(verge_engine_request* request, Message* error) {
    Message run_error{};
    Status run_status = VERGE_ENGINE_OK;
    const Status status = at_boundary(error, [&] { run_status = of(request)->wait(&run_error); });
    if (status != VERGE_ENGINE_OK) return status;
    write_message(error, run_error.message);
    return run_status;
  }
  static Status cancel(verge_engine_request* request, Message* error) {
    return at_boundary(error, [&] { of(request)->cancel(); });
  }
  static constexpr decltype(verge_engine_api::request_profile) profiler() {
    if constexpr (requires(Request & request, verge_engine_each_layer each) { request.profile(each, nullptr); }) {
      return profile;
    } else {
      return nullptr;
    }
  }
  static Status profile(verge_engine_request* request, verge_engine_each_layer each, void* user_data, Message* error) {
    return at_boundary(error, [&] { of(request)->profile(each, user_data); });
  }
};

}  // namespace verge::engines
