// Error: what went wrong, in the canonical codes, with a chain of context.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace verge {

/// Canonical kinds of error. One function maps each to an exit status, an HTTP status and a gRPC code.
enum class ErrorCode : std::uint8_t {
  invalid_argument,     ///< The caller's input is wrong, whatever the state of the system.
  not_found,            ///< What was named does not exist.
  already_exists,       ///< What was to be made exists.
  permission_denied,    ///< The caller may not.
  unauthenticated,      ///< Who the caller is, is not known.
  failed_precondition,  ///< The system is not in the state that this needs.
  out_of_range,         ///< A position or index past the end.
  resource_exhausted,   ///< A limit, a quota, memory or a disk is full.
  data_loss,            ///< Content is corrupt: truncated, wrong digest, wrong signature.
  unimplemented,        ///< Not supported here.
  unavailable,          ///< Cannot be had now; try again.
  deadline_exceeded,    ///< Took too long.
  cancelled,            ///< Stopped on request.
  aborted,              ///< Lost against a concurrent change.
  internal,             ///< A defect of ours, or of a library.
};

/// Name of a code as written in logs and JSON, for example "invalid_argument".
[[nodiscard]] std::string_view name(ErrorCode code) noexcept;
/// Process exit status of a code: 2 for wrong input, 3 not found, … (documentation/reference/errors.md).
[[nodiscard]] int exit_status(ErrorCode code) noexcept;
/// HTTP status of a code.
[[nodiscard]] int http_status(ErrorCode code) noexcept;

/// An error with a stable identifier and a message that says what was expected, what came, and what to do.
///
/// Context is added on the way up, the outermost first: "loading model 'cat': preprocessing.yaml line 4: …".
class [[nodiscard]] Error {
 public:
  /// `id` is a stable identifier such as "VRG-PKG-003", with an entry in documentation/reference/errors.md.
  Error(ErrorCode code, std::string_view id, std::string message)
      : code_(code), id_(id), message_(std::move(message)) {}

  [[nodiscard]] ErrorCode code() const noexcept { return code_; }
  [[nodiscard]] const std::string& id() const noexcept { return id_; }
  /// Context chain and message, without the identifier.
  [[nodiscard]] const std::string& message() const noexcept { return message_; }
  /// "message [id]", as shown to people.
  [[nodiscard]] std::string text() const { return message_ + " [" + id_ + "]"; }

  /// Puts "context: " in front.
  Error&& with_context(std::string_view context) && {
    message_.insert(0, std::string(context) + ": ");
    return std::move(*this);
  }

 private:
  ErrorCode code_;
  std::string id_;
  std::string message_;
};

/// What an operation gives that can go wrong. Bugs are asserted, not returned.
template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  Result(tl::unexpected<Error> error) : tl::expected<T, Error>(std::move(error)) {}
  Result(Error error) : tl::expected<T, Error>(tl::unexpected<Error>(std::move(error))) {}
};

/// An Error with context in front, ready to return: `return in("loading", result)`.
template <typename T>
[[nodiscard]] Error in(std::string_view context, Result<T>&& result) {
  return std::move(result.error()).with_context(context);
}

}  // namespace verge

// Returns the error of `expression` from the calling function, or goes on.
#define VERGE_TRY(expression)                                      \
  do {                                                             \
    if (auto verge_try_result = (expression); !verge_try_result) { \
      return ::verge::Error(std::move(verge_try_result).error());  \
    }                                                              \
  } while (false)

#define VERGE_CONCAT_INNER(a, b) a##b
#define VERGE_CONCAT(a, b) VERGE_CONCAT_INNER(a, b)
// Declares `declaration` with the value of `expression`, or returns its error.
#define VERGE_ASSIGN(declaration, expression) \
  VERGE_ASSIGN_INNER(VERGE_CONCAT(verge_result_, __LINE__), declaration, expression)
#define VERGE_ASSIGN_INNER(temporary, declaration, expression)         \
  auto temporary = (expression);                                       \
  if (!temporary) return ::verge::Error(std::move(temporary).error()); \
  declaration = std::move(*temporary)
