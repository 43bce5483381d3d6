#include "verge/base/error.hpp"

#include <array>

namespace verge {
namespace {

struct Mapping {
  std::string_view name;
  int exit_status;
  int http_status;
};

// In the order of ErrorCode.
constexpr std::array<Mapping, 15> kMappings{{
    {"invalid_argument", 2, 400},
    {"not_found", 3, 404},
    {"already_exists", 4, 409},
    {"permission_denied", 5, 403},
    {"unauthenticated", 6, 401},
    {"failed_precondition", 7, 409},
    {"out_of_range", 8, 400},
    {"resource_exhausted", 9, 413},
    {"data_loss", 10, 422},
    {"unimplemented", 11, 501},
    {"unavailable", 12, 503},
    {"deadline_exceeded", 13, 504},
    {"cancelled", 130, 499},
    {"aborted", 14, 409},
    {"internal", 70, 500},
}};

const Mapping& mapping(ErrorCode code) noexcept {
  return kMappings.at(static_cast<std::size_t>(code));
}

}  // namespace

std::string_view name(ErrorCode code) noexcept {
  return mapping(code).name;
}
int exit_status(ErrorCode code) noexcept {
  return mapping(code).exit_status;
}
int http_status(ErrorCode code) noexcept {
  return mapping(code).http_status;
}

}  // namespace verge
