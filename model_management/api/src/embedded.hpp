// Embedded: files that the build puts into the program.
#pragma once

#include <string_view>

namespace verge::hub {

std::string_view embedded_openapi() noexcept;
std::string_view embedded_page() noexcept;

}  // namespace verge::hub
