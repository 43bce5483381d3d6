// HTTP by Beast's synchronous client, on TCP and Unix sockets, with tensors in the body or in shared memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "target.hpp"

namespace verge::bench {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

std::string shape_text(const TargetSpec& spec) {
  std::string text = "[";
  for (const auto dimension : spec.shape) text += (text.size() > 1 ? "," : "") + std::to_string(dimension);
  return text + "]";
}

/// Input and output in one object of shared memory, as a client would make it.
class SharedTensors {
 public:
  /// `filled`: the input is not all zeros.
  SharedTensors(const std::string& name, std::size_t size_bytes, bool filled)
      : name_("/" + name), size_bytes_(size_bytes) {
    ::shm_unlink(name_.c_str());
    const int file = ::shm_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0 || ::ftruncate(file, static_cast<off_t>(2 * size_bytes)) != 0) give_up("no shared memory");
    memory_ = static_cast<char*>(::mmap(nullptr, 2 * size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    ::close(file);
    if (!filled) return;
    const auto bytes = content(size_bytes);
    std::memcpy(memory_, bytes.data(), size_bytes);
  }
  ~SharedTensors() {
    ::munmap(memory_, 2 * size_bytes_);
    ::shm_unlink(name_.c_str());
  }
  SharedTensors(const SharedTensors&) = delete;
  SharedTensors& operator=(const SharedTensors&) = delete;
  [[nodiscard]] const std::string& key() const { return name_; }
  void clear_output() { std::memset(memory_ + size_bytes_, 0, size_bytes_); }
  [[nodiscard]] bool same() const { return std::memcmp(memory_, memory_ + size_bytes_, size_bytes_) == 0; }
  /// Whether anything was written.
  [[nodiscard]] bool answered() const {
    return std::any_of(memory_ + size_bytes_, memory_ + 2 * size_bytes_, [](char byte) { return byte != 0; });
  }

 private:
  std::string name_;
  std::size_t size_bytes_;
  char* memory_ = nullptr;
};

template <typename Socket>
class HttpTarget final : public Target {
 public:
  HttpTarget(const TargetSpec& spec, const typename Socket::protocol_type::endpoint& endpoint)
      : spec_(spec), socket_(io_) {
    socket_.connect(endpoint);
    if constexpr (std::is_same_v<Socket, asio::ip::tcp::socket>) socket_.set_option(asio::ip::tcp::no_delay(true));
    request_.version(11);
    request_.set(http::field::host, "localhost");
    if (spec.kind == "http-echo") {
      prepare("/echo", "", content(spec.body_bytes));
    } else if (spec.kind == "http-infer") {
      prepare("/v2/models/" + spec.model + "/infer", binary_head(), content(spec.body_bytes));
    } else if (spec.kind == "http-json") {
      prepare("/v2/models/" + spec.model + "/infer", "", json_request());
      request_.set(http::field::content_type, "application/json");
    } else {
      prepare_shared();
    }
    ask();
    check();
  }
  ~HttpTarget() override {
    if (!region_.empty()) post("/v2/systemsharedmemory/region/" + region_ + "/unregister", "{}");
  }

  void ask() override {
    http::write(socket_, request_);
    response_ = {};
    http::read(socket_, buffer_, response_);
    if (response_.result() != http::status::ok) give_up(spec_.name + ": " + response_.body());
  }

 private:
  std::string binary_head() const {
    return R"({"inputs":[{"name":")" + spec_.input + R"(","datatype":")" + spec_.datatype + R"(","shape":)" +
           shape_text(spec_) + R"(,"parameters":{"binary_data_size":)" + std::to_string(spec_.body_bytes) +
           R"(}}],"outputs":[{"name":")" + spec_.output + R"(","parameters":{"binary_data":true}}]})";
  }
  /// The values as text: what a server without the binary extension takes.
  std::string values() const {
    std::string text;
    for (const char byte : content(spec_.body_bytes)) {
      text += (text.empty() ? "" : ",") + std::to_string(static_cast<unsigned char>(byte));
    }
    return text;
  }
  std::vector<char> json_request() const {
    const std::string body = R"({"inputs":[{"name":")" + spec_.input + R"(","datatype":")" + spec_.datatype +
                             R"(","shape":)" + shape_text(spec_) + R"(,"data":[)" + values() + "]}]}";
    return {body.begin(), body.end()};
  }
  void prepare(const std::string& target, const std::string& head, const std::vector<char>& body) {
    request_.method(http::verb::post);
    request_.target(target);
    request_.set(http::field::content_type, "application/octet-stream");
    if (!head.empty()) request_.set("Inference-Header-Content-Length", std::to_string(head.size()));
    request_.body() = head;
    request_.body().append(body.data(), body.size());
    request_.prepare_payload();
  }
  void prepare_shared() {
    const auto name = "verge-bench-" + std::to_string(::getpid()) + "-" + std::to_string(count_++);
    const auto part = [&](const char* key, std::size_t offset) {
      return std::string(R"("parameters":{"shared_memory_region":")") + key + R"(","shared_memory_byte_size":)" +
             std::to_string(spec_.body_bytes) + R"(,"shared_memory_offset":)" + std::to_string(offset) + "}";
    };
    const std::string body = R"({"inputs":[{"name":")" + spec_.input + R"(","datatype":")" + spec_.datatype +
                             R"(","shape":)" + shape_text(spec_) + "," + part(name.c_str(), 0) +
                             R"(}],"outputs":[{"name":")" + spec_.output + R"(",)" +
                             part(name.c_str(), spec_.body_bytes) + "}]}";
    const bool echo = spec_.kind == "http-shm-echo";
    if (!echo) {
      region_ = name;
      memory_.emplace(name, spec_.body_bytes, spec_.kind == "http-shm");
      post(
          "/v2/systemsharedmemory/region/" + region_ + "/register",
          R"({"key":")" + memory_->key() + R"(","offset":0,"byte_size":)" + std::to_string(2 * spec_.body_bytes) + "}");
      memory_->clear_output();
    }
    prepare(echo ? "/echo" : "/v2/models/" + spec_.model + "/infer", "", std::vector<char>(body.begin(), body.end()));
  }
  void post(const std::string& target, const std::string& body) {
    http::request<http::string_body> request{http::verb::post, target, 11, body};
    request.set(http::field::host, "localhost");
    request.prepare_payload();
    http::write(socket_, request);
    http::response<http::string_body> response;
    http::read(socket_, buffer_, response);
    if (response.result() != http::status::ok) give_up(target + ": " + response.body());
  }
  /// The first answer is looked at: what came back must be what was sent.
  void check() const {
    if (spec_.kind == "http-json") {
      if (response_.body().find("[" + values() + "]") == std::string::npos) {
        give_up(spec_.name + ": the answer is another than was sent");
      }
      return;
    }
    const auto sent = content(spec_.body_bytes);
    const bool right = spec_.kind == "http-shm-model" ? memory_->answered()
                       : memory_                      ? memory_->same()
                                                      : spec_.kind == "http-shm-echo" ||
                                       (response_.body().size() >= sent.size() &&
                                        std::memcmp(response_.body().data() + response_.body().size() - sent.size(),
                                                    sent.data(), sent.size()) == 0);
    if (!right) give_up(spec_.name + ": the answer is another than was sent");
  }

  static inline int count_ = 0;
  TargetSpec spec_;
  asio::io_context io_;
  Socket socket_;
  boost::beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response<http::string_body> response_;
  std::string region_;
  std::optional<SharedTensors> memory_;
};

}  // namespace

std::unique_ptr<Target> make_http_target(const TargetSpec& spec) {
  if (spec.address.starts_with('/')) {
    return std::make_unique<HttpTarget<asio::local::stream_protocol::socket>>(
        spec, asio::local::stream_protocol::endpoint(spec.address));
  }
  const auto colon = spec.address.rfind(':');
  return std::make_unique<HttpTarget<asio::ip::tcp::socket>>(
      spec, asio::ip::tcp::endpoint(asio::ip::make_address(spec.address.substr(0, colon)),
                                    static_cast<std::uint16_t>(std::stoi(spec.address.substr(colon + 1)))));
}

}  // namespace verge::bench
