// Request::run() allocates nothing on our side: measured with the engine that has no library of its own.
#include <fstream>

#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/processing/engine.hpp"
#include "verge/test_support/allocation_counter.hpp"

namespace verge::processing {
namespace {

TEST(Allocations, NoneInARun) {
  auto folder = TemporaryFolder::create("verge_allocation");
  ASSERT_TRUE(folder);
  const auto path = folder->path() / "model.fake";
  std::ofstream(path) << "verge-fake 1\ninput x FP32 [1,64]\noutput y FP32 [1,64]\noutput z FP32 [1]\nfunction sum\n";
  EngineCatalogue catalogue(default_engine_folder());
  SessionOptions options;
  options.format = "fake";
  auto session = catalogue.load("fake", path, options);
  ASSERT_TRUE(session) << session.error().text();
  auto request = (*session)->create_request();
  ASSERT_TRUE(request);
  ASSERT_TRUE(request->run());
  const test::AllocationCounter counter;
  bool ok = true;
  for (int i = 0; i < 100; ++i) {
    request->input(0).as<float>()[0] = static_cast<float>(i);
    ok = ok && request->run().has_value();
    ok = ok && request->output(1).as<float>()[0] == static_cast<float>(i);
  }
  const long allocations = counter.count();
  EXPECT_TRUE(ok);
  EXPECT_EQ(allocations, 0);
}

}  // namespace
}  // namespace verge::processing
