// A package in an engine: what metadata.json declares against what the model file has.
#include <gmock/gmock.h>

#include "fake_package.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/processing/open_model.hpp"

namespace verge::processing {
namespace {

using test::failure;
using test::FakePackage;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Loading : public test::WithFakeEngine {};

FakePackage two_in_two_out() {
  FakePackage package;
  package.inputs =
      R"([{"name": "a", "datatype": "FP32", "shape": [2]}, {"name": "b", "datatype": "INT32", "shape": [2]}])";
  package.outputs =
      R"([{"name": "c", "datatype": "FP32", "shape": [2]}, {"name": "d", "datatype": "INT32", "shape": [2]}])";
  package.model = "input a FP32 [2]\ninput b INT32 [2]\noutput c FP32 [2]\noutput d INT32 [2]\nfunction identity\n";
  return package;
}

TEST_F(Loading, AModelSaysWhatItIs) {
  const auto model = load(test::numbers());
  ASSERT_TRUE(model) << model.error().text();
  EXPECT_EQ((*model)->choice().engine, "fake");
  EXPECT_TRUE((*model)->choice().trials.empty());
  EXPECT_FALSE((*model)->choice().remembered);
  EXPECT_EQ((*model)->engine_version(), "1.0.0");
  EXPECT_EQ((*model)->package().metadata.name, "sample");
  EXPECT_FALSE((*model)->takes_image());
  ASSERT_EQ((*model)->inputs().size(), 1U);
  EXPECT_EQ(describe((*model)->inputs()[0]), "FP32[1,4]");
  ASSERT_EQ((*model)->outputs().size(), 1U);
  EXPECT_EQ((*model)->outputs()[0].name, "y");
}

TEST_F(Loading, TensorsAreMatchedByNameWhateverTheirOrder) {
  FakePackage package = two_in_two_out();
  package.model = "input b INT32 [2]\ninput a FP32 [2]\noutput d INT32 [2]\noutput c FP32 [2]\nfunction identity\n";
  Worker one = worker(package);
  const std::vector<test::Bytes> inputs{test::bytes_of<float>({1.5F, 2.5F}), test::bytes_of<std::int32_t>({7, 8})};
  ASSERT_TRUE(one.predict_tensors(inputs));
  ASSERT_EQ(one.last_outputs().size(), 2U);
  EXPECT_THAT(one.last_outputs()[0].as<float>(), ::testing::ElementsAre(1.5F, 2.5F));
  EXPECT_THAT(one.last_outputs()[1].as<std::int32_t>(), ::testing::ElementsAre(7, 8));
}

TEST_F(Loading, TensorsOfOtherNamesAreMatchedByPosition) {
  FakePackage package = two_in_two_out();
  package.model = "input p FP32 [2]\ninput q INT32 [2]\noutput r FP32 [2]\noutput s INT32 [2]\nfunction identity\n";
  const auto model = load(package);
  ASSERT_TRUE(model) << model.error().text();
  EXPECT_EQ((*model)->inputs()[1].name, "b");
  EXPECT_EQ((*model)->outputs()[0].name, "c");
}

TEST_F(Loading, TheModelsOwnQuantisationWins) {
  FakePackage package = test::classifier();
  package.model = "input picture UINT8 [1,16,16,3]\noutput scores UINT8 [1,4] 0.5 3\nfunction identity\n";
  const auto model = load(package);
  ASSERT_TRUE(model) << model.error().text();
  EXPECT_EQ((*model)->outputs()[0].quantisation, (Quantisation{0.5F, 3}));
}

TEST_F(Loading, MetadataThatDoesNotFitIsRefused) {
  FakePackage package = two_in_two_out();
  package.model = "input a FP32 [2]\noutput c FP32 [2]\noutput d INT32 [2]\nfunction identity\n";
  EXPECT_THAT(failure(load(package)), AllOf(StartsWith("model 'sample': "),
                                            HasSubstr("declares 2 inputs, the model has 1"), HasSubstr("VRG-MDL-002")));
  package.model = "input a FP32 [2]\ninput b INT32 [2]\noutput c FP32 [2]\nfunction identity\n";
  EXPECT_THAT(failure(load(package)), HasSubstr("declares 2 outputs, the model has 1"));
  package.model = "input a FP32 [2]\ninput b INT64 [2]\noutput c FP32 [2]\noutput d INT32 [2]\nfunction identity\n";
  EXPECT_THAT(failure(load(package)), HasSubstr("expected input 1 to be INT32[2] 'b', got INT64[2] 'b'"));
  package.model = "input a FP32 [2]\ninput b INT32 [2]\noutput c FP32 [3]\noutput d INT32 [2]\nfunction identity\n";
  EXPECT_THAT(failure(load(package)), HasSubstr("expected output 0 to be FP32[2] 'c', got FP32[3] 'c'"));
  package.model = "input a FP32 [2]\ninput b INT32 [2]\noutput c FP32 [1,2]\noutput d INT32 [2]\nfunction identity\n";
  EXPECT_THAT(failure(load(package)), HasSubstr("got FP32[1,2] 'c'"));
}

TEST_F(Loading, TheSameNameTwiceIsNotMatchedTwice) {
  FakePackage package = two_in_two_out();
  package.inputs =
      R"([{"name": "a", "datatype": "FP32", "shape": [2]}, {"name": "a", "datatype": "FP32", "shape": [2]}])";
  EXPECT_THAT(failure(load(package)), HasSubstr("VRG-MDL-002"));
}

TEST_F(Loading, VariableDimensionsFitAny) {
  FakePackage package = test::numbers();
  package.model = "input x FP32 [-1,4]\noutput y FP32 [-1,4]\nfunction identity\n";
  EXPECT_TRUE(load(package));
  package.inputs = R"([{"name": "x", "datatype": "FP32", "shape": [-1, 4]}])";
  package.outputs = R"([{"name": "y", "datatype": "FP32", "shape": [-1, 4]}])";
  EXPECT_TRUE(load(package));
}

TEST_F(Loading, ADefinitionThatDoesNotFitIsFoundBeforeTheEngineLoads) {
  FakePackage package = test::classifier();
  package.model = "no model at all";
  package.postprocessing = "version: 1\nsteps:\n  - top_k: { output: nothing }\n";
  EXPECT_THAT(failure(load(package)), HasSubstr("VRG-PST-002"));
  EXPECT_FALSE(check_processing(open(package)));
  package = test::classifier();
  package.preprocessing = "version: 1\nsample: image\nsteps:\n  - resize: { width: 8, height: 16 }\n";
  EXPECT_THAT(failure(load(package)), HasSubstr("VRG-PRE-002"));
  EXPECT_FALSE(check_processing(open(package)));
  EXPECT_TRUE(check_processing(open(test::classifier())));
}

TEST_F(Loading, TheEnginesErrorsHaveTheModelsNameInFront) {
  FakePackage package = test::numbers();
  package.model = "input x FP32 [1,4]\n";
  EXPECT_THAT(failure(load(package)), AllOf(StartsWith("model 'sample': "), HasSubstr("the file ends early")));
  LoadOptions options;
  options.engine = "flake";
  EXPECT_THAT(failure(load(test::numbers(), options)), AllOf(HasSubstr("VRG-ENG-001"), HasSubstr("'fake'")));
}

TEST_F(Loading, AFileThatHasGoneSinceIsNamed) {
  auto package = open(test::numbers());
  std::filesystem::remove(package.root / "model_files" / "model.fake");
  EXPECT_THAT(failure(LoadedModel::load(std::move(package), engines_, {})), HasSubstr("VRG-ENG-004"));
}

TEST_F(Loading, EveryPrecisionAndACacheFolderAreTaken) {
  for (const char* precision : {"f32", "bf16", "f16", "auto"}) {
    auto package = open(test::numbers());
    package.metadata.precision = wire::to_precision(precision).value_or(wire::Precision::f32);
    LoadOptions options;
    options.state_directory = folder() / "state";
    options.threads = 2;
    EXPECT_TRUE(LoadedModel::load(std::move(package), engines_, options)) << precision;
  }
}

TEST_F(Loading, OpenModelTakesAFolderAndALayout) {
  test::classifier().write(folder() / "classifier");
  auto direct = open_model((folder() / "classifier").string());
  ASSERT_TRUE(direct) << direct.error().text();
  const auto picture = test::picture(16, 16, 0, {10, 200, 30});
  const auto predicted = direct->predict_encoded(picture);
  ASSERT_TRUE(predicted) << predicted.error().text();
  EXPECT_EQ((*predicted)->classes[0].label, "dog");

  const auto package = package::open_folder(folder() / "classifier");
  ASSERT_TRUE(package);
  ASSERT_TRUE(package::write_layout(*package, folder() / "layout"));
  auto packed = open_model((folder() / "layout").string() + ":1.0.0");
  ASSERT_TRUE(packed) << packed.error().text();
  EXPECT_EQ((*packed->predict_encoded(picture))->classes[0].label, "dog");
  EXPECT_EQ(packed->model().package().digest, package->digest);

  EXPECT_THAT(failure(open_model((folder() / "nothing").string())), HasSubstr("VRG-PKG-001"));
}

}  // namespace
}  // namespace verge::processing
