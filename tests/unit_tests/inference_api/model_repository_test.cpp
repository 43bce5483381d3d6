// Models are replaced as a whole, while requests go on.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>

#include "served.hpp"

namespace verge::inference_api {
namespace {

class Repository : public test::Served {};

TEST_F(Repository, IsReadyOnceItWasFilled) {
  EXPECT_FALSE(repository_.ready());
  EXPECT_TRUE(repository_.models()->empty());
  serve({});
  EXPECT_TRUE(repository_.ready());
}

TEST_F(Repository, AReplacedModelLivesAsLongAsItsRequests) {
  serve({processing::test::numbers()});
  auto found = repository_.find("sample", "1.0.0");
  ASSERT_TRUE(found);
  const std::weak_ptr<ServedModel> watched = *found;
  serve({processing::test::classifier()});
  EXPECT_FALSE(repository_.find("sample", ""));
  EXPECT_EQ((*found)->version(), "1.0.0");
  EXPECT_FALSE(watched.expired());
  found->reset();
  EXPECT_TRUE(watched.expired());
}

TEST_F(Repository, RequestsGoOnWhileModelsAreReplaced) {
  serve({processing::test::numbers()}, 2, 16);
  std::atomic<int> right{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const auto answer = post("/v2/models/sample/infer",
                                 R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]})");
        if (answer.status == 200) ++right;
      }
    });
  }
  for (int i = 0; i < 10; ++i) serve({processing::test::numbers()}, 2, 16);
  threads.clear();
  EXPECT_EQ(right, 200);
}

}  // namespace
}  // namespace verge::inference_api
