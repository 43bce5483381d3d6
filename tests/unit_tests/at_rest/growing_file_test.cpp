// Files that grow: a run of the program ends anywhere, and the next one goes on.
#include <algorithm>

#include "stored_bytes.hpp"

namespace verge::at_rest::test {
namespace {

class Growing : public ::testing::Test {
 protected:
  Growing() { add_key(keys_, 1); }

  static std::span<const std::byte> from(const Bytes& plain, std::uint64_t offset) {
    return std::span(plain).subspan(static_cast<std::size_t>(offset));
  }
  /// What is stored of `plain` when it comes in pieces, and is not finished.
  Bytes unfinished(const Bytes& plain, std::size_t piece) {
    Bytes file;
    auto growing = GrowingFile::begin(keys_);
    for (std::size_t at = 0; at < plain.size(); at += piece) {
      EXPECT_TRUE(growing.append(std::span(plain).subspan(at, std::min(piece, plain.size() - at)), to(file)));
      EXPECT_EQ(growing.stored_bytes(), file.size());
    }
    EXPECT_EQ(growing.size_bytes(), plain.size());
    return file;
  }

  DataKeys keys_;
};

TEST_F(Growing, InPiecesOfAnySizeGivesTheSameContent) {
  const auto plain = content(2 * kChunkBytes + 123);
  for (const std::size_t piece : {std::size_t{100}, std::size_t{4096}, kChunkBytes, kChunkBytes + 1, plain.size()}) {
    Bytes file;
    auto growing = GrowingFile::begin(keys_);
    for (std::size_t at = 0; at < plain.size(); at += piece) {
      ASSERT_TRUE(growing.append(std::span(plain).subspan(at, std::min(piece, plain.size() - at)), to(file)));
    }
    ASSERT_TRUE(growing.finish(to(file)));
    EXPECT_EQ(decrypted(file, keys_), plain);
  }
}

TEST_F(Growing, WhatIsNotFinishedOpensAsNoWholeFile) {
  EXPECT_FALSE(decrypted(unfinished(content(3 * kChunkBytes), 4096), keys_));
  EXPECT_FALSE(decrypted(unfinished({}, 1), keys_));
}

TEST_F(Growing, GoesOnFromEveryTornLength) {
  const auto plain = content(2 * kChunkBytes + 200);
  Bytes whole = unfinished(plain, 5000);
  {
    auto growing = GrowingFile::resume(stored(whole), keys_);
    ASSERT_TRUE(growing);
    ASSERT_TRUE(growing->append(from(plain, growing->size_bytes()), to(whole)));
    ASSERT_TRUE(growing->finish(to(whole)));
  }
  ASSERT_EQ(decrypted(whole, keys_), plain);
  for (std::size_t size = 0; size <= whole.size(); size += size < 200 || size + 300 > whole.size() ? 1U : 311U) {
    Bytes torn(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    auto growing = GrowingFile::resume(stored(torn), keys_);
    if (size < kHeaderBytes) {
      ASSERT_EQ(growing.error().id(), "VRG-RST-002");
      continue;
    }
    ASSERT_TRUE(growing) << growing.error().text();
    ASSERT_EQ(growing->is_finished(), size == whole.size());
    if (size + 1 < whole.size()) {
      ASSERT_EQ(growing->size_bytes(), (size - kHeaderBytes) / (kChunkBytes + 28) * kChunkBytes);
    }
    torn.resize(static_cast<std::size_t>(growing->stored_bytes()));
    if (!growing->is_finished()) {
      ASSERT_TRUE(growing->append(from(plain, growing->size_bytes()), to(torn)));
      ASSERT_TRUE(growing->finish(to(torn)));
    }
    ASSERT_EQ(decrypted(torn, keys_), plain) << "torn at " << size;
  }
}

TEST_F(Growing, TornSectorsEndWhatIsGood) {
  const auto plain = content(3 * kChunkBytes);
  auto file = unfinished(plain, 4096);
  // As a loss of power leaves them: of the right size, and empty.
  std::fill(file.begin() + kHeaderBytes + kChunkBytes + 1000, file.begin() + kHeaderBytes + kChunkBytes + 1512,
            std::byte{0});
  auto growing = GrowingFile::resume(stored(file), keys_);
  ASSERT_TRUE(growing);
  EXPECT_EQ(growing->size_bytes(), kChunkBytes);
  EXPECT_FALSE(growing->is_finished());
}

TEST_F(Growing, AChunkThatIsSealedAgainHasAnotherNonce) {
  const auto plain = content(100);
  Bytes first;
  auto growing = GrowingFile::begin(keys_);
  ASSERT_TRUE(growing.append(plain, to(first)));
  ASSERT_TRUE(growing.finish(to(first)));
  auto again = GrowingFile::resume(stored(first), keys_);
  ASSERT_TRUE(again);
  again->reopen();
  EXPECT_EQ(again->stored_bytes(), kHeaderBytes);
  EXPECT_EQ(again->size_bytes(), plain.size());
  Bytes second(first.begin(), first.begin() + kHeaderBytes);
  const auto more = content(50, 2);
  ASSERT_TRUE(again->append(more, to(second)));
  ASSERT_TRUE(again->finish(to(second)));
  auto expected = plain;
  expected.insert(expected.end(), more.begin(), more.end());
  EXPECT_EQ(decrypted(second, keys_), expected);
  EXPECT_FALSE(
      std::equal(first.begin() + kHeaderBytes, first.begin() + kHeaderBytes + 12, second.begin() + kHeaderBytes));
}

TEST_F(Growing, IsReadWhileItGrows) {
  const auto plain = content(kChunkBytes + 500);
  Bytes file;
  auto growing = GrowingFile::begin(keys_);
  ASSERT_TRUE(growing.append(plain, to(file)));
  auto reader = growing.reader(stored(file));
  Bytes all(plain.size());
  ASSERT_TRUE(reader.read(0, all));
  EXPECT_EQ(all, plain);
}

TEST_F(Growing, AnErrorOfTheDiskIsHandedOn) {
  auto growing = GrowingFile::begin(keys_);
  const auto full = [](std::span<const std::byte>) -> Result<void> {
    return Error(ErrorCode::resource_exhausted, "VRG-BAS-002", "full");
  };
  EXPECT_EQ(growing.append(content(10), full).error().id(), "VRG-BAS-002");
  EXPECT_EQ(growing.finish(full).error().id(), "VRG-BAS-002");
  EXPECT_FALSE(growing.is_finished());
}

}  // namespace
}  // namespace verge::at_rest::test
