// Custom steps in their process: Python and a plug-in, what they give, and what becomes of those that misbehave.
#include "verge/data_processing/custom_steps.hpp"

#include <dirent.h>

#include <cstring>
#include <fstream>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/process/sandbox.hpp"

namespace verge::data_processing {
namespace {

using processing::DataType;
using ::testing::HasSubstr;

wire::CustomStep step(const std::string& file, const std::string& function) {
  wire::CustomStep step;
  step.file = file;
  step.function = function;
  return step;
}

class Steps : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto missing = process::sandbox_lacks(); !missing.empty()) {
      GTEST_SKIP() << "this system has no sandbox for custom steps: it lacks " << missing;
    }
    auto folder = TemporaryFolder::create("verge-steps-");
    ASSERT_TRUE(folder);
    folder_ = std::make_unique<TemporaryFolder>(std::move(*folder));
    order_.package = folder_->path();
    options_.restart_pause = std::chrono::milliseconds(0);
    order_.inputs = {{"x", DataType::fp32, {1, 4}, {}}};
    order_.outputs = {{"y", DataType::fp32, {1, 4}, {}}};
  }

  /// A package with these Python functions.
  void python(const std::string& text) {
    ASSERT_TRUE(write_file(folder_->path() / "steps" / "script.py", std::string_view(text)));
    if (text.find("def preprocess") != std::string::npos) order_.preprocess = step("steps/script.py", "preprocess");
    if (text.find("def postprocess") != std::string::npos) order_.postprocess = step("steps/script.py", "postprocess");
  }
  void plugin() {
    std::filesystem::create_directories(folder_->path() / "steps");
    std::filesystem::copy_file(VERGE_EXAMPLE_PLUGIN, folder_->path() / "steps" / "plugin.so");
  }
  Result<StepWorker> start() {
    VERGE_ASSIGN(steps_, CustomSteps::create(order_, options_));
    return StepWorker::start(steps_, true);
  }
  /// The postprocessing of four numbers, as JSON; or what became of it.
  std::string answer(StepWorker& worker, const std::array<float, 4>& values = {1, 2, 3, 4}) {
    std::array<float, 4> own = values;
    const std::array<std::int64_t, 2> shape{1, 4};
    const processing::TensorView output{DataType::fp32, shape, reinterpret_cast<std::byte*>(own.data()), sizeof(own)};
    const auto done = worker.postprocess(std::span(&output, 1), {64, 48}, prediction_);
    if (!done) return done.error().text();
    std::string out;
    processing::append_json(prediction_, out);
    return out;
  }
  static std::string refusal(const Result<StepWorker>& worker) { return worker ? "none" : worker.error().text(); }

  StepOrder order_;
  StepOptions options_;
  std::shared_ptr<CustomSteps> steps_;
  processing::Prediction prediction_;
  std::unique_ptr<TemporaryFolder> folder_;
};

TEST_F(Steps, InPythonGetAndGiveTensors) {
  python(R"(
import array
def preprocess(raw):
    return array.array('f', [2 * value for value in raw.cast('f')])
def postprocess(outputs, sample):
    y = outputs['y']
    flat = y.reshape(-1) if hasattr(y, 'reshape') else y.cast('B').cast('f')
    return {'sum': sum(float(v) for v in flat), 'shape': list(y.shape), 'sample': sample}
)");
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  const std::array<float, 4> values{1, 2, 3, 4};
  const auto made = worker->preprocess(std::as_bytes(std::span(values)));
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_THAT((*made)[0].as<const float>(), ::testing::ElementsAre(2, 4, 6, 8));
  EXPECT_EQ(answer(*worker),
            R"("kind":"custom","custom":{"sum":10.0,"shape":[1,4],"sample":{"width":64,"height":48}})");
}

TEST_F(Steps, MayImportWhatLiesBesideThemAndReadThePackage) {
  ASSERT_TRUE(write_file(folder_->path() / "steps" / "names.txt", std::string_view("cat dog")));
  ASSERT_TRUE(write_file(folder_->path() / "steps" / "words.py", std::string_view("def split(t): return t.split()\n")));
  python(R"(
import words
NAMES = words.split(open('steps/names.txt').read())
def postprocess(outputs, sample): return {'kind': 'classes', 'classes': [{'label': NAMES[1], 'score': 1}]}
)");
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  EXPECT_EQ(answer(*worker), R"("kind":"classes","classes":[{"class":0,"label":"dog","score":1}])");
}

TEST_F(Steps, AreRefusedWhenTheyCannotBeLoaded) {
  python("def postprocess(outputs, sample) return 1\n");
  EXPECT_THAT(refusal(start()), HasSubstr("SyntaxError"));
  python("import nothing_of_this_name\ndef postprocess(outputs, sample): pass\n");
  EXPECT_THAT(refusal(start()), HasSubstr("steps/script.py, line 1, in <module>: import nothing_of_this_name"));
  python("def postprocessing(outputs, sample): pass\n#def postprocess\n");
  EXPECT_THAT(refusal(start()),
              HasSubstr("expected a function 'postprocess' in 'steps/script.py', got postprocessing"));
}

TEST_F(Steps, TellWhereAnExceptionCameFromAndGoOn) {
  python(R"(
def inner(y): return 1 / (float(y[0][0] if hasattr(y, 'reshape') else y[0, 0]) - 1)
def postprocess(outputs, sample):
    print('looking')
    return {'x': inner(outputs['y'])}
)");
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  const auto text = answer(*worker);
  EXPECT_THAT(text, HasSubstr("ZeroDivisionError"));
  EXPECT_THAT(text, HasSubstr("steps/script.py, line 2, in inner: def inner"));
  EXPECT_THAT(text, HasSubstr("It wrote: looking [VRG-STP-005]"));
  EXPECT_THAT(answer(*worker, {3, 0, 0, 0}), HasSubstr("0.5"));
  EXPECT_EQ(steps_->restarts(), 0U);
}

TEST_F(Steps, AreToldWhatIsWrongWithTheirResult) {
  python("import array\ndef preprocess(raw): return array.array('d', [1, 2, 3, 4])\ndef postprocess(o, s): return 3\n");
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  const std::array<std::byte, 16> raw{};
  EXPECT_THAT(worker->preprocess(raw).error().text(), HasSubstr("expected FP32[1,4] for the input 'x', got FP64"));
  EXPECT_THAT(answer(*worker), HasSubstr("expected a dict, got int"));
}

TEST_F(Steps, ThatTakeTooLongAreEndedAndStartedAgain) {
  python(R"(
def postprocess(outputs, sample):
    y = outputs['y']
    while (y[0][0] if hasattr(y, 'reshape') else y[0, 0]) == 13: pass
    return {'fine': True}
)");
  order_.postprocess->time_limit_ms = 50;
  std::vector<std::string> told;
  options_.on_ended = [&](const Error& error) { told.push_back(error.id()); };
  options_.max_restarts = 1;
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  EXPECT_THAT(answer(*worker, {13, 0, 0, 0}), HasSubstr("took more than 50 ms of processor time"));
  EXPECT_EQ(answer(*worker), R"("kind":"custom","custom":{"fine":true})");
  EXPECT_EQ(steps_->restarts(), 1U);
  EXPECT_FALSE(steps_->given_up());
  EXPECT_THAT(answer(*worker, {13, 0, 0, 0}), HasSubstr("VRG-STP-007"));
  EXPECT_THAT(answer(*worker), HasSubstr("is not started again: it ended more than 1 times within 60 s"));
  EXPECT_TRUE(steps_->given_up());
  EXPECT_THAT(told, ::testing::ElementsAre("VRG-STP-007", "VRG-STP-007"));
}

TEST_F(Steps, ThatSleepAreEndedByTheClock) {
  python("import time\ndef postprocess(outputs, sample): time.sleep(600)\n");
  order_.postprocess->time_limit_ms = 20;
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  EXPECT_THAT(answer(*worker), HasSubstr("took more than 200 ms by the clock"));
}

TEST_F(Steps, KnowNothingOfTheAgentsEnvironment) {
  ::setenv("VERGE_TEST_SECRET", "1234", 1);
  python(
      "import os\ndef postprocess(o, s): return {'secret': os.environ.get('VERGE_TEST_SECRET'), 'fds': "
      "sorted(os.listdir('.'))}\n");
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  EXPECT_THAT(answer(*worker), HasSubstr(R"({"secret":null,"fds":["steps"]})"));
}

TEST_F(Steps, AsAPluginGetAndGiveTensors) {
  plugin();
  order_.inputs = {{"x", DataType::uint8, {1, 4}, {}}};
  order_.takes_image = true;
  order_.preprocess = step("steps/plugin.so", "prepare");
  order_.postprocess = step("steps/plugin.so", "judge");
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  const std::array<std::uint8_t, 6> pixels{10, 20, 30, 40, 50, 60};
  const auto made = worker->preprocess(processing::ImageView{pixels.data(), 2, 1, 6, processing::PixelFormat::rgb});
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_THAT((*made)[0].as<const std::uint8_t>(), ::testing::ElementsAre(10, 20, 30, 40));
  EXPECT_EQ(answer(*worker), R"("kind":"classes","classes":[{"class":1,"label":"y","score":0}])");
  const auto small = worker->preprocess(processing::ImageView{pixels.data(), 1, 1, 3, processing::PixelFormat::rgb});
  EXPECT_THAT(small.error().text(), HasSubstr("expected a larger picture [VRG-STP-005]"));
}

TEST_F(Steps, AsAPluginMaySetDimensionsThatTheModelLeavesOpen) {
  plugin();
  order_.inputs = {{"x", DataType::fp32, {-1}, {}}};
  order_.preprocess = step("steps/plugin.so", "prepare_rows");
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  const std::array<std::byte, 3> raw{std::byte{1}, std::byte{2}, std::byte{3}};
  const auto made = worker->preprocess(raw);
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_THAT((*made)[0].as<const float>(), ::testing::ElementsAre(1, 2, 3));
}

TEST_F(Steps, OfBothKindsWorkSideBySide) {
  plugin();
  python("def preprocess(raw): return raw\n");
  order_.inputs = {{"x", DataType::uint8, {4}, {}}};
  order_.postprocess = step("steps/plugin.so", "judge");
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  const std::array<std::byte, 4> raw{std::byte{7}};
  const auto made = worker->preprocess(raw);
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_EQ((*made)[0].as<const std::uint8_t>()[0], 7);
  EXPECT_THAT(answer(*worker), HasSubstr(R"("label":"y")"));
}

TEST_F(Steps, AsAHostilePluginAreEnded) {
  plugin();
  const auto tried = [&](const char* function) {
    order_.postprocess = step("steps/plugin.so", function);
    order_.postprocess->time_limit_ms = 50;
    auto worker = start();
    EXPECT_TRUE(worker) << refusal(worker);
    return worker ? answer(*worker) : "";
  };
  EXPECT_THAT(tried("connects"), HasSubstr("called socket(), which opens a way to the network"));
  EXPECT_THAT(tried("loops"), HasSubstr("took more than 50 ms"));
  EXPECT_THAT(tried("reads_a_foreign_file"), HasSubstr("cannot read it"));
  EXPECT_THAT(tried("throws"), HasSubstr("an exception left the function: thrown on purpose"));
  EXPECT_THAT(tried("answers_nonsense"), HasSubstr("a mistake at byte 5"));
  order_.postprocess = step("steps/plugin.so", "no_such_function");
  EXPECT_THAT(refusal(start()), HasSubstr("expected a function 'no_such_function'"));
  order_.postprocess.reset();
  order_.preprocess = step("steps/plugin.so", "gives_another_type");
  auto worker = start();
  ASSERT_TRUE(worker) << worker.error().text();
  EXPECT_THAT(worker->preprocess(std::span<const std::byte>()).error().text(), HasSubstr("got FP64[1,4]"));
}

TEST_F(Steps, AreRefusedWhereTheAdministratorForbidsThem) {
  python("def postprocess(outputs, sample): return {}\n");
  options_.forbidden = true;
  EXPECT_THAT(refusal(start()), HasSubstr("which the agent's configuration forbids"));
  options_.forbidden = false;
  options_.python = "/nowhere/python3";
  EXPECT_THAT(refusal(start()), HasSubstr("there is no interpreter at '/nowhere/python3'"));
  order_.outputs = {{"y", DataType::bytes, {1}, {}}};
  options_.python = default_step_python();
  EXPECT_THAT(refusal(start()), HasSubstr("VRG-STP-004"));
}

}  // namespace
}  // namespace verge::data_processing
