#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/crypto/digest.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/crypto/sha512.hpp"

namespace verge::crypto {
namespace {

TEST(Digest, IsThatOfFips180) {
  EXPECT_EQ(sha256("abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha512("abc"),
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

TEST(Digest, InPiecesIsThatOfTheWhole) {
  Sha256 digest;
  digest.update(std::as_bytes(std::span("a", 1)));
  digest.update({});
  digest.update(std::as_bytes(std::span("bc", 2)));
  EXPECT_EQ(digest.finish(), sha256("abc"));
}

TEST(Digest, OfAFileIsThatOfItsContent) {
  const auto folder = std::move(*TemporaryFolder::create("digest"));
  const std::string content(200'000, 'x');
  ASSERT_TRUE(write_file(folder.path() / "file", std::string_view(content)));
  const auto got = digest_of_file(DigestAlgorithm::sha512, folder.path() / "file", content.size());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->digest, sha512(content));
  EXPECT_EQ(got->size_bytes, content.size());
  EXPECT_EQ(sha256_of_file(folder.path() / "file", content.size() - 1).error().id(), "VRG-BAS-003");
  EXPECT_EQ(sha256_of_file(folder.path() / "none", 1).error().code(), ErrorCode::not_found);
}

TEST(Digest, IsStrict) {
  EXPECT_EQ(algorithm_of(sha256("x")), DigestAlgorithm::sha256);
  EXPECT_EQ(algorithm_of(sha512("x")), DigestAlgorithm::sha512);
  const std::string hex(64, 'a');
  for (const auto& bad : {std::string(), std::string("sha256"), "sha256:" + hex + "a", "sha512:" + hex, "sha384:" + hex,
                          "SHA256:" + hex, "sha256:" + std::string(64, 'A'), "sha256:" + std::string(64, 'g'),
                          "sha512:" + hex + std::string(64, '/'), " sha256:" + hex, "sha256:" + hex + ":"}) {
    EXPECT_FALSE(is_digest(bad)) << bad;
  }
}

TEST(Digest, IsKnownByItsForm) {
  EXPECT_TRUE(is_sha256(sha256("x")));
  EXPECT_FALSE(is_sha256(sha512("x")));
  EXPECT_FALSE(is_sha256("sha256:" + std::string(63, 'a')));
  EXPECT_FALSE(is_sha256("sha256:" + std::string(64, 'A')));
}

}  // namespace
}  // namespace verge::crypto
