// Test data: real models and pictures outside the project.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include <gtest/gtest.h>

namespace verge::test {

/// $VERGE_TEST_DATA, by default ../shared/data beside the checkout; nothing when it is not there.
std::optional<std::filesystem::path> test_data_folder();

}  // namespace verge::test

// Declares `folder`, or skips the test loudly, by name, when the real data are absent.
#define VERGE_TEST_DATA_OR_SKIP(folder)                                                             \
  const auto verge_test_data = ::verge::test::test_data_folder();                                   \
  if (!verge_test_data) GTEST_SKIP() << "real test data are absent: set VERGE_TEST_DATA to run it"; \
  const std::filesystem::path& folder = *verge_test_data
