// What verge-launcher starts: the active release, the one before it, or neither.
#include "verge/launcher/releases.hpp"

#include <filesystem>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/wire/device_pointer.hpp"

namespace verge::launcher {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ReleasesTest : public testing::Test {
 protected:
  /// Installs a release with this program, and gives its digest.
  std::string install(const std::string& version, const std::string& program = "#!/bin/sh\n") {
    const auto digest = crypto::sha256(version);
    wire::InstalledAgent installed;
    installed.version = 1;
    installed.release = version;
    installed.program = "bin/verge-agent";
    wire::InstalledFile file;
    file.path = installed.program;
    file.digest = crypto::sha256(program);
    file.size_bytes = static_cast<std::int64_t>(program.size());
    installed.files = {file};
    EXPECT_TRUE(write_file(releases_.folder(digest) / file.path, std::string_view(program)));
    EXPECT_TRUE(releases_.set_installed(digest, installed));
    return digest;
  }

  void point(const std::string& which, const std::string& version) {
    wire::DevicePointer pointer;
    pointer.application = "verge-agent";
    pointer.version = version;
    pointer.target = "agents/verge-agent/" + version + ".json";
    pointer.digest = crypto::sha256(version);
    EXPECT_TRUE(write_file(state() / "applications" / "verge-agent" / (which + ".json"),
                           std::string_view(wire::write_json(wire::to_node(pointer)))));
  }

  /// The version that is chosen; "" for the agent of the system.
  std::string chosen() {
    told_.clear();
    const auto choice = releases_.choose(told_);
    if (choice) {
      EXPECT_TRUE(std::filesystem::exists(choice->program));
      EXPECT_EQ(choice->digest, crypto::sha256(choice->release));
    }
    return choice ? choice->release : "";
  }

  [[nodiscard]] const std::filesystem::path& state() const { return folder_.path(); }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-releases-"));
  Releases releases_{folder_.path()};
  std::vector<std::string> told_;
};

TEST_F(ReleasesTest, WithoutPointersTheAgentOfTheSystemIsStarted) {
  EXPECT_EQ(chosen(), "");
  EXPECT_THAT(told_, IsEmpty());
  install("1.0.0");
  EXPECT_EQ(chosen(), "") << "a release that nothing points to";
}

TEST_F(ReleasesTest, TheActiveOneIsStarted) {
  install("1.0.0");
  install("1.1.0");
  point("previous", "1.0.0");
  point("active", "1.1.0");
  EXPECT_EQ(chosen(), "1.1.0");
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(ReleasesTest, WithoutAnActiveOneThePreviousIsNot) {
  install("1.0.0");
  point("previous", "1.0.0");
  EXPECT_EQ(chosen(), "");
}

TEST_F(ReleasesTest, OneThatEndsThreeTimesGivesWay) {
  install("1.0.0");
  const auto bad = install("1.1.0");
  point("previous", "1.0.0");
  point("active", "1.1.0");
  for (int start = 1; start <= 3; ++start) {
    EXPECT_EQ(chosen(), "1.1.0") << start;
    releases_.note_start(bad);
    releases_.note_failed(bad, "ended by signal 11");
  }
  EXPECT_EQ(chosen(), "1.0.0");
  EXPECT_THAT(told_, ElementsAre(HasSubstr("ended by signal 11")));
  EXPECT_EQ(releases_.starts(bad).failed, 3);
  // Asked for anew, it is tried anew.
  releases_.forget_starts(bad);
  EXPECT_EQ(chosen(), "1.1.0");
  EXPECT_EQ(releases_.starts(bad).failed, 0);
}

TEST_F(ReleasesTest, LossesOfPowerCountForLess) {
  const auto digest = install("1.0.0");
  point("active", "1.0.0");
  for (int start = 1; start <= kMostCutOff; ++start) {
    EXPECT_EQ(chosen(), "1.0.0") << start;
    releases_.note_start(digest);
  }
  EXPECT_EQ(chosen(), "");
  EXPECT_THAT(told_, ElementsAre(HasSubstr("went off with it 10 times")));
}

TEST_F(ReleasesTest, AStartThatWasSeenToEndWasNotCutOff) {
  const auto digest = install("1.0.0");
  releases_.note_start(digest);
  releases_.note_failed(digest, "ended with status 1");
  EXPECT_EQ(releases_.starts(digest).cut_off, 0);
  releases_.note_failed(digest, "ended with status 1", kMostFailed);
  EXPECT_GE(releases_.starts(digest).failed, kMostFailed);
}

TEST_F(ReleasesTest, WhatIsNotWholeIsNotStarted) {
  install("1.0.0");
  const auto bad = install("1.1.0", "#!/bin/sh\nexec good\n");
  point("previous", "1.0.0");
  point("active", "1.1.0");
  const auto program = releases_.folder(bad) / "bin" / "verge-agent";
  for (const auto* content : {"#!/bin/sh\nexec evil\n", "", "#!/bin/sh\nexec good\n# and more than there should be"}) {
    EXPECT_TRUE(write_file(program, std::string_view(content)));
    EXPECT_EQ(chosen(), "1.0.0") << content;
    EXPECT_THAT(told_, ElementsAre(HasSubstr("VRG-LCH-001"))) << content;
    EXPECT_EQ(releases_.check(bad).error().code(), ErrorCode::data_loss);
  }
  std::filesystem::remove(program);
  EXPECT_EQ(chosen(), "1.0.0");
  // Nothing says that it is whole.
  install("1.1.0");
  std::filesystem::remove(state() / "agents" / (bad.substr(7) + ".json"));
  EXPECT_EQ(chosen(), "1.0.0");
}

TEST_F(ReleasesTest, DocumentsThatCannotBeReadAreToldAndPassedOver) {
  install("1.0.0");
  point("previous", "1.0.0");
  EXPECT_TRUE(write_file(state() / "applications" / "verge-agent" / "active.json", std::string_view("{\"version\"")));
  EXPECT_EQ(chosen(), "1.0.0");
  EXPECT_THAT(told_, ElementsAre(HasSubstr("active.json")));
}

TEST_F(ReleasesTest, APathThatLeadsOutsideIsNoRelease) {
  const auto digest = install("1.0.0");
  auto installed = *releases_.installed(digest);
  installed.files.front().path = "../../evil";
  EXPECT_TRUE(releases_.set_installed(digest, installed));
  EXPECT_EQ(releases_.check(digest).error().id(), "VRG-BAS-004");
  installed.files.front().path = "bin/verge-agent";
  installed.program = "lib/other";
  EXPECT_TRUE(releases_.set_installed(digest, installed));
  EXPECT_EQ(releases_.check(digest).error().id(), "VRG-LCH-001") << "a program that nobody has checked";
}

TEST_F(ReleasesTest, OnlyWhatIsNeededIsKept) {
  const auto one = install("1.0.0");
  const auto two = install("1.1.0");
  releases_.note_start(two);
  std::filesystem::create_directories(state() / "agents" / (two.substr(7) + ".part"));
  releases_.keep_only({one});
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(state() / "agents")) {
    left.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(left, testing::UnorderedElementsAre(one.substr(7), one.substr(7) + ".json"));
}

}  // namespace
}  // namespace verge::launcher
