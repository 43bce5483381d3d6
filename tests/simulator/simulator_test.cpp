// 10,000 device-updates with faults; VERGE_SIMULATOR_SEED replays a run, else the seed is new every time and printed.
#include "simulation.hpp"

#include <cstdlib>
#include <random>

#include <gtest/gtest.h>

namespace verge::simulator {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// In parts, so that they run side by side.
class Simulator : public ::testing::TestWithParam<int> {};
constexpr int kParts = 4;

TEST_P(Simulator, NoInvariantBreaks) {
  const auto seed = from_environment("VERGE_SIMULATOR_SEED", std::random_device()());
  const auto updates = from_environment("VERGE_SIMULATOR_UPDATES", 10'000) / kParts;
  const Tally tally = simulate(seed, updates);
  std::printf("seed %llu: %llu updates, %llu crashes\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(tally.updates), static_cast<unsigned long long>(tally.crashes));
  RecordProperty("seed", std::to_string(seed));
  EXPECT_EQ(tally.violation, "") << "seed " << seed;
  EXPECT_GE(tally.updates, updates);
  // Faults that never strike, or versions that all go the same way, would prove nothing.
  EXPECT_GT(tally.crashes, updates / 10);
  EXPECT_GT(tally.committed, updates / 10);
  EXPECT_GT(tally.refused, updates / 100);
  EXPECT_GT(tally.rolled_back, updates / 100);
}

INSTANTIATE_TEST_SUITE_P(Parts, Simulator, ::testing::Range(0, kParts));

TEST(SimulatorSeed, ASeedGivesTheSameRun) {
  const Tally first = simulate(42, 200);
  const Tally second = simulate(42, 200);
  EXPECT_EQ(first.crashes, second.crashes);
  EXPECT_EQ(first.disk_operations, second.disk_operations);
  EXPECT_EQ(first.committed, second.committed);
  EXPECT_NE(simulate(43, 200).disk_operations, first.disk_operations);
}

}  // namespace
}  // namespace verge::simulator
