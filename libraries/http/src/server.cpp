#include "verge/http/server.hpp"

#include <thread>

#include <fmt/format.h>
#include <boost/asio/post.hpp>

#include "connection.hpp"
#include "tls.hpp"

namespace verge::http {
namespace asio = boost::asio;
using asio::ip::tcp;

struct Server::State {
  Shared shared;
  tcp::acceptor acceptor;
  std::thread thread;
  std::uint16_t port = 0;

  State(const ServerOptions& options, Handler handler) : shared(options, std::move(handler)), acceptor(shared.io) {}

  void accept() {
    acceptor.async_accept(shared.io, [this](boost::system::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || !acceptor.is_open()) return;
      if (!error) {
        const auto connection = std::make_shared<Connection>(std::move(socket), shared);
        shared.connections.size() > shared.options.max_connections ? connection->refuse() : connection->begin();
      } else if (error == asio::error::no_descriptors) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));  // Others will close; never spin.
      }
      accept();
    });
  }
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, Handler handler) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error) {
    return Error(ErrorCode::invalid_argument, "VRG-HTT-001",
                 fmt::format("expected an IP address such as 127.0.0.1 or ::1, got '{}'", options.address));
  }
  auto state = std::make_unique<State>(options, std::move(handler));
  if (options.tls) {
    VERGE_ASSIGN(state->shared.tls, make_context(*options.tls));
  }
  const tcp::endpoint endpoint(address, options.port);
  state->acceptor.open(endpoint.protocol(), error);
  if (!error) state->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) state->acceptor.bind(endpoint, error);
  if (!error) state->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return Error(ErrorCode::unavailable, "VRG-HTT-002",
                 fmt::format("cannot listen on {} port {}: {}; stop what uses it, or choose another port (0: any)",
                             options.address, options.port, error.message()));
  }
  state->port = state->acceptor.local_endpoint().port();
  state->accept();
  state->thread = std::thread([io = &state->shared.io] { io->run(); });
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

std::uint16_t Server::port() const noexcept {
  return state_->port;
}

void Server::stop(std::chrono::milliseconds patience) {
  State& state = *state_;
  if (!state.thread.joinable()) return;
  state.shared.stopping = true;
  const auto close_connections = [&shared = state.shared](bool only_idle) {
    for (Connection* connection : std::vector<Connection*>(shared.connections.begin(), shared.connections.end())) {
      if (!only_idle || connection->idle()) connection->close();
    }
  };
  asio::post(state.shared.io, [&state, close_connections] {
    state.acceptor.close();
    close_connections(true);
  });
  const auto end = std::chrono::steady_clock::now() + patience;
  while (state.shared.in_flight > 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  state.shared.pool.join();
  {
    const std::lock_guard lock(state.shared.gate->mutex);
    state.shared.gate->shared = nullptr;  // Held answers that still come go nowhere.
  }
  asio::post(state.shared.io, [&shared = state.shared, close_connections] {
    close_connections(false);
    shared.held.clear();
  });
  state.shared.work.reset();
  state.thread.join();
}

Server::~Server() {
  stop(std::chrono::seconds(5));
}

bool decode_percent(std::string_view text, std::string& out) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  out.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0) return false;
    const int value = digit(text[i + 1]) * 16 + digit(text[i + 2]);
    if (value == 0) return false;
    out += static_cast<char>(value);
    i += 2;
  }
  return true;
}

}  // namespace verge::http
