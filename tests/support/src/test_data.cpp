#include "verge/test_support/test_data.hpp"

#include <cstdlib>

namespace verge::test {

std::optional<std::filesystem::path> test_data_folder() {
  const char* set = std::getenv("VERGE_TEST_DATA");
  std::filesystem::path folder = set != nullptr ? set : VERGE_DEFAULT_TEST_DATA;
  if (!std::filesystem::exists(folder / "expected.json")) return std::nullopt;
  return folder;
}

}  // namespace verge::test
