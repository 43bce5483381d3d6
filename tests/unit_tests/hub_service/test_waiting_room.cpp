#include "waiting_room.hpp"

#include <gmock/gmock.h>

namespace verge::hub {
namespace {

using Reason = WaitingRoom::Reason;
using testing::ElementsAre;

TEST(HubWaitingRoom, CallsEachWaiterOnce) {
  WaitingRoom room;
  std::vector<std::pair<std::string, Reason>> called;
  const auto wait = [&](const char* device, std::int64_t until_ms) {
    return room.wait(device, until_ms, [&called, device](Reason reason) { called.emplace_back(device, reason); });
  };
  wait("a", 10);
  wait("b", 20);
  const auto taken = wait("a", 10);
  EXPECT_TRUE(room.take_back("a", taken));
  EXPECT_FALSE(room.take_back("a", taken));
  room.wake("nobody");
  room.wake("a");
  room.wake("a");
  room.expire(19);
  EXPECT_THAT(called, ElementsAre(std::pair("a", Reason::changed)));
  room.expire(20);
  room.expire(20);
  wait("c", 30);
  room.close();
  EXPECT_EQ(wait("d", 30), 0U) << "after the end nobody waits";
  EXPECT_THAT(called, ElementsAre(std::pair("a", Reason::changed), std::pair("b", Reason::expired),
                                  std::pair("c", Reason::closed), std::pair("d", Reason::closed)));
}

}  // namespace
}  // namespace verge::hub
