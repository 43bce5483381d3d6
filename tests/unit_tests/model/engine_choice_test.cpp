// engine: auto. Every engine that reads the format is measured on the golden samples; the fastest correct one stays.
#include <gmock/gmock.h>

#include "fake_package.hpp"

namespace verge::processing {
namespace {

using test::failure;
using test::FakePackage;
using ::testing::AllOf;
using ::testing::HasSubstr;

FakePackage automatic() {
  FakePackage package = test::numbers();
  package.engine = "auto";
  package.golden = R"([{"name": "first", "tensors": ["in.bin"], "outputs": ["in.bin"]}])";
  package.golden_files["in.bin"] = test::bytes_of<float>({1, 2, 3, 4});
  return package;
}

class EngineChoices : public test::WithFakeEngine {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(plugins());
    add("libverge_engine_fake.so", default_engine_folder() / "libverge_engine_fake.so");
  }
  [[nodiscard]] std::filesystem::path plugins() const { return folder() / "plugins"; }
  void add(const char* name, const std::filesystem::path& library) {
    std::filesystem::create_symlink(library, plugins() / name);
  }
  Result<EngineChoice> choose(const package::ModelPackage& package, LoadOptions options = {}) {
    EngineCatalogue engines(plugins());
    auto model = LoadedModel::load(package, engines, options);
    if (!model) return std::move(model).error();
    return (*model)->choice();
  }
};

TEST_F(EngineChoices, TheOnlyEngineIsMeasuredAndChosen) {
  const auto choice = choose(open(automatic()));
  ASSERT_TRUE(choice) << choice.error().text();
  EXPECT_EQ(choice->engine, "fake");
  ASSERT_EQ(choice->trials.size(), 1U);
  EXPECT_TRUE(choice->trials[0].correct);
  EXPECT_EQ(choice->trials[0].engine_version, "1.0.0");
  EXPECT_EQ(choice->trials[0].reason, "");
  EXPECT_GE(choice->trials[0].median_ms, 0);
}

TEST_F(EngineChoices, TheFastestOfSeveralIsChosen) {
  add("libverge_engine_slow.so", VERGE_SLOW_ENGINE);
  const auto choice = choose(open(automatic()));
  ASSERT_TRUE(choice) << choice.error().text();
  EXPECT_EQ(choice->engine, "fake");
  ASSERT_EQ(choice->trials.size(), 2U);
  EXPECT_TRUE(choice->trials[1].correct) << choice->trials[1].reason;
  EXPECT_GE(choice->trials[1].median_ms, 2);
}

TEST_F(EngineChoices, AnEngineThatDoesNotLoadIsLeftOut) {
  ASSERT_TRUE(write_file(plugins() / "libverge_engine_broken.so", std::string_view("no library")));
  const auto choice = choose(open(automatic()));
  ASSERT_TRUE(choice) << choice.error().text();
  EXPECT_EQ(choice->engine, "fake");
  ASSERT_EQ(choice->trials.size(), 2U);
  EXPECT_FALSE(choice->trials[0].correct);
  EXPECT_THAT(choice->trials[0].reason, HasSubstr("VRG-ENG-003"));
}

TEST_F(EngineChoices, NoEngineIsCorrect) {
  FakePackage package = automatic();
  package.golden_files["other.bin"] = test::bytes_of<float>({1, 2, 3, 5});
  package.golden = R"([{"name": "first", "tensors": ["in.bin"], "outputs": ["other.bin"]}])";
  EXPECT_THAT(failure(choose(open(package))),
              AllOf(HasSubstr("model 'sample': no engine of this machine runs this fake model correctly; fake: golden "
                              "sample 'first': expected output 'y' value 3 to be 5"),
                    HasSubstr("VRG-MDL-001")));
  package = automatic();
  package.model = "input x FP32 [1,4]\noutput y FP32 [1,4]\nfunction fail by design\n";
  EXPECT_THAT(failure(choose(open(package))), AllOf(HasSubstr("by design"), HasSubstr("VRG-MDL-001")));
  package = automatic();
  package.model = "input x FP32 [1,4]\noutput y FP32 [1,4]\nfunction fail_after 2\n";
  EXPECT_THAT(failure(choose(open(package))), HasSubstr("fails by design from run 3"));
  package.model = "input x FP32 [1,4]\noutput y FP32 [1,4]\nfunction fail_after 5\n";
  EXPECT_THAT(failure(choose(open(package))), HasSubstr("fails by design from run 6"));
  package.model = "input x FP32 [1,5]\noutput y FP32 [1,4]\nfunction identity\n";
  EXPECT_THAT(failure(choose(open(package))), HasSubstr("VRG-MDL-002"));
  package = automatic();
  package.golden_files["in.bin"] = test::bytes_of<float>({1, 2});
  EXPECT_THAT(failure(choose(open(package))), HasSubstr("golden sample 'first'"));
}

TEST_F(EngineChoices, NoEngineReadsTheFormat) {
  auto package = open(automatic());
  package.metadata.model.format = wire::ModelFormat::onnx;
  EXPECT_THAT(failure(choose(package)), HasSubstr("this onnx model correctly; none reads that format; install"));
}

TEST_F(EngineChoices, FewerThreadsAreTakenWhenMoreDoNotHelp) {
  FakePackage package = automatic();
  package.model += "delay_ms 10\n";
  LoadOptions options;
  options.available_threads = 4;
  const auto choice = choose(open(package), options);
  ASSERT_TRUE(choice) << choice.error().text();
  EXPECT_EQ(choice->trials.size(), 3U) << "4, 2 and 1";
  EXPECT_EQ(choice->settings, (Settings{1, 1, 1}));
  EXPECT_THAT(choice->because, AllOf(HasSubstr("ms with 1 thread; next: fake, 1"), HasSubstr(" threads")));
  options.threads = 2;
  EXPECT_EQ(choose(open(package), options)->settings, (Settings{2, 1, 1})) << "what is given is not measured";
}

TEST_F(EngineChoices, ThroughputIsMeasuredSideBySide) {
  FakePackage package = automatic();
  package.model += "delay_ms 5\n";
  LoadOptions options;
  options.available_threads = 2;
  options.goal = Goal::throughput;
  const auto choice = choose(open(package), options);
  ASSERT_TRUE(choice) << choice.error().text();
  EXPECT_EQ(choice->settings, (Settings{1, 2, 1})) << choice->because;
  EXPECT_THAT(choice->because, HasSubstr("samples/s with 1 thread in each of 2 workers; next: fake"));
}

TEST_F(EngineChoices, BatchesAreTriedWhereRowsAreVariable) {
  FakePackage package = automatic();
  package.inputs = R"([{"name": "x", "datatype": "FP32", "shape": [-1, 4]}])";
  package.outputs = R"([{"name": "y", "datatype": "FP32", "shape": [-1, 4]}])";
  package.model = "input x FP32 [-1,4]\noutput y FP32 [-1,4]\nfunction identity\ndelay_ms 5\n";
  LoadOptions options;
  options.available_threads = 1;
  options.goal = Goal::throughput;
  const auto choice = choose(open(package), options);
  ASSERT_TRUE(choice) << choice.error().text();
  EXPECT_EQ(choice->settings, (Settings{1, 1, 8})) << choice->because;
  options.batch_rows = 4;
  EXPECT_EQ(choose(open(package), options)->settings, (Settings{1, 1, 4}));
}

TEST_F(EngineChoices, AGoalMeasuresANamedEngineToo) {
  add("libverge_engine_slow.so", VERGE_SLOW_ENGINE);
  LoadOptions options;
  options.engine = "slow";
  options.goal = Goal::latency;
  const auto choice = choose(open(automatic()), options);
  ASSERT_TRUE(choice) << choice.error().text();
  EXPECT_EQ(choice->engine, "slow");
  EXPECT_EQ(choice->trials.size(), 1U);
}

TEST_F(EngineChoices, AnEngineThatCrashesIsLeftOutWhenItIsApart) {
  FakePackage package = automatic();
  package.model = "input x FP32 [1,4]\noutput y FP32 [1,4]\nfunction crash_after 2\n";
  LoadOptions options;
  options.isolation.emplace();
  EXPECT_THAT(failure(choose(open(package), options)),
              AllOf(HasSubstr("ended by signal 6 (Aborted)"), HasSubstr("VRG-MDL-001")));
}

class RememberedChoices : public EngineChoices {
 protected:
  [[nodiscard]] std::filesystem::path state() const { return folder() / "state"; }
  [[nodiscard]] LoadOptions options() const {
    LoadOptions options;
    options.state_directory = state();
    return options;
  }
  [[nodiscard]] std::filesystem::path record(const package::ModelPackage& package) const {
    return state() / "engine_choices" / (package.digest.substr(7) + ".json");
  }
};

TEST_F(RememberedChoices, TheSecondLoadDoesNotMeasure) {
  add("libverge_engine_slow.so", VERGE_SLOW_ENGINE);
  const auto package = open(automatic());
  const auto first = choose(package, options());
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_FALSE(first->remembered);
  EXPECT_TRUE(std::filesystem::exists(record(package)));
  const auto second = choose(package, options());
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->remembered);
  EXPECT_EQ(second->engine, "fake");
  ASSERT_EQ(second->trials.size(), 2U);
  EXPECT_EQ(second->trials[1].engine_version, "2.0.0");
  EXPECT_DOUBLE_EQ(second->trials[1].median_ms, first->trials[1].median_ms);
  EXPECT_EQ(second->settings, first->settings);
  EXPECT_EQ(second->because, first->because);
}

TEST_F(RememberedChoices, AnotherNumberOfThreadsIsAnotherMeasurement) {
  const auto package = open(automatic());
  ASSERT_TRUE(choose(package, options()));
  auto more = options();
  more.threads = 3;
  EXPECT_FALSE(choose(package, more)->remembered);
  EXPECT_TRUE(choose(package, more)->remembered);
}

TEST_F(RememberedChoices, AnotherEngineIsAnotherMeasurement) {
  const auto package = open(automatic());
  ASSERT_TRUE(write_file(plugins() / "libverge_engine_broken.so", std::string_view("no library")));
  ASSERT_TRUE(choose(package, options()));
  const auto kept = choose(package, options());
  EXPECT_TRUE(kept->remembered);
  ASSERT_EQ(kept->trials.size(), 2U);
  EXPECT_THAT(kept->trials[0].reason, HasSubstr("VRG-ENG-003"));
  add("libverge_engine_slow.so", VERGE_SLOW_ENGINE);
  EXPECT_FALSE(choose(package, options())->remembered);
}

TEST_F(RememberedChoices, ADamagedRecordIsMeasuredAgain) {
  const auto package = open(automatic());
  ASSERT_TRUE(choose(package, options()));
  for (const std::string_view damage :
       {"", "{", "{}", R"({"version": 1, "key": "x", "engine": "fake", "trials": []})"}) {
    ASSERT_TRUE(write_file(record(package), damage));
    const auto again = choose(package, options());
    ASSERT_TRUE(again) << again.error().text();
    EXPECT_FALSE(again->remembered) << damage;
    EXPECT_TRUE(choose(package, options())->remembered);
  }
}

TEST_F(RememberedChoices, AStateThatCannotBeWrittenIsAnError) {
  ASSERT_TRUE(write_file(state(), std::string_view("a file where a folder should be")));
  EXPECT_THAT(failure(choose(open(automatic()), options())), HasSubstr("VRG-BAS-"));
}

}  // namespace
}  // namespace verge::processing
