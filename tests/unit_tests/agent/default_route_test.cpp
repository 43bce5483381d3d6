// The interface of the default route, from tables as Linux writes them.
#include "default_route.hpp"

#include <gtest/gtest.h>

#include "verge/base/file.hpp"

namespace verge::agent {
namespace {

constexpr const char* kHead = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
constexpr const char* kWwan = "wwan0\t00000000\t0102000A\t0003\t0\t0\t700\t00000000\t0\t0\t0\n";
constexpr const char* kEth = "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
constexpr const char* kLan = "lan0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
constexpr const char* kHalf = "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n";
constexpr const char* kDown = "down0\t00000000\t00000000\t0002\t0\t0\t0\t00000000\t0\t0\t0\n";

std::string zeros(char last) {
  return std::string(31, '0') + last;
}

std::string ipv6(const char* flags, const char* metric, const char* interface) {
  return zeros('0') + " 00 " + zeros('0') + " 00 fe80000000000000000000000000000" + "1 " + metric +
         " 00000001 00000000 " + flags + " " + interface + "\n";
}

std::string found(const std::string& ipv4, const std::string& ipv6) {
  const auto folder = std::move(*TemporaryFolder::create("verge-route-"));
  EXPECT_TRUE(write_file(folder.path() / "route", std::string_view(ipv4)));
  EXPECT_TRUE(write_file(folder.path() / "ipv6_route", std::string_view(ipv6)));
  return default_route_interface(folder.path());
}

TEST(DefaultRoute, IsTheOneWithTheLowestMetric) {
  EXPECT_EQ(found(std::string(kHead) + kWwan + kLan, ""), "wwan0");
  EXPECT_EQ(found(std::string(kHead) + kWwan + kEth, ""), "eth0");
  EXPECT_EQ(found(std::string(kHead) + kEth + kWwan, ""), "eth0");
}

TEST(DefaultRoute, IsNoRouteToAPartOfTheWorldNorOneThatIsDown) {
  EXPECT_EQ(found(std::string(kHead) + kLan + kHalf + kDown, ""), "");
  EXPECT_EQ(found(std::string(kHead) + kDown + kWwan, ""), "wwan0");
}

TEST(DefaultRoute, IsThatOfIpv6WhereThereIsNoOther) {
  const auto reject = ipv6("00200200", "ffffffff", "lo");
  EXPECT_EQ(found(kHead, reject), "");
  EXPECT_EQ(found(kHead, reject + ipv6("00000003", "00000400", "wwan0") + ipv6("00000003", "00000064", "eth0")),
            "eth0");
  EXPECT_EQ(found(std::string(kHead) + kWwan, ipv6("00000003", "00000064", "eth0")), "wwan0");
}

TEST(DefaultRoute, IsNoneInWhatIsNoTable) {
  for (const char* text :
       {"", "\n\n", "eth0", "eth0 00000000 x 0003 0 0 x 00000000 0 0 0\n", "\xff\xfe 0 0 0 0 0 0 0 0 0 0"}) {
    EXPECT_EQ(found(text, text), "") << text;
  }
  EXPECT_EQ(default_route_interface("/nowhere"), "");
}

}  // namespace
}  // namespace verge::agent
