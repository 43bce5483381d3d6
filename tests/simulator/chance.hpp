// Chance: every random decision of a simulation, from one seed.
#pragma once

#include <cstdint>

#include "verge/update/ports.hpp"

namespace verge::simulator {

/// SplitMix64: the same numbers on every machine.
class Chance final : public update::Random {
 public:
  explicit Chance(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
  /// True once in `n` times, on average.
  bool one_in(std::uint64_t n) { return n > 0 && below(n) == 0; }

 private:
  std::uint64_t state_;
};

/// What ends the agent at once, as a loss of power or SIGKILL would.
struct Crash {};

/// A simulated clock; the wall may jump.
class SimulatedClock final : public update::Clock {
 public:
  explicit SimulatedClock(std::int64_t now_ms) : wall_ms_(now_ms) {}
  std::int64_t now_ms() override { return wall_ms_; }
  std::int64_t steady_ms() override { return steady_ms_; }
  void pass(std::int64_t ms) {
    wall_ms_ += ms;
    steady_ms_ += ms;
  }
  void jump(std::int64_t ms) { wall_ms_ += ms; }

 private:
  std::int64_t wall_ms_;
  std::int64_t steady_ms_ = 1;
};

}  // namespace verge::simulator
