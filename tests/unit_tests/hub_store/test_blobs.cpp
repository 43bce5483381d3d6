// Files of blobs and uploads.
#include "verge/hub/blobs.hpp"

#include <fstream>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"

namespace verge::hub {
namespace {

using crypto::DigestAlgorithm;

class HubBlobs : public testing::TestWithParam<DigestAlgorithm> {
 protected:
  Result<void> append(const char* id, std::string_view content) {
    if (auto written = write_file(folder_.path() / "piece", content); !written) return written;
    return blobs_.append(id, folder_.path() / "piece", true);
  }
  std::string digest(std::string_view content) const { return crypto::digest(GetParam(), content); }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("blobs"));
  Blobs blobs_ = std::move(*Blobs::open(folder_.path()));
};

TEST_P(HubBlobs, AreCheckedBeforeTheyCount) {
  ASSERT_TRUE(blobs_.begin_upload("u"));
  for (const char* piece : {"first ", "second ", "third"}) ASSERT_TRUE(append("u", piece));
  EXPECT_EQ(blobs_.upload_size_bytes("u"), 18U);
  const auto whole = digest("first second third");
  EXPECT_EQ(blobs_.verify("u", digest("other")).error().id(), "VRG-HUB-004");
  ASSERT_TRUE(blobs_.verify("u", whole));
  EXPECT_FALSE(blobs_.has(whole));
  ASSERT_TRUE(blobs_.adopt("u", whole));
  EXPECT_EQ(*blobs_.read(whole, 100), "first second third");
  EXPECT_EQ(*blobs_.size_bytes(whole), 18U);
  EXPECT_EQ(blobs_.upload_size_bytes("u"), 18U) << "it stays until the database knows the blob";
  blobs_.drop("u");
  EXPECT_EQ(blobs_.upload_size_bytes("u"), 0U);
  ASSERT_TRUE(Blobs::remove(blobs_.path(whole)));
  EXPECT_FALSE(blobs_.has(whole));
  EXPECT_TRUE(Blobs::remove(blobs_.path(whole))) << "removed already";
}

TEST_P(HubBlobs, LieByAlgorithm) {
  const auto digest = *blobs_.write("small", GetParam());
  EXPECT_EQ(digest, crypto::digest(GetParam(), "small"));
  const auto colon = digest.find(':');
  EXPECT_EQ(blobs_.path(digest), folder_.path() / "blobs" / digest.substr(0, colon) / digest.substr(colon + 1));
  EXPECT_TRUE(std::filesystem::exists(blobs_.path(digest)));
}

TEST_P(HubBlobs, UploadsAreCutBack) {
  ASSERT_TRUE(blobs_.begin_upload("u"));
  ASSERT_TRUE(append("u", "good"));
  ASSERT_TRUE(append("u", " and bad"));
  ASSERT_TRUE(blobs_.cut("u", 4));
  EXPECT_TRUE(blobs_.verify("u", digest("good")));
  blobs_.drop("u");
  EXPECT_FALSE(blobs_.verify("u", digest("good")));
}

TEST_P(HubBlobs, AreListedWithWhatACrashLeft) {
  const auto digest = *blobs_.write("content", GetParam());
  std::ofstream(blobs_.path(digest).parent_path() / ".0123.Ab12Cd") << "half";
  auto listed = *blobs_.list();
  ASSERT_EQ(listed.size(), 2U);
  std::ranges::sort(listed, {}, &Blobs::Entry::digest);
  EXPECT_EQ(listed[0].digest, "");
  EXPECT_EQ(listed[0].size_bytes, 4U);
  EXPECT_EQ(listed[1].digest, digest);
  EXPECT_EQ(listed[1].size_bytes, 7U);
  EXPECT_EQ(listed[1].file, blobs_.path(digest));
}

TEST_P(HubBlobs, AreFoundByDigestsOnly) {
  for (const char* name : {"sha256:../../etc/passwd", "sha384:00", "", "sha512:", "SHA256:00"}) {
    EXPECT_FALSE(blobs_.has(name)) << name;
    EXPECT_EQ(blobs_.size_bytes(name).error().id(), "VRG-HUB-003") << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Algorithms, HubBlobs, testing::Values(DigestAlgorithm::sha256, DigestAlgorithm::sha512),
                         [](const auto& test) { return std::string(crypto::name(test.param)); });

}  // namespace
}  // namespace verge::hub
