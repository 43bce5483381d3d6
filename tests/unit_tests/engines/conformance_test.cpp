// One suite for every engine: what the ABI promises, whatever runs behind it.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugin_under_test.hpp"
#include "verge/base/file.hpp"
#include "verge/test_support/test_data.hpp"

namespace verge::test {
namespace {

using ::testing::HasSubstr;

class Conformance : public ::testing::TestWithParam<EngineCase> {
 protected:
  void SetUp() override {
    api_ = load_plugin(GetParam().name);
    if (api_ == nullptr) GTEST_SKIP() << "this build has no engine '" << GetParam().name << "'";
    auto folder = TemporaryFolder::create("verge_conformance");
    ASSERT_TRUE(folder);
    folder_.emplace(std::move(*folder));
    if (!GetParam().needs_data) {
      model_ = write("model.fake", GetParam().model);
      variable_ = write("variable.fake", GetParam().variable_model);
      return;
    }
    VERGE_TEST_DATA_OR_SKIP(data);
    model_ = data / GetParam().model;
    variable_ = data / GetParam().variable_model;
  }

  std::string write(const std::string& name, const std::string& content) const {
    const std::string path = folder_->path() / name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  verge_engine_load load() { return load(model_, GetParam().inputs); }
  verge_engine_load load(const std::string& path, const std::string& inputs) {
    verge_engine_load load = load_of(path, GetParam().format);
    inputs_ = {"inputs", inputs.c_str()};
    load.options = &inputs_;
    load.option_count = inputs.empty() ? 0 : 1;
    return load;
  }

  const verge_engine_api* api_ = nullptr;
  std::optional<TemporaryFolder> folder_;
  std::string model_;
  std::string variable_;
  verge_engine_option inputs_{};
};

TEST_P(Conformance, TableSaysWhatItIs) {
  EXPECT_EQ(api_->abi_major, VERGE_ENGINE_ABI_MAJOR);
  EXPECT_EQ(api_->name, GetParam().name);
  EXPECT_THAT(api_->formats, HasSubstr(GetParam().format));
  EXPECT_THAT(api_->version, HasSubstr("."));
}

TEST_P(Conformance, RefusesAnotherAbi) {
  EXPECT_EQ(plugin_entry(GetParam().name)(VERGE_ENGINE_ABI_MAJOR + 1), nullptr);
  EXPECT_EQ(plugin_entry(GetParam().name)(0), nullptr);
}

TEST_P(Conformance, DescribesTheModel) {
  SessionHolder session(api_, load());
  ASSERT_EQ(session.status, VERGE_ENGINE_OK) << session.error.message;
  ASSERT_EQ(api_->input_count(session.session), 1U);
  ASSERT_EQ(api_->output_count(session.session), 1U);
  verge_engine_tensor_info info{};
  info.struct_size = sizeof(info);
  ASSERT_EQ(api_->input_info(session.session, 0, &info, &session.error), VERGE_ENGINE_OK);
  EXPECT_STRNE(info.name, "");
  EXPECT_GE(info.rank, 2U);
  EXPECT_EQ(info.shape[0], 1);
}

TEST_P(Conformance, WrongIndexIsRefused) {
  SessionHolder session(api_, load());
  RequestHolder request(session);
  verge_engine_tensor_info info{};
  info.struct_size = sizeof(info);
  verge_engine_tensor tensor{};
  tensor.struct_size = sizeof(tensor);
  EXPECT_EQ(api_->input_info(session.session, 9, &info, &session.error), VERGE_ENGINE_INVALID_ARGUMENT);
  EXPECT_THAT(session.error.message, HasSubstr("no number 9"));
  EXPECT_EQ(api_->output_info(session.session, 9, &info, &session.error), VERGE_ENGINE_INVALID_ARGUMENT);
  EXPECT_EQ(api_->request_input(request.request, 9, &tensor, &request.error), VERGE_ENGINE_INVALID_ARGUMENT);
  EXPECT_EQ(api_->request_output(request.request, 9, &tensor, &request.error), VERGE_ENGINE_INVALID_ARGUMENT);
  const std::int64_t one = 1;
  EXPECT_EQ(api_->request_set_input_shape(request.request, 9, &one, 1, &request.error), VERGE_ENGINE_INVALID_ARGUMENT);
}

TEST_P(Conformance, MemoryIsAligned) {
  SessionHolder session(api_, load());
  RequestHolder request(session);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(request.input(0).data) % 64, 0U);
  ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK) << request.error.message;
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(request.output(0).data) % 64, 0U);
}

TEST_P(Conformance, WrongShapesAreRefused) {
  SessionHolder session(api_, load());
  RequestHolder request(session);
  const verge_engine_tensor input = request.input(0);
  std::int64_t shape[VERGE_ENGINE_MAX_RANK];
  std::memcpy(shape, input.shape, sizeof(shape));
  shape[1] += 1;
  EXPECT_EQ(api_->request_set_input_shape(request.request, 0, shape, input.rank, &request.error),
            VERGE_ENGINE_INVALID_ARGUMENT);
  EXPECT_THAT(request.error.message, HasSubstr("got ["));
  EXPECT_EQ(api_->request_set_input_shape(request.request, 0, shape, 1, &request.error), VERGE_ENGINE_INVALID_ARGUMENT);
  EXPECT_EQ(api_->request_set_input_shape(request.request, 0, input.shape, input.rank, &request.error), VERGE_ENGINE_OK)
      << request.error.message;
}

TEST_P(Conformance, RunsAndRepeats) {
  SessionHolder session(api_, load());
  RequestHolder request(session);
  fill(request.input(0), 1);
  ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK) << request.error.message;
  const auto first = bytes_of(request.output(0));
  ASSERT_FALSE(first.empty());
  for (int i = 0; i < 5; ++i) {
    fill(request.input(0), 2);
    ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK);
    fill(request.input(0), 1);
    ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK);
    EXPECT_EQ(bytes_of(request.output(0)), first);
  }
}

TEST_P(Conformance, SecondSessionGivesTheSame) {
  std::vector<unsigned char> results[2];
  for (auto& result : results) {
    SessionHolder session(api_, load());
    RequestHolder request(session);
    fill(request.input(0), 3);
    ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK) << request.error.message;
    result = bytes_of(request.output(0));
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST_P(Conformance, TwoRequestsRunInTwoThreads) {
  SessionHolder session(api_, load());
  std::vector<unsigned char> expected[2];
  {
    RequestHolder request(session);
    for (unsigned i = 0; i < 2; ++i) {
      fill(request.input(0), i + 10);
      ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK);
      expected[i] = bytes_of(request.output(0));
    }
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      RequestHolder request(session);
      for (int run = 0; run < 20; ++run) {
        fill(request.input(0), i + 10);
        const auto status = api_->request_run(request.request, &request.error);
        if (status != VERGE_ENGINE_OK || bytes_of(request.output(0)) != expected[i]) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

struct DoneCalls {
  std::atomic<int> count{0};
  std::atomic<int> status{-1};
  static void done(void* self, verge_engine_status status, const char* /*message*/) {
    static_cast<DoneCalls*>(self)->status = status;
    ++static_cast<DoneCalls*>(self)->count;
  }
};

TEST_P(Conformance, StartsWaitsAndCallsBack) {
  SessionHolder session(api_, load());
  RequestHolder request(session);
  EXPECT_EQ(api_->request_wait(request.request, &request.error), VERGE_ENGINE_INVALID_ARGUMENT);
  fill(request.input(0), 1);
  ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK);
  const auto expected = bytes_of(request.output(0));
  for (int i = 1; i <= 3; ++i) {
    DoneCalls calls;
    ASSERT_EQ(api_->request_start(request.request, DoneCalls::done, &calls, &request.error), VERGE_ENGINE_OK);
    EXPECT_EQ(api_->request_wait(request.request, &request.error), VERGE_ENGINE_OK) << request.error.message;
    EXPECT_EQ(calls.count, 1);
    EXPECT_EQ(calls.status, VERGE_ENGINE_OK);
    EXPECT_EQ(bytes_of(request.output(0)), expected);
  }
  ASSERT_EQ(api_->request_start(request.request, nullptr, nullptr, &request.error), VERGE_ENGINE_OK);
  EXPECT_EQ(api_->request_wait(request.request, &request.error), VERGE_ENGINE_OK);
}

TEST_P(Conformance, CancelEndsOrLetsEnd) {
  SessionHolder session(api_, load());
  RequestHolder request(session);
  EXPECT_EQ(api_->request_cancel(request.request, &request.error), VERGE_ENGINE_OK) << "idle: nothing to cancel";
  fill(request.input(0), 1);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(api_->request_start(request.request, nullptr, nullptr, &request.error), VERGE_ENGINE_OK);
    api_->request_cancel(request.request, &request.error);
    const auto status = api_->request_wait(request.request, &request.error);
    EXPECT_TRUE(status == VERGE_ENGINE_OK || status == VERGE_ENGINE_CANCELLED) << request.error.message;
  }
  EXPECT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK) << "a cancelled run leaves no trace";
}

TEST_P(Conformance, DestroyingARunningRequestWaits) {
  SessionHolder session(api_, load());
  for (int i = 0; i < 3; ++i) {
    DoneCalls calls;
    {
      RequestHolder request(session);
      fill(request.input(0), 1);
      ASSERT_EQ(api_->request_start(request.request, DoneCalls::done, &calls, &request.error), VERGE_ENGINE_OK);
    }
    EXPECT_EQ(calls.count, 1);
  }
}

TEST_P(Conformance, VariableBatchBeginsAsOneAndChanges) {
  if (GetParam().variable_model.empty()) GTEST_SKIP() << "shapes of engine '" << GetParam().name << "' are fixed";
  SessionHolder session(api_, load(variable_, GetParam().variable_inputs));
  ASSERT_EQ(session.status, VERGE_ENGINE_OK) << session.error.message;
  verge_engine_tensor_info info{};
  info.struct_size = sizeof(info);
  ASSERT_EQ(api_->input_info(session.session, 0, &info, &session.error), VERGE_ENGINE_OK);
  EXPECT_EQ(info.shape[0], -1);
  RequestHolder request(session);
  const verge_engine_tensor one = request.input(0);
  EXPECT_EQ(one.shape[0], 1);
  fill(one, 5);
  ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK) << request.error.message;
  const auto single = bytes_of(request.output(0));

  std::int64_t shape[VERGE_ENGINE_MAX_RANK];
  std::memcpy(shape, one.shape, sizeof(shape));
  shape[0] = 2;
  ASSERT_EQ(api_->request_set_input_shape(request.request, 0, shape, one.rank, &request.error), VERGE_ENGINE_OK)
      << request.error.message;
  const verge_engine_tensor two = request.input(0);
  ASSERT_EQ(two.size_bytes, one.size_bytes * 2);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(two.data) % 64, 0U);
  verge_engine_tensor half = two;
  half.size_bytes /= 2;
  fill(half, 5);
  half.data = static_cast<char*>(half.data) + half.size_bytes;
  fill(half, 5);
  ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK) << request.error.message;
  const verge_engine_tensor both = request.output(0);
  EXPECT_EQ(both.shape[0], 2);
  ASSERT_EQ(both.size_bytes, single.size() * 2);
  const auto* values = static_cast<const float*>(both.data);
  for (std::size_t i = 0; i < single.size() / sizeof(float); ++i) {
    float expected = 0;
    std::memcpy(&expected, single.data() + i * sizeof(float), sizeof(float));
    EXPECT_NEAR(values[i], expected, 1e-5F);
    EXPECT_NEAR(values[i + single.size() / sizeof(float)], expected, 1e-5F);
  }
  shape[0] = 1;
  ASSERT_EQ(api_->request_set_input_shape(request.request, 0, shape, one.rank, &request.error), VERGE_ENGINE_OK);
  fill(request.input(0), 5);
  ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK);
  EXPECT_EQ(request.output(0).size_bytes, single.size());
}

TEST_P(Conformance, HostMemoryIsUsedInPlace) {
  SessionHolder session(api_, load());
  RequestHolder request(session);
  fill(request.input(0), 4);
  ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK);
  const auto expected = bytes_of(request.output(0));

  struct alignas(64) Block {
    std::byte bytes[64];
  };
  verge_engine_tensor input = request.input(0);
  verge_engine_tensor output = request.output(0);
  const verge_engine_tensor own_input = input;
  const verge_engine_tensor own_output = output;
  std::vector<Block> in(input.size_bytes / sizeof(Block) + 2);
  std::vector<Block> out(output.size_bytes / sizeof(Block) + 2);
  input.data = in.data();
  output.data = out.data();
  ASSERT_EQ(api_->request_bind_input(request.request, 0, &input, &request.error), VERGE_ENGINE_OK)
      << request.error.message;
  ASSERT_EQ(api_->request_bind_output(request.request, 0, &output, &request.error), VERGE_ENGINE_OK)
      << request.error.message;
  fill(input, 4);
  ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK) << request.error.message;
  EXPECT_EQ(std::memcmp(out.data(), expected.data(), expected.size()), 0);

  // And back to its own: what was the host's is touched no more.
  ASSERT_EQ(api_->request_bind_input(request.request, 0, &own_input, &request.error), VERGE_ENGINE_OK);
  ASSERT_EQ(api_->request_bind_output(request.request, 0, &own_output, &request.error), VERGE_ENGINE_OK);
  EXPECT_EQ(request.input(0).data, own_input.data);
  std::memset(in.data(), 0xFF, in.size() * sizeof(Block));
  std::memset(out.data(), 0x5A, out.size() * sizeof(Block));
  fill(own_input, 4);
  ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK) << request.error.message;
  EXPECT_EQ(bytes_of(request.output(0)), expected);
  EXPECT_TRUE(std::ranges::all_of(std::as_bytes(std::span(out)), [](std::byte one) { return one == std::byte{0x5A}; }));
  input.size_bytes -= 1;
  EXPECT_EQ(api_->request_bind_input(request.request, 0, &input, &request.error), VERGE_ENGINE_INVALID_ARGUMENT);
  input.size_bytes += 1;
  input.memory = VERGE_ENGINE_CUDA;
  EXPECT_EQ(api_->request_bind_input(request.request, 0, &input, &request.error), VERGE_ENGINE_UNSUPPORTED);
}

TEST_P(Conformance, UnknownOptionIsRefusedByName) {
  verge_engine_load load = this->load();
  const verge_engine_option option{"colour", "green"};
  load.options = &option;
  load.option_count = 1;
  SessionHolder session(api_, load);
  EXPECT_EQ(session.status, VERGE_ENGINE_UNSUPPORTED);
  EXPECT_THAT(session.error.message, HasSubstr("'colour'"));
  EXPECT_EQ(session.session, nullptr);
}

TEST_P(Conformance, UnknownDeviceIsRefusedByName) {
  verge_engine_load load = this->load();
  load.device = "ABACUS";
  SessionHolder session(api_, load);
  EXPECT_TRUE(session.status == VERGE_ENGINE_UNSUPPORTED || session.status == VERGE_ENGINE_UNAVAILABLE);
  EXPECT_THAT(session.error.message, HasSubstr("ABACUS"));
}

TEST_P(Conformance, OlderHostIsServed) {
  if (!GetParam().inputs.empty()) GTEST_SKIP() << "a host without options cannot say what this model takes";
  verge_engine_load load = this->load();
  load.struct_size = offsetof(verge_engine_load, precision);  // knows nothing of what comes after
  load.options = reinterpret_cast<const verge_engine_option*>(std::uintptr_t{16});
  load.option_count = 7;
  SessionHolder session(api_, load);
  ASSERT_EQ(session.status, VERGE_ENGINE_OK) << session.error.message;
  struct {
    verge_engine_tensor_info info;
    unsigned char behind;
  } guarded;
  std::memset(&guarded, 0x5A, sizeof(guarded));
  guarded.info.struct_size = offsetof(verge_engine_tensor_info, is_quantised);
  ASSERT_EQ(api_->input_info(session.session, 0, &guarded.info, &session.error), VERGE_ENGINE_OK);
  EXPECT_EQ(guarded.info.struct_size, offsetof(verge_engine_tensor_info, is_quantised));
  EXPECT_EQ(guarded.info.is_quantised, 0x5A) << "written past what the host knows";
  load.struct_size = 0;
  SessionHolder none(api_, load);
  EXPECT_EQ(none.status, VERGE_ENGINE_INVALID_ARGUMENT);
}

TEST_P(Conformance, MissingFileIsRefused) {
  SessionHolder session(api_, load_of(folder_->path() / "absent.x", GetParam().format));
  EXPECT_EQ(session.status, VERGE_ENGINE_INVALID_ARGUMENT);
  EXPECT_THAT(session.error.message, HasSubstr("no readable model file"));
}

TEST_P(Conformance, WrongFormatIsRefused) {
  SessionHolder session(api_, load_of(model_, "caffe"));
  EXPECT_EQ(session.status, VERGE_ENGINE_UNSUPPORTED);
  EXPECT_THAT(session.error.message, HasSubstr("'caffe'"));
  EXPECT_THAT(session.error.message, HasSubstr(api_->formats));
}

TEST_P(Conformance, EmptyTruncatedAndForeignFilesAreRefused) {
  const std::string whole = *read_text(model_, std::uint64_t{1} << 30U);
  const std::string extension = std::filesystem::path(model_).extension();
  std::vector<std::string> contents{"", "x", std::string(4096, '\0'), "GIF89a" + std::string(200, 'z')};
  // Not 99: behind a .tflite model its labels may follow, which no engine reads.
  for (const std::size_t percent : {1U, 10U, 50U, 90U}) {
    contents.push_back(whole.substr(0, whole.size() * percent / 100));
  }
  for (const auto& content : contents) {
    const std::string path = write("damaged" + extension, content);
    SessionHolder session(api_, load_of(path, GetParam().format));
    EXPECT_TRUE(session.status == VERGE_ENGINE_CORRUPT || session.status == VERGE_ENGINE_UNSUPPORTED)
        << content.size() << " bytes: status " << session.status << " " << session.error.message;
    EXPECT_STRNE(session.error.message, "");
  }
}

TEST_P(Conformance, NullErrorAndNullArgumentsAreSurvived) {
  verge_engine_session* session = nullptr;
  EXPECT_EQ(api_->session_create(nullptr, &session, nullptr), VERGE_ENGINE_INVALID_ARGUMENT);
  verge_engine_load load = this->load();
  load.model_path = nullptr;
  EXPECT_EQ(api_->session_create(&load, &session, nullptr), VERGE_ENGINE_INVALID_ARGUMENT);
}

TEST_P(Conformance, IdleSessionUsesNoProcessor) {
  SessionHolder session(api_, load());
  RequestHolder request(session);
  for (int i = 0; i < 10; ++i) api_->request_run(request.request, &request.error);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // what still spins has time to stop
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const double used_s = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(used_s, 0.05);
}

INSTANTIATE_TEST_SUITE_P(Engines, Conformance, ::testing::ValuesIn(engine_cases()),
                         [](const auto& each) { return case_name(each.param); });

}  // namespace
}  // namespace verge::test
