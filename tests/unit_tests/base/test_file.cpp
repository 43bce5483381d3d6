#include "verge/base/file.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <fstream>

#include <gmock/gmock.h>

#include "verge/crypto/sha256.hpp"

namespace verge {
namespace {

using testing::HasSubstr;

class Files : public testing::Test {
 protected:
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-test-"));
  std::filesystem::path at(const char* name) const { return folder_.path() / name; }
};

TEST_F(Files, WritesWholeAndReadsBack) {
  ASSERT_TRUE(write_file(at("a/b/file.txt"), std::string_view("one")));
  ASSERT_TRUE(write_file(at("a/b/file.txt"), std::string_view("two")));
  EXPECT_EQ(*read_text(at("a/b/file.txt"), 100), "two");
  EXPECT_EQ(read_file(at("a/b/file.txt"), 100)->size(), 3U);
  int entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(at("a/b"))) entries += entry.exists() ? 1 : 0;
  EXPECT_EQ(entries, 1) << "no temporary file may stay";
}

TEST_F(Files, RefusesWhatIsMissingTooLargeOrNoFile) {
  EXPECT_EQ(read_file(at("none"), 10).error().code(), ErrorCode::not_found);
  ASSERT_TRUE(write_file(at("big"), std::string_view("12345678901")));
  const auto big = read_file(at("big"), 10);
  EXPECT_EQ(big.error().code(), ErrorCode::resource_exhausted);
  EXPECT_THAT(big.error().message(), HasSubstr("expected at most 10 bytes, got 11"));
  EXPECT_EQ(read_file(folder_.path(), 10).error().code(), ErrorCode::invalid_argument);
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(read_file(at("pipe"), 10).error().code(), ErrorCode::invalid_argument) << "a pipe must not block us";
}

TEST_F(Files, AFullDiskLeavesTheOldContent) {
  ASSERT_TRUE(write_file(at("kept"), std::string_view("old")));
  // A file size limit stops the write where a full disk would, without needing one.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{4096, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto written = write_file(at("kept"), std::string_view(std::string(1 << 20, 'x')));
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_FALSE(written);
  EXPECT_EQ(*read_text(at("kept"), 100), "old");
  int entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) entries += entry.exists() ? 1 : 0;
  EXPECT_EQ(entries, 1);
}

TEST(PathInside, TakesPlainRelativePathsOnly) {
  EXPECT_EQ(path_inside("/package", "golden/cat.png")->string(), "/package/golden/cat.png");
  for (const char* bad : {"", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b", "a\nb", "a/", ".."}) {
    const auto refused = path_inside("/package", bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().id(), "VRG-BAS-004");
  }
}

TEST(TemporaryFolder, GoesWithItsContent) {
  std::filesystem::path path;
  {
    auto folder = std::move(*TemporaryFolder::create("verge-test-"));
    path = folder.path();
    std::ofstream(path / "x") << "x";
    auto moved = std::move(folder);
    EXPECT_TRUE(std::filesystem::exists(moved.path() / "x"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(Files, Sha256IsThatOfTheStandard) {
  EXPECT_EQ(crypto::sha256(std::string_view("abc")),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  ASSERT_TRUE(write_file(at("abc"), std::string_view("abc")));
  const auto digest = crypto::sha256_of_file(at("abc"), 10);
  EXPECT_EQ(digest->digest, crypto::sha256(std::string_view("abc")));
  EXPECT_EQ(digest->size_bytes, 3U);
  EXPECT_EQ(crypto::sha256_of_file(at("abc"), 2).error().code(), ErrorCode::resource_exhausted);
  EXPECT_EQ(crypto::sha256_of_file(at("none"), 2).error().code(), ErrorCode::not_found);
  EXPECT_FALSE(crypto::sha256_of_file(folder_.path(), 2));
  EXPECT_TRUE(crypto::is_sha256(digest->digest));
  EXPECT_FALSE(crypto::is_sha256("sha256:xyz"));
  EXPECT_FALSE(crypto::is_sha256("sha512:" + digest->digest.substr(7)));
}

}  // namespace
}  // namespace verge
