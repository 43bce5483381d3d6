// What is guessed about a bare model, by its tensors and by one run.
#include "verge/processing/draft.hpp"

#include <fstream>

#include <gmock/gmock.h>

#include "../model/fake_package.hpp"

namespace verge::processing {
namespace {

using test::failure;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Drafts : public test::WithFakeEngine {
 protected:
  std::filesystem::path model_file(const std::string& text, const char* name = "model.fake") {
    const auto path = folder() / name;
    EXPECT_TRUE(write_file(path, std::string_view("verge-fake 1\n" + text)));
    return path;
  }
  /// The draft of a model with these tensors.
  Draft draft(const std::string& input, const std::string& outputs, const std::string& function = "constant 0.25") {
    const auto made =
        draft_package(model_file("input x " + input + "\n" + outputs + "function " + function + "\n"), engines_, "");
    EXPECT_TRUE(made) << (made ? "" : made.error().text());
    return made ? *made : Draft();
  }
  static std::string pre(const Draft& draft) { return wire::write_json_line(wire::to_node(draft.preprocessing)); }
  static std::string post(const Draft& draft) { return wire::write_json_line(wire::to_node(draft.postprocessing)); }
  static std::string guess(const Draft& draft, std::string_view what) {
    for (const auto& guess : draft.guesses) {
      if (guess.what == what) return guess.value + " | " + guess.why;
    }
    return "(no guess)";
  }
  /// Writes the draft, opens it as a package, loads it and runs it: a draft that does not work helps nobody.
  void expect_it_works(const Draft& draft) {
    const auto out = folder() / "drafted";
    std::filesystem::remove_all(out);
    const auto written = write_draft(draft, folder() / "model.fake", {}, out, false);
    ASSERT_TRUE(written) << written.error().text();
    auto package = package::open_folder(out);
    ASSERT_TRUE(package) << package.error().text();
    LoadOptions options;
    options.engine = "fake";
    auto model = LoadedModel::load(*package, engines_, options);
    ASSERT_TRUE(model) << model.error().text();
    auto worker = (*model)->create_worker();
    ASSERT_TRUE(worker) << worker.error().text();
    if (!(*model)->takes_image()) return;
    const auto predicted = worker->predict_encoded(test::picture(40, 30, 99));
    EXPECT_TRUE(predicted) << predicted.error().text();
  }
};

TEST_F(Drafts, AClassifierWithProbabilities) {
  const Draft made = draft("FP32 [1,32,32,3]", "output scores FP32 [1,4]\n");
  EXPECT_EQ(made.metadata.task, wire::Task::classification);
  EXPECT_EQ(made.metadata.name, "model");
  EXPECT_EQ(made.metadata.model.file, "model_files/model.fake");
  EXPECT_THAT(pre(made),
              AllOf(HasSubstr("\"decode\":{}"), HasSubstr("\"width\":32"), HasSubstr("0.00392156862745098")));
  EXPECT_THAT(post(made), AllOf(HasSubstr("top_k"), ::testing::Not(HasSubstr("softmax"))));
  EXPECT_THAT(guess(made, "softmax"), HasSubstr("already in the model | one run gave values that sum to 1.000"));
  EXPECT_THAT(guess(made, "layout"), HasSubstr("nhwc | FP32[1,32,32,3] has its 3 channel(s) last"));
  EXPECT_THAT(guess(made, "values"), HasSubstr("0 … 1"));
  EXPECT_THAT(guess(made, "colour order"), HasSubstr("rgb"));
  expect_it_works(made);
}

TEST_F(Drafts, AClassifierWithLogits) {
  const Draft made = draft("FP32 [1,3,32,32]", "output scores FP32 [1,4]\n", "constant 3");
  EXPECT_THAT(post(made), HasSubstr("softmax"));
  EXPECT_THAT(guess(made, "softmax"), HasSubstr("added | one run gave values that sum to 12.000"));
  EXPECT_THAT(pre(made), AllOf(HasSubstr("nchw"), HasSubstr("0.485")));
  EXPECT_THAT(guess(made, "values"), HasSubstr("ImageNet"));
  expect_it_works(made);
}

TEST_F(Drafts, AQuantisedClassifier) {
  const Draft made =
      draft("UINT8 [1,32,32,3] 0.0078125 128", "output scores UINT8 [1,10] 0.00390625 0\n", "constant 1");
  EXPECT_EQ(guess(made, "values"), "pixels as they are | the input is UINT8");
  EXPECT_THAT(guess(made, "softmax"), HasSubstr("quantised in steps of 1/256"));
  ASSERT_TRUE(made.metadata.inputs[0].quantisation);
  EXPECT_EQ(made.metadata.inputs[0].quantisation->zero_point, 128);
  expect_it_works(made);
}

TEST_F(Drafts, ASignedQuantisedInputTellsItsRange) {
  Draft made = draft("INT8 [1,32,32,3] 0.00392156862745098 -128", "output scores FP32 [1,4]\n");
  EXPECT_THAT(guess(made, "values"), HasSubstr("the input holds 0 to 1"));
  EXPECT_THAT(pre(made), AllOf(HasSubstr("quantise"), HasSubstr("0.00392156862745098")));
  expect_it_works(made);
  made = draft("INT8 [1,32,32,3] 0.0078125 0", "output scores FP32 [1,4]\n");
  EXPECT_THAT(guess(made, "values"), HasSubstr("the input holds -1 to 0.992"));
  EXPECT_THAT(pre(made), HasSubstr("127.5"));
  expect_it_works(made);
  made = draft("INT8 [1,32,32,3] 1 -128", "output scores FP32 [1,4]\n");
  EXPECT_THAT(guess(made, "values"), HasSubstr("the input holds 0 to 255"));
  EXPECT_THAT(pre(made), ::testing::Not(HasSubstr("normalise")));
  expect_it_works(made);
}

TEST_F(Drafts, AGreyInput) {
  const Draft made = draft("FP32 [1,28,28,1]", "output scores FP32 [1,4]\n");
  EXPECT_THAT(pre(made), HasSubstr("grey"));
  EXPECT_THAT(guess(made, "values"), HasSubstr("usual for one channel"));
  EXPECT_EQ(guess(made, "colour order"), "(no guess)");
  expect_it_works(made);
}

TEST_F(Drafts, SegmentationByTheBestChannel) {
  const Draft made = draft("FP32 [1,32,32,3]", "output map FP32 [1,32,32,5]\n");
  EXPECT_EQ(made.metadata.task, wire::Task::segmentation);
  EXPECT_THAT(post(made), HasSubstr("argmax"));
  EXPECT_THAT(guess(made, "task"), HasSubstr("segmentation by argmax"));
  expect_it_works(made);
  const Draft first = draft("FP32 [1,3,32,32]", "output map FP32 [1,5,32,32]\n");
  EXPECT_THAT(post(first), AllOf(HasSubstr("argmax"), HasSubstr("nchw")));
  expect_it_works(first);
}

TEST_F(Drafts, SegmentationByAThreshold) {
  Draft made = draft("FP32 [1,32,32,3]", "output map FP32 [1,32,32,1]\n");
  EXPECT_THAT(post(made), AllOf(HasSubstr("threshold"), ::testing::Not(HasSubstr("sigmoid"))));
  expect_it_works(made);
  made = draft("FP32 [1,32,32,3]", "output map FP32 [1,32,32,1]\n", "constant -4");
  EXPECT_THAT(post(made), HasSubstr("sigmoid"));
  EXPECT_THAT(guess(made, "sigmoid"), HasSubstr("one run gave -4.00 to -4.00"));
  expect_it_works(made);
  made = draft("FP32 [1,32,32,3]", "output map FP32 [1,32,32]\n");
  EXPECT_THAT(post(made), HasSubstr("threshold"));
  expect_it_works(made);
  made = draft("FP32 [1,32,32,3]", "output map FP32 [1,1024]\n");
  EXPECT_THAT(post(made), AllOf(HasSubstr("threshold"), HasSubstr("\"width\":32")));
  expect_it_works(made);
}

TEST_F(Drafts, SegmentationByLabels) {
  for (const char* map : {"INT64 [1,32,32]", "INT32 [1,32,32,1]"}) {
    const Draft made = draft("FP32 [1,32,32,3]", std::string("output map ") + map + "\n", "constant 2");
    EXPECT_THAT(post(made), HasSubstr("labels")) << map;
    expect_it_works(made);
  }
}

TEST_F(Drafts, DetectionWithBoxesFromTheModel) {
  const Draft made = draft("UINT8 [1,32,32,3]",
                           "output boxes FP32 [1,10,4]\noutput classes FP32 [1,10]\noutput scores FP32 [1,10]\n"
                           "output count FP32 [1]\n");
  EXPECT_EQ(made.metadata.task, wire::Task::detection);
  EXPECT_THAT(post(made),
              AllOf(HasSubstr("ssd_detections"), HasSubstr("score_threshold"), ::testing::Not(HasSubstr("nms"))));
  EXPECT_THAT(guess(made, "task"), HasSubstr("four outputs"));
  expect_it_works(made);
}

TEST_F(Drafts, DetectionOnAGrid) {
  // 64 × 64: 8² + 4² + 2² = 84 cells.
  const Draft rows = draft("FP32 [1,3,64,64]", "output grid FP32 [1,84,15]\n");
  EXPECT_THAT(post(rows), AllOf(HasSubstr("yolo_grid"), HasSubstr("nms")));
  EXPECT_THAT(pre(rows), AllOf(HasSubstr("bgr"), HasSubstr("fit"), HasSubstr("114")));
  EXPECT_THAT(guess(rows, "task"), HasSubstr("one row for each grid cell"));
  EXPECT_THAT(guess(rows, "values"), HasSubstr("0 … 255"));
  expect_it_works(rows);
  const Draft columns = draft("FP32 [1,3,64,64]", "output grid FP32 [1,14,84]\n");
  EXPECT_THAT(post(columns), AllOf(HasSubstr("channels_first"), HasSubstr("none")));
  EXPECT_THAT(pre(columns),
              AllOf(HasSubstr("\"decode\":{}"), HasSubstr("letterbox"), HasSubstr("0.00392156862745098")));
  EXPECT_THAT(guess(columns, "task"), HasSubstr("one column for each grid cell"));
  expect_it_works(columns);
}

TEST_F(Drafts, WhatIsNoPictureIsATensor) {
  for (const char* input : {"FP32 [1,640]", "INT8 [1,49,10,1] 0.5 1", "FP32 [2,32,32,3]", "FP32 [1,32,32,4]"}) {
    const Draft made = draft(input, "output y FP32 [1,12]\n");
    EXPECT_EQ(made.metadata.task, wire::Task::tensor) << input;
    EXPECT_EQ(made.preprocessing.sample, wire::SampleKind::tensor) << input;
    EXPECT_THAT(guess(made, "sample"), HasSubstr("does not look like a picture"));
    EXPECT_THAT(guess(made, "task"), HasSubstr("the raw values are given"));
    expect_it_works(made);
  }
  const Draft two = draft("FP32 [1,32,32,3]", "output a FP32 [1,4]\noutput b FP32 [1,4]\n");
  EXPECT_EQ(two.metadata.task, wire::Task::tensor);
  expect_it_works(two);
}

TEST_F(Drafts, AModelOfAnySize) {
  const Draft made = draft("FP32 [-1,-1,-1,3]", "output map FP32 [-1,-1,-1,3]\n", "identity");
  EXPECT_THAT(pre(made), HasSubstr("\"width\":224"));
  EXPECT_EQ(made.metadata.inputs[0].shape, (std::vector<std::int64_t>{-1, -1, -1, 3}));
  EXPECT_EQ(made.metadata.task, wire::Task::segmentation);
  expect_it_works(made);
}

TEST_F(Drafts, BooleanInputsAreLeftAsTheyAre) {
  const Draft made = draft("BOOL [1,4]", "output y BOOL [1,4]\n", "identity");
  EXPECT_EQ(made.metadata.task, wire::Task::tensor);
}

TEST_F(Drafts, NamesOfPackages) {
  const std::string text = "input x FP32 [1]\noutput y FP32 [1]\nfunction identity\n";
  for (const auto& [file, name] :
       std::vector<std::pair<const char*, const char*>>{{"MobileNet V2 (1.0).fake", "mobilenet_v2_1.0"},
                                                        {"a--b__c.fake", "a-b_c"},
                                                        {"___.fake", "model"},
                                                        {"1.fake", "1"}}) {
    const auto made = draft_package(model_file(text, file), engines_, "auto");
    ASSERT_TRUE(made) << made.error().text();
    EXPECT_EQ(made->metadata.name, name);
  }
}

TEST_F(Drafts, FormatsOfModelFiles) {
  const auto format = [&](const char* name, std::string_view content) {
    EXPECT_TRUE(write_file(folder() / name, content));
    const auto found = model_format(folder() / name);
    return found ? std::string(wire::name(*found)) : found.error().id();
  };
  EXPECT_EQ(format("a.onnx", ""), "onnx");
  EXPECT_EQ(format("a.tflite", "x"), "tflite");
  EXPECT_EQ(format("anything", "\x1c\x00\x00\x00TFL3"), "VRG-DRF-001");
  EXPECT_EQ(format("anything", std::string_view("\x1c\x00\x00\x00TFL3", 8)), "tflite");
  EXPECT_EQ(format("a.pb", "x"), "tensorflow");
  EXPECT_EQ(format("a.xml", "x"), "openvino");
  EXPECT_EQ(format("a.pt", "x"), "torchscript");
  EXPECT_EQ(format("a.ptl", "x"), "torchscript");
  EXPECT_EQ(format("a.pte", "x"), "executorch");
  EXPECT_EQ(format("program", std::string_view("\x3c\x00\x00\x00"
                                               "ET12",
                                               8)),
            "executorch");
  EXPECT_EQ(format("a.pth", "x"), "VRG-DRF-001");
  EXPECT_EQ(format("saved/saved_model.pb", "x"), "tensorflow");
  EXPECT_EQ(*model_format(folder() / "saved"), wire::ModelFormat::tensorflow);
  std::filesystem::create_directory(folder() / "empty");
  EXPECT_THAT(failure(model_format(folder() / "empty")), HasSubstr("convert it to one of these"));
  EXPECT_THAT(failure(model_format(folder() / "nothing")), HasSubstr("where there is nothing"));
}

TEST_F(Drafts, ModelsThatCannotBeDrafted) {
  EXPECT_THAT(failure(draft_package(model_file("nonsense\n"), engines_, "")),
              AllOf(HasSubstr("no engine of this machine reads the fake model"), HasSubstr("unknown key 'nonsense'")));
  EXPECT_THAT(failure(draft_package(model_file("output y FP32 [1]\nfunction constant 1\n"), engines_, "")),
              HasSubstr("expected a model with inputs and outputs, got 0 and 1"));
  EXPECT_THAT(
      failure(draft_package(model_file("input x FP32 [1]\noutput y FP32 [1]\nfunction fail no\n"), engines_, "")),
      HasSubstr("VRG-ENG-"));
  EXPECT_THAT(
      failure(draft_package(model_file("input x FP32 [1]\noutput y FP32 [1]\nfunction sum\n"), engines_, "other")),
      HasSubstr("install one that does"));
  EXPECT_THAT(failure(draft_package(folder() / "nothing.fake", engines_, "")), HasSubstr("VRG-DRF-001"));
  EngineCatalogue broken(folder() / "plugins");
  ASSERT_TRUE(write_file(folder() / "plugins" / "libverge_engine_broken.so", std::string_view("x")));
  EXPECT_THAT(failure(draft_package(model_file("input x FP32 [1]\n"), broken, "")), HasSubstr("broken: "));
}

TEST_F(Drafts, AWrittenDraftHoldsEverything) {
  const Draft made = draft("FP32 [1,32,32,3]", "output scores FP32 [1,4]\n");
  ASSERT_TRUE(write_file(folder() / "l.txt", std::string_view("a\nb\nc\nd\n")));
  for (const bool link : {false, true}) {
    const auto out = folder() / (link ? "linked" : "copied");
    ASSERT_TRUE(write_draft(made, folder() / "model.fake", folder() / "l.txt", out, link));
    EXPECT_EQ(std::filesystem::is_symlink(out / "model_files" / "model.fake"), link);
    const auto card = read_text(out / "model_card.md", 1U << 20U);
    ASSERT_TRUE(card);
    EXPECT_THAT(*card, AllOf(HasSubstr("# model 1.0.0"), HasSubstr("- colour order: rgb (a guess: usual;"),
                             HasSubstr("- layout: nhwc (FP32[1,32,32,3]")));
    EXPECT_THAT(failure(write_draft(made, folder() / "model.fake", {}, out, link)),
                HasSubstr("holds something already; name another folder with --output [VRG-DRF-002]"));
  }
  const auto package = package::open_folder(folder() / "copied");
  ASSERT_TRUE(package) << package.error().text();
  EXPECT_EQ(package->labels.size(), 4U);
}

TEST_F(Drafts, WhatCannotBeWritten) {
  Draft made = draft("FP32 [1,32,32,3]", "output scores FP32 [1,4]\n");
  EXPECT_THAT(failure(write_draft(made, folder() / "nothing", {}, folder() / "a", false)), HasSubstr("cannot copy"));
  EXPECT_THAT(failure(write_draft(made, folder() / "model.fake", folder() / "nothing", folder() / "b", false)),
              HasSubstr("VRG-BAS-"));
  made.metadata.model.format = wire::ModelFormat::openvino;  // Its weights stand beside it.
  EXPECT_THAT(failure(write_draft(made, folder() / "model.fake", {}, folder() / "c", false)), HasSubstr("cannot copy"));
  ASSERT_TRUE(write_file(folder() / "model.bin", std::string_view("weights")));
  EXPECT_TRUE(write_draft(made, folder() / "model.fake", {}, folder() / "d", false));
  EXPECT_TRUE(std::filesystem::exists(folder() / "d" / "model_files" / "model.bin"));
}

}  // namespace
}  // namespace verge::processing
