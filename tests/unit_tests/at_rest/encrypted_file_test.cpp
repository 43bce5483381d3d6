// The format: what was encrypted comes back, and nothing else does.
#include <algorithm>
#include <set>

#include "stored_bytes.hpp"

namespace verge::at_rest::test {
namespace {

constexpr std::size_t kFrame = kChunkBytes + kFrameExtraBytes;

class EncryptedFile : public ::testing::Test {
 protected:
  EncryptedFile() { add_key(keys_, 1); }

  /// The frames `order` of `file` behind its header.
  static Bytes arranged(const Bytes& file, std::initializer_list<std::size_t> order) {
    Bytes made(file.begin(), file.begin() + kHeaderBytes);
    for (const auto index : order) {
      const auto begin = file.begin() + static_cast<std::ptrdiff_t>(kHeaderBytes + index * kFrame);
      made.insert(made.end(), begin,
                  begin + static_cast<std::ptrdiff_t>(
                              std::min<std::size_t>(kFrame, static_cast<std::size_t>(file.end() - begin))));
    }
    return made;
  }

  DataKeys keys_;
};

TEST_F(EncryptedFile, ComesBackAtEverySizeAroundTheChunks) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, kChunkBytes - 1, kChunkBytes,
                                 kChunkBytes + 1, 3 * kChunkBytes, 3 * kChunkBytes + 77}) {
    const auto plain = content(size);
    const auto file = encrypt(plain, keys_);
    EXPECT_EQ(file.size(), stored_size(size));
    EXPECT_EQ(content_size(file.size()), size);
    const auto back = decrypted(file, keys_);
    ASSERT_TRUE(back) << size << ": " << back.error().text();
    EXPECT_EQ(*back, plain);
    if (size < 100) continue;
    const auto piece = std::span(plain).subspan(size / 2, 32);
    EXPECT_EQ(std::search(file.begin(), file.end(), piece.begin(), piece.end()), file.end())
        << "a piece of the content stands in the file";
  }
}

TEST_F(EncryptedFile, IsReadAtAnyPlace) {
  const auto plain = content(3 * kChunkBytes + 500);
  const auto file = encrypt(plain, keys_);
  auto reader = Reader::open(stored(file), keys_);
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->size_bytes(), plain.size());
  std::mt19937 random(3);
  for (int i = 0; i < 200; ++i) {
    const auto offset = random() % plain.size();
    Bytes into(std::min<std::size_t>(random() % (2 * kChunkBytes), plain.size() - offset));
    ASSERT_TRUE(reader->read(offset, into));
    ASSERT_TRUE(std::equal(into.begin(), into.end(), plain.begin() + static_cast<std::ptrdiff_t>(offset)));
  }
  Bytes two(2);
  EXPECT_EQ(reader->read(plain.size() - 1, two).error().id(), "VRG-RST-004");
  EXPECT_EQ(reader->read(~std::uint64_t{0}, two).error().id(), "VRG-RST-004");
}

TEST_F(EncryptedFile, NoTwoFilesOfTheSameContentAreAlike) {
  const auto plain = content(100);
  const auto one = encrypt(plain, keys_);
  const auto other = encrypt(plain, keys_);
  EXPECT_NE(Bytes(one.begin() + 16, one.end()), Bytes(other.begin() + 16, other.end()));
}

TEST_F(EncryptedFile, EveryFlippedByteIsNoticed) {
  auto file = encrypt(content(kChunkBytes + 300), keys_);
  for (std::size_t at = 0; at < file.size(); ++at) {
    file[at] ^= std::byte{0x10};
    const auto back = decrypted(file, keys_);
    ASSERT_FALSE(back) << "byte " << at;
    const bool named = id_of(back) == "VRG-RST-001" || id_of(back) == "VRG-RST-002" || id_of(back) == "VRG-RST-003";
    ASSERT_TRUE(named) << "byte " << at << ": " << back.error().text();
    file[at] ^= std::byte{0x10};
  }
  EXPECT_TRUE(decrypted(file, keys_));
}

TEST_F(EncryptedFile, EveryTruncationIsNoticed) {
  auto file = encrypt(content(2 * kChunkBytes + 300), keys_);
  while (!file.empty()) {
    file.pop_back();
    const auto opened = Reader::open(stored(file), keys_);
    ASSERT_FALSE(opened) << "cut to " << file.size() << " bytes, it opens with " << opened->size_bytes();
  }
}

TEST_F(EncryptedFile, ExtensionIsNoticed) {
  const auto whole = encrypt(content(2 * kChunkBytes), keys_);
  for (std::size_t added = 1; added < 300; ++added) {
    auto file = whole;
    file.resize(file.size() + added, std::byte{0});
    EXPECT_FALSE(decrypted(file, keys_));
  }
  EXPECT_FALSE(decrypted(arranged(whole, {0, 1, 1}), keys_));
  EXPECT_FALSE(decrypted(arranged(whole, {0, 1, 0}), keys_));
}

TEST_F(EncryptedFile, ChunksDoNotChangePlaces) {
  const auto file = encrypt(content(3 * kChunkBytes + 10), keys_);
  EXPECT_TRUE(decrypted(arranged(file, {0, 1, 2, 3}), keys_));
  for (const auto order : {std::initializer_list<std::size_t>{1, 0, 2, 3},
                           {0, 2, 1, 3},
                           {2, 1, 0, 3},
                           {0, 0, 2, 3},
                           {0, 1, 3},
                           {1, 2, 3},
                           {3},
                           {0, 1, 2}}) {
    EXPECT_EQ(id_of(decrypted(arranged(file, order), keys_)), "VRG-RST-001");
  }
}

TEST_F(EncryptedFile, ChunksDoNotMoveToAnotherFile) {
  const auto plain = content(2 * kChunkBytes);
  const auto one = encrypt(plain, keys_);
  const auto other = encrypt(plain, keys_);
  for (const std::size_t index : {std::size_t{0}, std::size_t{1}}) {
    auto mixed = one;
    const auto at = static_cast<std::ptrdiff_t>(kHeaderBytes + index * kFrame);
    std::copy_n(other.begin() + at, kFrame, mixed.begin() + at);
    EXPECT_EQ(id_of(decrypted(mixed, keys_)), "VRG-RST-001");
  }
  auto header = one;
  std::copy_n(other.begin(), kHeaderBytes, header.begin());
  EXPECT_EQ(id_of(decrypted(header, keys_)), "VRG-RST-001");
}

TEST_F(EncryptedFile, AnotherKeyOpensNothing) {
  const auto file = encrypt(content(100), keys_);
  DataKeys same_name;
  add_key(same_name, 1);
  EXPECT_EQ(id_of(decrypted(file, same_name)), "VRG-RST-001");
  DataKeys other;
  add_key(other, 2);
  EXPECT_EQ(id_of(decrypted(file, other)), "VRG-RST-003");
}

TEST_F(EncryptedFile, RotatedKeysOpenWhatTheyMade) {
  const auto old = encrypt(content(100), keys_);
  add_key(keys_, 2);
  const auto fresh = encrypt(content(100), keys_);
  EXPECT_NE(key_of(old), key_of(fresh));
  EXPECT_TRUE(decrypted(old, keys_));
  EXPECT_TRUE(decrypted(fresh, keys_));
  keys_.keep_only(*key_of(fresh));
  EXPECT_EQ(id_of(decrypted(old, keys_)), "VRG-RST-003");
  EXPECT_TRUE(decrypted(fresh, keys_));
}

TEST_F(EncryptedFile, NoncesDoNotComeTwice) {
  std::set<Bytes> seen;
  const auto file = encrypt(content(20 * kChunkBytes), keys_);
  for (std::size_t at = kHeaderBytes; at < file.size(); at += kFrame) {
    const auto nonce = file.begin() + static_cast<std::ptrdiff_t>(at);
    EXPECT_TRUE(seen.insert(Bytes(nonce, nonce + 12)).second);
  }
  EXPECT_EQ(seen.size(), 20U);
}

}  // namespace
}  // namespace verge::at_rest::test
