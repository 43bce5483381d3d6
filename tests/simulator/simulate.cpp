// simulate: device-updates with faults, as many as wanted; the same seed gives the same run.
//   simulate --seed 7 --updates 100000        many devices
//   simulate --seed 7 --device 123            one of them again, told step by step
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "simulation.hpp"

namespace {

std::uint64_t number_behind(int argc, char** argv, std::string_view option, std::uint64_t otherwise) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (argv[i] == option) return std::strtoull(argv[i + 1], nullptr, 10);
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  const auto seed = number_behind(argc, argv, "--seed", 1);
  const auto device = number_behind(argc, argv, "--device", 0);
  const auto tally = device != 0 ? verge::simulator::replay(seed, device, true)
                                 : verge::simulator::simulate(seed, number_behind(argc, argv, "--updates", 10'000));
  std::printf(
      "seed %llu: %llu device-updates, %llu crashes, %llu disk operations: %llu committed, %llu refused, %llu "
      "rolled back, %llu failed\n",
      static_cast<unsigned long long>(seed), static_cast<unsigned long long>(tally.updates),
      static_cast<unsigned long long>(tally.crashes), static_cast<unsigned long long>(tally.disk_operations),
      static_cast<unsigned long long>(tally.committed), static_cast<unsigned long long>(tally.refused),
      static_cast<unsigned long long>(tally.rolled_back), static_cast<unsigned long long>(tally.failed));
  if (tally.violation.empty()) return 0;
  std::printf("BROKEN: %s\n", tally.violation.c_str());
  return 1;
}
