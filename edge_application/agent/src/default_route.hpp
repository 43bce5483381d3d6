// Default route: through which of its network interfaces this machine reaches the world.
#pragma once

#include <filesystem>
#include <string>

namespace verge::agent {

/// The interface of the default route with the lowest metric, of IPv4, else of IPv6; empty when there is none.
/// `folder`: where the kernel's tables 'route' and 'ipv6_route' lie.
[[nodiscard]] std::string default_route_interface(const std::filesystem::path& folder = "/proc/net");

}  // namespace verge::agent
