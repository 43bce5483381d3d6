// Tensors that stay where the client has them, and clients that take the memory away.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <numeric>
#include <thread>

#include <gmock/gmock.h>

#include "guarded_mapping.hpp"
#include "served.hpp"

namespace verge::inference_api {
namespace {

using test::json;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr std::size_t kPage_bytes = 4096;

/// An object of shared memory without a name.
class Object {
 public:
  explicit Object(std::size_t size_bytes) : file_(::memfd_create("verge-test", MFD_CLOEXEC)) { resize(size_bytes); }
  ~Object() { ::close(file_); }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  Object(Object&&) = delete;
  Object& operator=(Object&&) = delete;
  void resize(std::size_t size_bytes) const { EXPECT_EQ(::ftruncate(file_, static_cast<off_t>(size_bytes)), 0); }
  [[nodiscard]] int number() const noexcept { return file_; }

 private:
  int file_;
};

TEST(GuardedMapping, SharesWhatLiesThere) {
  const Object object(3 * kPage_bytes);
  const auto mapping = GuardedMapping::map(object.number(), 100, 2 * kPage_bytes);
  ASSERT_TRUE(mapping) << mapping.error().text();
  (*mapping)->bytes()[0] = std::byte{7};
  char read = 0;
  ASSERT_EQ(::pread(object.number(), &read, 1, 100), 1);
  EXPECT_EQ(read, 7);
  EXPECT_EQ((*mapping)->bytes().size(), 2 * kPage_bytes);
  EXPECT_FALSE((*mapping)->broken());
}

TEST(GuardedMapping, APageBehindTheEndCanBeRead) {
  const Object object(kPage_bytes);
  const auto mapping = GuardedMapping::map(object.number(), 0, kPage_bytes);
  ASSERT_TRUE(mapping);
  const auto* end = (*mapping)->bytes().data() + kPage_bytes;
  EXPECT_EQ(std::accumulate(end, end + kPage_bytes, 0,
                            [](int sum, std::byte one) { return sum + std::to_integer<int>(one); }),
            0);
  EXPECT_FALSE((*mapping)->broken());
}

TEST(GuardedMapping, WhatIsTakenAwayReadsAsZerosAndTheRestGoesOn) {
  const Object object(2 * kPage_bytes);
  const Object other(kPage_bytes);
  const auto gone = GuardedMapping::map(object.number(), 0, 2 * kPage_bytes);
  const auto whole = GuardedMapping::map(other.number(), 0, kPage_bytes);
  ASSERT_TRUE(gone && whole);
  (*gone)->bytes()[kPage_bytes] = std::byte{1};
  (*whole)->bytes()[0] = std::byte{2};
  object.resize(0);
  std::atomic<int> zeros = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { zeros += (*gone)->bytes()[kPage_bytes] == std::byte{0} ? 1 : 0; });
  }
  threads.clear();
  EXPECT_EQ(zeros, 4);
  (*gone)->bytes()[0] = std::byte{3};
  EXPECT_TRUE((*gone)->broken());
  EXPECT_FALSE((*whole)->broken());
  EXPECT_EQ((*whole)->bytes()[0], std::byte{2});
}

TEST(GuardedMappingDeathTest, OtherFaultsEndTheProcessAsEver) {
  const Object object(kPage_bytes);
  ASSERT_TRUE(GuardedMapping::map(object.number(), 0, kPage_bytes));
  const auto touch = [&] {
    auto* foreign =
        static_cast<char*>(::mmap(nullptr, kPage_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, object.number(), 0));
    object.resize(0);
    *const_cast<volatile char*>(foreign) = 1;
  };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  EXPECT_DEATH(touch(), "BUS");
#else
  EXPECT_EXIT(touch(), ::testing::KilledBySignal(SIGBUS), "");
#endif
}

/// A model with tensors that are worth leaving where they are.
class InPlace : public test::Served {
 protected:
  static constexpr std::size_t kValues = 8192;
  static constexpr std::size_t kSize_bytes = kValues * sizeof(float);
  void SetUp() override {
    key_ = "/verge-in-place-" + std::to_string(::getpid());
    ::shm_unlink(key_.c_str());
    file_ = ::shm_open(key_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_GE(file_, 0);
    resize(kWhole_bytes);
    auto model = processing::test::numbers();
    const auto grown = [](std::string text) {
      for (std::size_t at = 0; (at = text.find('4', at)) != std::string::npos; at += 4) text.replace(at, 1, "8192");
      return text;
    };
    model.inputs = R"([{"name": "x", "datatype": "FP32", "shape": [1, 8192]}])";
    model.outputs = R"([{"name": "y", "datatype": "FP32", "shape": [1, 8192]}])";
    model.model = grown(model.model);
    serve({model});
    const auto added =
        post("/v2/systemsharedmemory/region/r/register", json{{"key", key_}, {"byte_size", kWhole_bytes}}.dump());
    ASSERT_EQ(added.status, 200) << added.body;
  }
  void TearDown() override {
    ::close(file_);
    ::shm_unlink(key_.c_str());
  }
  void resize(std::size_t size_bytes) const { ASSERT_EQ(::ftruncate(file_, static_cast<off_t>(size_bytes)), 0); }
  void put(std::size_t at, float value) const {
    const std::vector<float> values(kValues, value);
    ASSERT_EQ(::pwrite(file_, values.data(), kSize_bytes, static_cast<off_t>(at)), static_cast<ssize_t>(kSize_bytes));
  }
  std::vector<float> look(std::size_t at) const {
    std::vector<float> values(kValues);
    EXPECT_EQ(::pread(file_, values.data(), kSize_bytes, static_cast<off_t>(at)), static_cast<ssize_t>(kSize_bytes));
    return values;
  }
  http::Response infer(std::size_t input_at, std::size_t output_at) const {
    const auto part = [](std::size_t at) {
      return json{
          {"shared_memory_region", "r"}, {"shared_memory_offset", at}, {"shared_memory_byte_size", kSize_bytes}};
    };
    return post("/v2/models/sample/infer",
                json{{"inputs",
                      {{{"name", "x"}, {"datatype", "FP32"}, {"shape", {1, kValues}}, {"parameters", part(input_at)}}}},
                     {"outputs", {{{"name", "y"}, {"parameters", part(output_at)}}}}}
                    .dump());
  }
  static constexpr std::size_t kWhole_bytes = 4 * kSize_bytes;
  std::string key_;
  int file_ = -1;
};

TEST_F(InPlace, EveryRequestUsesItsOwnPlaces) {
  for (int round = 0; round < 3; ++round) {
    put(0, 1);
    put(kSize_bytes, 2);
    ASSERT_EQ(infer(0, 2 * kSize_bytes).status, 200);
    ASSERT_EQ(infer(kSize_bytes, 3 * kSize_bytes).status, 200);
    EXPECT_THAT(look(2 * kSize_bytes), Each(1));
    EXPECT_THAT(look(3 * kSize_bytes), Each(2));
    // One without shared memory touches none.
    const auto plain = post("/v2/models/sample/infer", json{{"inputs",
                                                             {{{"name", "x"},
                                                               {"datatype", "FP32"},
                                                               {"shape", {1, kValues}},
                                                               {"data", std::vector<float>(kValues, 9)}}}}}
                                                           .dump());
    ASSERT_EQ(plain.status, 200) << plain.body;
    EXPECT_EQ(json::parse(plain.body)["outputs"][0]["data"][kValues - 1], 9);
    EXPECT_THAT(look(0), Each(1));
    EXPECT_THAT(look(2 * kSize_bytes), Each(1));
    EXPECT_THAT(look(3 * kSize_bytes), Each(2));
  }
}

TEST_F(InPlace, PlacesThatOverlapOrAreNotAlignedAreCopied) {
  put(0, 4);
  for (const std::size_t output_at : {std::size_t{0}, std::size_t{64}, kSize_bytes + 4}) {
    put(0, 4);
    ASSERT_EQ(infer(0, output_at).status, 200);
    EXPECT_THAT(look(output_at), Each(4)) << output_at;
  }
}

TEST_F(InPlace, MemoryThatIsTakenAwayDuringRequestsIsTheirErrorOnly) {
  put(0, 5);
  ASSERT_EQ(infer(0, 2 * kSize_bytes).status, 200);
  std::jthread taker([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      resize(0);
      resize(kWhole_bytes);
    }
  });
  int refused = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);  // Of a busy machine.
  for (int i = 0; i < 500 || (refused == 0 && std::chrono::steady_clock::now() < deadline); ++i) {
    const auto answer = infer(0, 2 * kSize_bytes);
    ASSERT_THAT(answer.status, AnyOf(200, 400, 413)) << answer.body;
    refused += answer.status == 200 ? 0 : 1;
  }
  taker = {};
  EXPECT_GT(refused, 0) << "nothing was taken away at the wrong moment";
  resize(kWhole_bytes);
  post("/v2/systemsharedmemory/unregister", "");
  ASSERT_EQ(
      post("/v2/systemsharedmemory/region/r/register", json{{"key", key_}, {"byte_size", kWhole_bytes}}.dump()).status,
      200);
  put(0, 6);
  ASSERT_EQ(infer(0, 2 * kSize_bytes).status, 200);
  EXPECT_THAT(look(2 * kSize_bytes), Each(6));
}

}  // namespace
}  // namespace verge::inference_api
