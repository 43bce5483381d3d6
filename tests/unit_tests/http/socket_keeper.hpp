// Socket keeper: keeps listening sockets from one server to the next, as a service manager does between two programs.
#pragma once

#include <fcntl.h>

#include <utility>
#include <vector>

#include "verge/base/descriptor.hpp"

namespace verge::http::test {

class SocketKeeper {
 public:
  /// As ServerOptions::keep.
  bool keep(int socket) {
    coming_.emplace_back(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
    return true;
  }
  /// The program that has kept them ends, and the next one begins.
  void hand_over() { kept_ = std::exchange(coming_, {}); }
  /// As ServerOptions::kept.
  [[nodiscard]] std::vector<int> kept() const {
    std::vector<int> numbers;
    for (const auto& one : kept_) numbers.push_back(one.number());
    return numbers;
  }

 private:
  std::vector<Descriptor> kept_;
  std::vector<Descriptor> coming_;
};

}  // namespace verge::http::test
