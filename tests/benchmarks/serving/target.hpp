// Target: one server and one way to ask it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace verge::bench {

struct TargetSpec {
  std::string name;
  /// http-echo, http-infer, http-json, http-shm, http-shm-model (not an identity), http-shm-echo, grpc-echo, grpc-infer
  std::string kind;
  std::string address;  ///< HOST:PORT, or a path
  std::string model;
  int server = 0;  ///< Process id, for its CPU time.
  std::size_t body_bytes = 0;
  std::string datatype = "UINT8";
  std::string input = "x";
  std::string output = "y";
  std::vector<std::int64_t> shape;
};

/// One connection. Used by one thread.
class Target {
 public:
  virtual ~Target() = default;
  /// Sends a request and reads the whole answer; ends the program, with the reason, when it is not right.
  virtual void ask() = 0;
};

std::unique_ptr<Target> make_http_target(const TargetSpec& spec);
std::unique_ptr<Target> make_grpc_target(const TargetSpec& spec);
[[noreturn]] void give_up(const std::string& why);
/// What is sent: not all zeros, so that a wrong answer shows.
std::vector<char> content(std::size_t size_bytes);

}  // namespace verge::bench
