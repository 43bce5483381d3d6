#include <algorithm>
#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/processing/engine.hpp"

namespace verge::processing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(EngineCatalogue, ListsWhatIsThere) {
  EngineCatalogue catalogue(default_engine_folder());
  EXPECT_THAT(catalogue.names(), Contains("fake"));
  EXPECT_THAT(EngineCatalogue("/nowhere").names(), IsEmpty());
}

TEST(EngineCatalogue, TellsOfAnEngine) {
  EngineCatalogue catalogue(default_engine_folder());
  const auto info = catalogue.info("fake");
  ASSERT_TRUE(info) << info.error().text();
  EXPECT_EQ(info->name, "fake");
  EXPECT_THAT(info->formats, ElementsAre("fake"));
  EXPECT_TRUE(std::filesystem::exists(info->library));
}

TEST(EngineCatalogue, UnknownEngineNamesTheNearest) {
  EngineCatalogue catalogue(default_engine_folder());
  const auto info = catalogue.info("fkae");
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code(), ErrorCode::not_found);
  EXPECT_EQ(info.error().id(), "VRG-ENG-001");
  EXPECT_THAT(info.error().message(), HasSubstr("did you mean 'fake'?"));
  EXPECT_EQ(EngineCatalogue("/nowhere").info("fake").error().id(), "VRG-ENG-001");
}

TEST(EngineCatalogue, ANameIsNoPath) {
  EngineCatalogue catalogue(default_engine_folder());
  for (const char* name : {"../engines/fake", "", "FAKE", "fake.so", "a\nb"}) {
    EXPECT_EQ(catalogue.info(name).error().id(), "VRG-ENG-001") << name;
  }
}

TEST(EngineCatalogue, OtherAbiIsRefused) {
  EngineCatalogue catalogue(VERGE_ODD_ENGINE_FOLDER);
  for (const char* name : {"refuses_abi", "other_abi", "half_table"}) {
    const auto info = catalogue.info(name);
    ASSERT_FALSE(info) << name;
    EXPECT_EQ(info.error().code(), ErrorCode::failed_precondition) << name;
    EXPECT_EQ(info.error().id(), "VRG-ENG-002");
  }
  EXPECT_THAT(catalogue.info("other_abi").error().message(), HasSubstr("expected 1, got 2"));
}

TEST(EngineCatalogue, WhatDoesNotLoadIsNamed) {
  auto folder = TemporaryFolder::create("verge_catalogue");
  ASSERT_TRUE(folder);
  std::ofstream(folder->path() / "libverge_engine_broken.so") << "no library";
  EngineCatalogue catalogue(folder->path());
  EXPECT_THAT(catalogue.names(), ElementsAre("broken"));
  const auto info = catalogue.info("broken");
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code(), ErrorCode::unavailable);
  EXPECT_EQ(info.error().id(), "VRG-ENG-003");
  EXPECT_THAT(info.error().message(), HasSubstr("engine 'broken' is not usable"));
}

// A plug-in whose vendor's library is gone: a copy elsewhere, whose run path is made to lead nowhere.
TEST(EngineCatalogue, MissingVendorLibraryIsANamedError) {
  struct Vendor {
    std::string engine;
    std::string format;
    std::string library;
  };
  EngineCatalogue built(default_engine_folder());
  for (const Vendor& vendor :
       {Vendor{"litert", "tflite", "libLiteRt.so"}, Vendor{"openvino", "onnx", "libopenvino.so"}}) {
    const auto names = built.names();
    if (std::find(names.begin(), names.end(), vendor.engine) == names.end()) continue;
    auto folder = TemporaryFolder::create("verge_catalogue");
    ASSERT_TRUE(folder);
    const std::string file = "libverge_engine_" + vendor.engine + ".so";
    auto content = read_text(default_engine_folder() / file, std::uint64_t{1} << 26U);
    ASSERT_TRUE(content);
    if (const std::size_t at = content->find("/openvino/libs"); at != std::string::npos) {
      content->replace(at, 14, "/openvino/none");
    }
    std::ofstream(folder->path() / file, std::ios::binary) << *content;
    const auto model = folder->path() / ("model." + vendor.format);
    std::ofstream(model) << "anything";

    EngineCatalogue catalogue(folder->path());
    SessionOptions options;
    options.format = vendor.format;
    const auto session = catalogue.load(vendor.engine, model, options);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code(), ErrorCode::unavailable) << session.error().text();
    EXPECT_THAT(session.error().message(), HasSubstr("engine '" + vendor.engine + "' is not usable"));
    EXPECT_THAT(session.error().message(), HasSubstr(vendor.library));
  }
}

TEST(EngineCatalogue, EnvironmentNamesTheFolder) {
  ::setenv("VERGE_ENGINE_PATH", "/some/where", 1);
  EXPECT_EQ(default_engine_folder(), "/some/where");
  ::unsetenv("VERGE_ENGINE_PATH");
  EXPECT_TRUE(std::filesystem::is_directory(default_engine_folder()));
}

}  // namespace
}  // namespace verge::processing
