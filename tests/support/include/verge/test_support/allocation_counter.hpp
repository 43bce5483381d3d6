// Allocation counter: every malloc of the program, for tests of what allocates nothing.
#pragma once

namespace verge::test {

/// Counts from construction to destruction, in all threads. Under a sanitizer, which has malloc to itself, it counts
/// operator new only. Link verge_allocation_counter.
class AllocationCounter {
 public:
  AllocationCounter();
  ~AllocationCounter();
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;

  [[nodiscard]] long count() const;
};

}  // namespace verge::test
