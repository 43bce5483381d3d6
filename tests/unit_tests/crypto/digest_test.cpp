#include <gtest/gtest.h>

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

TEST(Digest, IsKnownByItsForm) {
  EXPECT_TRUE(is_sha256(sha256("x")));
  EXPECT_FALSE(is_sha256(sha512("x")));
  EXPECT_FALSE(is_sha256("sha256:" + std::string(63, 'a')));
  EXPECT_FALSE(is_sha256("sha256:" + std::string(64, 'A')));
}

}  // namespace
}  // namespace verge::crypto
