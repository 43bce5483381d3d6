// Session: requests to one registry about one repository, with what its answers lead to.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "access.hpp"
#include "clients.hpp"

namespace verge::registry_client {

/// Waits from one attempt to the next, ever longer.
class Patience {
 public:
  explicit Patience(const RegistryOptions& options) : options_(options) {}
  /// Whether what failed so is to be tried again; waits before it says so.
  bool again(const Error& error);
  /// Something has moved.
  void reset() { failures_ = 0; }

 private:
  const RegistryOptions& options_;
  int failures_ = 0;
};

class Session {
 public:
  /// `origin` as parse_url() gives it.
  Session(Reference reference, std::string origin, RegistryOptions options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  struct Order {
    http_client::Call call;  ///< Its path counts only without `url`.
    std::string url;         ///< Empty: the call's path at the registry.
    bool push = false;       ///< Whether the token must allow to push.
    std::string also_from;   ///< A repository that is to be read, too.
  };
  /// Any status but a redirect that could be followed (GET and HEAD) is a reply.
  Result<http_client::Reply> send(const Order& order);
  /// The same, again when the connection breaks or the registry is overloaded: of what may be done twice.
  Result<http_client::Reply> ask(const Order& order);
  /// GET, with the content of 200 and 206 to `sink` from `offset` on.
  Result<http_client::Reply> download(const Order& order, std::uint64_t offset,
                                      const std::function<Result<void>(std::span<const std::byte>)>& sink);

  /// What a reply of 400 and above means for `what` ("the blob sha256:…"), with what to do.
  [[nodiscard]] Error refusal(const http_client::Reply& reply, std::string_view what) const;
  /// "/v2/team/cat/blobs/…" for "blobs/…".
  [[nodiscard]] std::string path(std::string_view rest) const;
  [[nodiscard]] const Reference& reference() const noexcept { return reference_; }
  [[nodiscard]] const std::string& origin() const noexcept { return origin_; }
  [[nodiscard]] const RegistryOptions& options() const noexcept { return options_; }
  /// "ghcr.io/team/cat"
  [[nodiscard]] std::string name() const { return reference_.registry + "/" + reference_.repository; }

 private:
  using Work = std::function<Result<http_client::Reply>(http_client::Client&, const http_client::Call&)>;
  Result<http_client::Reply> exchange(const Order& order, const Work& work);

  Reference reference_;
  std::string origin_;
  RegistryOptions options_;
  Clients clients_{options_};
  Access access_{options_, clients_};
};

}  // namespace verge::registry_client
