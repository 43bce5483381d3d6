// Updates by delta: little travels, and no delta can spoil one.
#include <algorithm>

#include "bench.hpp"

#include "content_store.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::update::test {
namespace {

const std::string kModelFile = "model_files/model.bin";

/// A good version, the good one before it, and the delta between them; made of versions that follow one another.
struct Pair {
  const simulator::Version* before = nullptr;
  const simulator::Version* after = nullptr;
  DeltaOffer offer;
};

Pair pair() {
  const auto& versions = hub().versions();
  for (std::size_t i = 1; i < versions.size(); ++i) {
    if (versions[i].quality != Quality::good || versions[i - 1].quality != Quality::good) continue;
    if (versions[i].files.at(kModelFile).size() < 3000) continue;
    for (const auto& offer : hub().deltas(versions[i].desired.digest)) {
      if (offer.size_bytes * 4 < versions[i].files.at(kModelFile).size())
        return {&versions[i - 1], &versions[i], offer};
    }
  }
  throw std::runtime_error("the hub has no two good versions that are much alike");
}

class DeltaUse : public ::testing::Test {
 protected:
  void SetUp() override {
    bench_.want(*pair_.before);
    bench_.run_to_end();
    ASSERT_EQ(bench_.record().step, Step::committed) << bench_.reason();
    bench_.network.asked.clear();
  }
  void update() {
    bench_.want(*pair_.after);
    bench_.run_to_end();
    ASSERT_EQ(bench_.record().step, Step::committed) << bench_.reason();
    const auto* there = bench_.files.disk.peek(ContentStore::blob_name(pair_.offer.to));
    ASSERT_NE(there, nullptr);
    EXPECT_EQ(crypto::sha256(*there), pair_.offer.to);
  }
  [[nodiscard]] bool asked_for(const std::string& digest) const {
    return std::ranges::find(bench_.network.asked, digest, &std::pair<std::string, std::uint64_t>::first) !=
           bench_.network.asked.end();
  }
  [[nodiscard]] std::int64_t spared() const { return bench_.record().progress.bytes_spared.value_or(0); }
  [[nodiscard]] std::vector<std::string> partial_files() const {
    return bench_.files.disk.files_below("store/partial");
  }

  Pair pair_ = pair();
  Bench bench_;
};

TEST_F(DeltaUse, FetchesTheDeltaAndNotTheFile) {
  update();
  EXPECT_TRUE(asked_for(pair_.offer.digest));
  EXPECT_FALSE(asked_for(pair_.offer.to));
  const auto whole = pair_.after->files.at(kModelFile).size();
  EXPECT_EQ(spared(), static_cast<std::int64_t>(whole - pair_.offer.size_bytes));
  EXPECT_TRUE(partial_files().empty());
}

TEST_F(DeltaUse, ADeltaGoesOnWhereItBrokeOff) {
  bench_.network.change_offers = [](auto&) {};
  bench_.want(*pair_.after);
  bench_.run_to(Step::downloading);
  int cuts = 0;
  bench_.network.fault = [&](std::string_view operation, const std::string& digest) -> Result<void> {
    if (operation == "blob" && digest == pair_.offer.digest && cuts++ == 0) bench_.network.cut_after_pieces = 1;
    return {};
  };
  bench_.run_to_end();
  ASSERT_EQ(bench_.record().step, Step::committed) << bench_.reason();
  std::vector<std::uint64_t> offsets;
  for (const auto& [digest, offset] : bench_.network.asked) {
    if (digest == pair_.offer.digest) offsets.push_back(offset);
  }
  const std::uint64_t piece = 256;
  if (pair_.offer.size_bytes > piece) {
    EXPECT_EQ(offsets, (std::vector<std::uint64_t>{0, piece}));
  } else {
    EXPECT_EQ(offsets, (std::vector<std::uint64_t>{0}));
  }
  EXPECT_FALSE(asked_for(pair_.offer.to));
}

TEST_F(DeltaUse, WhatIsNoDeltaIsGivenUpForTheWholeFile) {
  for (const std::string& digest : {pair_.offer.from, pair_.offer.to, pair_.after->desired.digest}) {
    Bench bench;
    bench.want(*pair_.before);
    bench.run_to_end();
    bench.network.change_offers = [&](std::vector<DeltaOffer>& offers) {
      for (auto& offer : offers) {
        offer.digest = digest;
        offer.size_bytes = std::min(hub().blob(digest)->size(), hub().blob(offer.to)->size() - 1);
      }
    };
    bench.network.asked.clear();
    bench.want(*pair_.after);
    bench.run_to_end();
    EXPECT_EQ(bench.record().step, Step::committed) << bench.reason();
    EXPECT_TRUE(std::ranges::any_of(bench.network.asked, [&](const auto& one) { return one.first == pair_.offer.to; }));
    EXPECT_FALSE(bench.record().progress.bytes_spared);
  }
}

TEST_F(DeltaUse, ADeltaToAnotherFileIsGivenUpForTheWholeFile) {
  // A good delta from the right file, but to something that nobody signed.
  const auto other = std::ranges::find_if(hub().versions(), [&](const simulator::Version& version) {
    const auto offers = hub().deltas(version.desired.digest);
    return &version != pair_.after && !offers.empty();
  });
  ASSERT_NE(other, hub().versions().end());
  const auto wrong = hub().deltas(other->desired.digest).front();
  bench_.network.change_offers = [&](std::vector<DeltaOffer>& offers) {
    for (auto& offer : offers) {
      offer.digest = wrong.digest;
      offer.size_bytes = std::min(wrong.size_bytes, hub().blob(offer.to)->size() - 1);
    }
  };
  update();
  EXPECT_TRUE(asked_for(pair_.offer.to));
  EXPECT_EQ(spared(), 0);
}

TEST_F(DeltaUse, NoDeltaIsFetchedThatSparesNothingOrStartsFromWhatIsNotHere) {
  for (const bool too_large : {true, false}) {
    Bench bench;
    bench.want(*pair_.before);
    bench.run_to_end();
    bench.network.change_offers = [&](std::vector<DeltaOffer>& offers) {
      for (auto& offer : offers) {
        if (too_large) offer.size_bytes = hub().blob(offer.to)->size();
        if (!too_large) offer.from = crypto::sha256("not here");
      }
    };
    bench.network.asked.clear();
    bench.want(*pair_.after);
    bench.run_to_end();
    EXPECT_EQ(bench.record().step, Step::committed);
    EXPECT_FALSE(
        std::ranges::any_of(bench.network.asked, [&](const auto& one) { return one.first == pair_.offer.digest; }));
  }
}

TEST_F(DeltaUse, AHubWithoutDeltasIsNoObstacle) {
  bench_.network.fault = failing("deltas", "", Error(ErrorCode::not_found, "VRG-HTC-009", "no such path"));
  update();
  EXPECT_TRUE(asked_for(pair_.offer.to));
}

TEST_F(DeltaUse, TheFirstVersionAsksForNone) {
  Bench bench;
  bench.network.fault = failing("deltas", "", Error(ErrorCode::internal, "VRG-TST-001", "asked for deltas"));
  int asked = 0;
  bench.network.change_offers = [&](auto&) { ++asked; };
  bench.want(*pair_.before);
  bench.run_to_end();
  EXPECT_EQ(asked, 0);
  EXPECT_EQ(bench.record().step, Step::committed);
}

TEST_F(DeltaUse, AFullDiskIsNotTheDeltasFault) {
  bench_.want(*pair_.after);
  bench_.run_to(Step::downloading);
  bench_.files.fault = failing("append", ContentStore::blob_name(pair_.offer.to).substr(19),
                               Error(ErrorCode::resource_exhausted, "VRG-BAS-002", "the disk is full"));
  bench_.step();
  bench_.files.fault = nullptr;
  bench_.run_to_end();
  ASSERT_EQ(bench_.record().step, Step::committed) << bench_.reason();
  EXPECT_FALSE(asked_for(pair_.offer.to));
}

TEST_F(DeltaUse, WhatALossOfPowerTearsOfTheResultIsMadeAgain) {
  bench_.want(*pair_.after);
  bench_.run_to(Step::downloading);
  // The delta is here, and a part of what it makes.
  bench_.files.fault = failing("append", ContentStore::blob_name(pair_.offer.to).substr(19), disk_error());
  bench_.step();
  bench_.files.fault = nullptr;
  bench_.crash();
  bench_.send();
  bench_.run_to_end();
  ASSERT_EQ(bench_.record().step, Step::committed) << bench_.reason();
  EXPECT_EQ(crypto::sha256(*bench_.files.disk.peek(ContentStore::blob_name(pair_.offer.to))), pair_.offer.to);
}

}  // namespace
}  // namespace verge::update::test
