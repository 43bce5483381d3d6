// The store on a real disk, and downloads that go on where they broke off.
#include <algorithm>

#include "bench.hpp"

#include "content_store.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/update/disk_files.hpp"

namespace verge::update::test {
namespace {

class OnDisk : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-update-"));
  DiskFiles files_{folder_.path()};

  static std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
};

TEST_F(OnDisk, ReadsWhatWasWritten) {
  ASSERT_TRUE(files_.write("a/b/c.json", "one"));
  ASSERT_TRUE(files_.write("a/b/c.json", "two"));
  EXPECT_EQ(files_.read("a/b/c.json", 100).value(), "two");
  EXPECT_EQ(files_.size("a/b/c.json").value(), 3U);
  EXPECT_EQ(files_.digest("a/b/c.json").value(), crypto::sha256("two"));
  EXPECT_FALSE(files_.read("a/b/c.json", 2));
  for (const auto& error :
       {files_.read("none", 10).error(), files_.size("none").error(), files_.sync("none").error()}) {
    EXPECT_EQ(error.code(), ErrorCode::not_found) << error.text();
  }
  EXPECT_GT(files_.free_bytes(), 0U);
}

TEST_F(OnDisk, AppendsToWhatIsThere) {
  ASSERT_TRUE(files_.append("store/partial/x", bytes("begin ")));
  ASSERT_TRUE(files_.append("store/partial/x", bytes("end")));
  ASSERT_TRUE(files_.sync("store/partial/x"));
  EXPECT_EQ(files_.read("store/partial/x", 100).value(), "begin end");
  ASSERT_TRUE(files_.append("empty", {}));
  EXPECT_EQ(files_.size("empty").value(), 0U);
}

TEST_F(OnDisk, RenamesFilesAndFoldersOverWhatIsThere) {
  ASSERT_TRUE(files_.write("a", "new"));
  ASSERT_TRUE(files_.write("deep/b", "old"));
  ASSERT_TRUE(files_.rename("a", "deep/b"));
  EXPECT_EQ(files_.read("deep/b", 10).value(), "new");
  ASSERT_TRUE(files_.write("part/x/y", "inside"));
  std::filesystem::create_directories(files_.path("whole"));
  ASSERT_TRUE(files_.rename("part", "whole"));
  EXPECT_EQ(files_.read("whole/x/y", 10).value(), "inside");
  EXPECT_EQ(files_.rename("none", "some").error().code(), ErrorCode::not_found);
}

TEST_F(OnDisk, ALinkIsTheSameFile) {
  ASSERT_TRUE(files_.write("blob", "content"));
  ASSERT_TRUE(files_.link("blob", "packages/p/file"));
  ASSERT_TRUE(files_.link("blob", "packages/p/file")) << "again changes nothing";
  EXPECT_TRUE(files_.same("blob", "packages/p/file"));
  ASSERT_TRUE(files_.write("other", "content"));
  EXPECT_FALSE(files_.same("blob", "other")) << "the same content is not the same file";
  EXPECT_FALSE(files_.same("blob", "none"));
  EXPECT_FALSE(files_.link("none", "packages/p/other"));
  ASSERT_TRUE(files_.remove("blob"));
  EXPECT_EQ(files_.read("packages/p/file", 10).value(), "content");
}

TEST_F(OnDisk, RemovesAndLists) {
  ASSERT_TRUE(files_.write("f/b", "1"));
  ASSERT_TRUE(files_.write("f/a/x", "2"));
  EXPECT_EQ(files_.list("f").value(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(files_.list("none").value().empty());
  ASSERT_TRUE(files_.remove("f"));
  ASSERT_TRUE(files_.remove("f")) << "what is not there is no error";
  EXPECT_TRUE(files_.list("f").value().empty());
}

TEST_F(OnDisk, WhatACutOffWriteHasLeftIsReplacedAndRemoved) {
  ASSERT_TRUE(files_.append("f/.a.json.part", bytes("half")));
  ASSERT_TRUE(files_.append("f/.b.json.part", bytes("half")));
  ASSERT_TRUE(files_.write("f/a.json", "whole"));
  EXPECT_EQ(files_.read("f/a.json", 10).value(), "whole");
  EXPECT_EQ(files_.list("f").value(), (std::vector<std::string>{".b.json.part", "a.json"}));
  files_.remove_unfinished("f");
  files_.remove_unfinished("none");
  EXPECT_EQ(files_.list("f").value(), std::vector<std::string>{"a.json"});
}

TEST_F(OnDisk, AFolderThatVanishedIsMadeAgain) {
  ASSERT_TRUE(files_.write("f/g/a", "1"));
  ASSERT_TRUE(files_.append("p/q/b", bytes("1")));
  std::filesystem::remove_all(files_.path("f"));
  std::filesystem::remove_all(files_.path("p"));
  EXPECT_TRUE(files_.write("f/g/a", "2"));
  EXPECT_TRUE(files_.append("p/q/b", bytes("2")));
  EXPECT_EQ(files_.read("f/g/a", 10).value() + files_.read("p/q/b", 10).value(), "22");
}

TEST_F(OnDisk, AFullDiskIsToldAsSuch) {
  std::filesystem::create_symlink("/dev/full", files_.path("full"));
  const auto failed = files_.append("full", bytes("x"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), ErrorCode::resource_exhausted);
  EXPECT_EQ(failed.error().id(), "VRG-BAS-002");
  EXPECT_NE(failed.error().text().find("free some space"), std::string::npos);
}

/// Gives a content piece by piece, and breaks off where it is told to.
class Pieces final : public Network {
 public:
  explicit Pieces(std::string content) : content_(std::move(content)) {}
  Result<std::string> fetch(std::string_view, std::uint64_t) override { return network_error(); }
  Result<std::vector<DeltaOffer>> deltas(const std::string&) override { return std::vector<DeltaOffer>{}; }
  Result<void> blob(const std::string&, std::uint64_t offset,
                    const std::function<Result<void>(std::span<const std::byte>)>& sink) override {
    offsets.push_back(offset);
    const auto end = std::min(content_.size(), offset + limit);
    const auto piece = content_.substr(offset, end - offset);
    VERGE_TRY(sink(std::as_bytes(std::span(piece))));
    if (end < content_.size()) return network_error();
    return {};
  }
  std::vector<std::uint64_t> offsets;
  std::size_t limit = 1000;

 private:
  std::string content_;
};

TEST_F(OnDisk, ADownloadGoesOnAtTheByte) {
  const std::string content(2500, 'v');
  const BlobOrder order{crypto::sha256(content), content.size()};
  ContentStore store(files_);
  Pieces network(content);
  std::uint64_t fetched = 0;
  EXPECT_EQ(store.fetch(order, network, fetched).error().code(), ErrorCode::unavailable);
  EXPECT_EQ(store.bytes_there(order), 1000U);
  EXPECT_FALSE(store.fetch(order, network, fetched));
  EXPECT_TRUE(store.fetch(order, network, fetched));
  EXPECT_EQ(network.offsets, (std::vector<std::uint64_t>{0, 1000, 2000}));
  EXPECT_EQ(fetched, content.size());
  EXPECT_FALSE(store.has(order)) << "not before it is checked";
  EXPECT_TRUE(store.check(order));
  EXPECT_TRUE(store.has(order));
  EXPECT_TRUE(store.fetch(order, network, fetched));
  EXPECT_EQ(network.offsets.size(), 3U) << "what is here is not asked for";
}

TEST_F(OnDisk, WhatIsNotWhatWasSignedLeavesTheStore) {
  const std::string content(100, 'v');
  ContentStore store(files_);
  Pieces network(content);
  std::uint64_t fetched = 0;
  const BlobOrder other{crypto::sha256("another"), content.size()};
  ASSERT_TRUE(store.fetch(other, network, fetched));
  const auto checked = store.check(other);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().id(), "VRG-UPD-004");
  EXPECT_EQ(store.bytes_there(other), 0U);
  // More than was signed is cut off as it comes.
  const auto too_long = store.fetch({crypto::sha256("short"), 10}, network, fetched);
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().id(), "VRG-UPD-003");
  EXPECT_EQ(too_long.error().code(), ErrorCode::data_loss);
}

TEST_F(OnDisk, OnlyWhatIsNamedIsKept) {
  ContentStore store(files_);
  const auto kept = crypto::sha256("kept");
  const auto dropped = crypto::sha256("dropped");
  for (const auto& digest : {kept, dropped}) {
    ASSERT_TRUE(files_.write(ContentStore::blob_name(digest), "x"));
    ASSERT_TRUE(files_.write(ContentStore::package_folder(digest) + "/metadata.json", "x"));
  }
  store.keep_only({kept}, {kept});
  EXPECT_TRUE(files_.size(ContentStore::blob_name(kept)));
  EXPECT_TRUE(files_.size(ContentStore::package_folder(kept) + "/metadata.json"));
  EXPECT_FALSE(files_.size(ContentStore::blob_name(dropped)));
  EXPECT_TRUE(files_.list("store/packages").value().size() == 1);
}

TEST(Download, AnUpdateGoesOnAtTheByteAfterTheAgentWasKilledAndTheNetworkIsStillAway) {
  Bench bench;
  bench.commit();
  bench.network.cut_after_pieces = 5;
  bench.want(version(Quality::good, 1));
  bench.run_to(Step::downloading);
  while (bench.network.cut_after_pieces > 0) bench.step();
  bench.updater.reset();
  bench.start();
  // The store is tidied meanwhile.
  bench.network.fault = failing("metadata", "", network_error());
  for (int i = 0; i < 3; ++i) bench.step();
  EXPECT_EQ(bench.record().step, Step::pending);
  bench.network.fault = nullptr;
  bench.network.asked.clear();
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::committed) << bench.reason();
  EXPECT_TRUE(std::ranges::any_of(bench.network.asked, [](const auto& asked) { return asked.second > 0; }));
}

TEST(Download, AnUpdateGoesOnAtTheByteAfterTheNetworkBroke) {
  Bench bench;
  bench.commit();
  bench.network.asked.clear();
  bench.network.cut_after_pieces = 5;
  bench.network.change_offers = [](std::vector<DeltaOffer>& offers) { offers.clear(); };
  bench.want(version(Quality::good, 1));
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::committed);
  bool resumed = false;
  for (const auto& [digest, offset] : bench.network.asked) resumed = resumed || offset > 0;
  EXPECT_TRUE(resumed);
  EXPECT_EQ(bench.record().progress.bytes_fetched.value() + bench.record().progress.bytes_reused.value(),
            bench.record().progress.bytes_total.value());
}

}  // namespace
}  // namespace verge::update::test
