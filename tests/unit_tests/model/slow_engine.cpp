// Engine "slow": the engine "fake", every run two milliseconds longer.
#include <thread>

#include "verge/engines/adapter.hpp"

#define verge_engine_entry verge_fake_engine_entry  // NOLINT: the fake's own entry, under another name.
#include "fake_engine.cpp"                          // NOLINT
#undef verge_engine_entry

namespace verge::engines::slow {
namespace {

class Request {
 public:
  explicit Request(std::unique_ptr<fake::Request> request) : request_(std::move(request)) {}
  void set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape) {
    request_->set_input_shape(index, shape);
  }
  void input(std::uint32_t index, verge_engine_tensor* out) const { request_->input(index, out); }
  void output(std::uint32_t index, verge_engine_tensor* out) const { request_->output(index, out); }
  void bind_input(std::uint32_t index, const verge_engine_tensor& tensor) { request_->bind_input(index, tensor); }
  void bind_output(std::uint32_t index, const verge_engine_tensor& tensor) { request_->bind_output(index, tensor); }
  void run() {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    request_->run();
  }
  void start(verge_engine_done done, void* user_data) { request_->start(done, user_data); }
  verge_engine_status wait(verge_engine_error* error) { return request_->wait(error); }
  void cancel() { request_->cancel(); }

 private:
  std::unique_ptr<fake::Request> request_;
};

class Session {
 public:
  static std::unique_ptr<Session> create(const verge_engine_load& load) {
    auto session = std::make_unique<Session>();
    session->session_ = fake::Session::create(load);
    return session;
  }
  [[nodiscard]] std::span<const TensorDescription> inputs() const { return session_->inputs(); }
  [[nodiscard]] std::span<const TensorDescription> outputs() const { return session_->outputs(); }
  std::unique_ptr<Request> create_request() { return std::make_unique<Request>(session_->create_request()); }

 private:
  std::unique_ptr<fake::Session> session_;
};

}  // namespace
}  // namespace verge::engines::slow

extern "C" const verge_engine_api* verge_engine_entry(std::uint32_t host_abi_major) {
  using verge::engines::slow::Request;
  using verge::engines::slow::Session;
  static constexpr verge_engine_api kApi = verge::engines::Adapter<Session, Request>::api("slow", "2.0.0", "fake");
  return host_abi_major == VERGE_ENGINE_ABI_MAJOR ? &kApi : nullptr;
}
