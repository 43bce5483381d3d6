// The TPM part against a real software TPM.
#include <algorithm>

#include "software_tpm.hpp"
#include "verge/at_rest/tpm_part.hpp"

namespace verge::at_rest::test {
namespace {

std::unique_ptr<Tpm> opened(const SoftwareTpm& software) {
  auto tpm = open_tpm(software.tcti());
  EXPECT_TRUE(tpm) << tpm.error().text();
  return tpm ? std::move(*tpm) : nullptr;
}

std::string id_of(const Result<Secret>& result) {
  return result ? "" : result.error().id();
}

bool same(const Secret& a, const Secret& b) {
  return std::ranges::equal(a.bytes(), b.bytes());
}

TEST(SealedByATpm, ComesBackAlsoAfterABoot) {
  SoftwareTpm software;
  const auto key = Secret::random();
  SealedKey sealed;
  {
    const auto tpm = opened(software);
    auto made = tpm->seal(key, {7}, {});
    ASSERT_TRUE(made) << made.error().text();
    sealed = std::move(*made);
    const auto back = tpm->unseal(sealed);
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_TRUE(same(*back, key));
  }
  software.boot_again();
  const auto back = opened(software)->unseal(sealed);
  ASSERT_TRUE(back) << back.error().text();
  EXPECT_TRUE(same(*back, key));
}

TEST(SealedByATpm, StaysClosedWhenARegisterHasChanged) {
  SoftwareTpm software;
  const auto tpm = opened(software);
  const auto sealed = tpm->seal(Secret::random(), {0, 7}, {});
  ASSERT_TRUE(sealed);
  software.measure(4);
  EXPECT_EQ(id_of(tpm->unseal(*sealed)), "") << "of a register that does not matter";
  software.measure(7);
  EXPECT_EQ(id_of(tpm->unseal(*sealed)), "VRG-RST-008");
}

TEST(SealedByATpm, StaysClosedForAnotherTpm) {
  SoftwareTpm software;
  const auto sealed = opened(software)->seal(Secret::random(), {7}, {});
  ASSERT_TRUE(sealed);
  const SoftwareTpm other;
  EXPECT_EQ(id_of(opened(other)->unseal(*sealed)), "VRG-RST-009");
  software.clear();
  EXPECT_EQ(id_of(opened(software)->unseal(*sealed)), "VRG-RST-009") << "once it was cleared";
}

TEST(SealedByATpm, OpensForTheRegistersThatAreToCome) {
  const SoftwareTpm software;
  const auto tpm = opened(software);
  const SoftwareTpm later;
  later.measure(7);
  const auto expected = opened(later)->read(7);
  ASSERT_TRUE(expected);
  const auto key = Secret::random();
  const auto sealed = tpm->seal(key, {7}, {{7, *expected}});
  ASSERT_TRUE(sealed);
  EXPECT_EQ(id_of(tpm->unseal(*sealed)), "VRG-RST-008");
  software.measure(7);
  const auto back = tpm->unseal(*sealed);
  ASSERT_TRUE(back) << back.error().text();
  EXPECT_TRUE(same(*back, key));
}

TEST(SealedByATpm, DamagedIsRefused) {
  const SoftwareTpm software;
  const auto tpm = opened(software);
  const auto sealed = tpm->seal(Secret::random(), {7}, {});
  ASSERT_TRUE(sealed);
  for (std::size_t at = 0; at < sealed->private_area.size(); at += 5) {
    auto damaged = *sealed;
    damaged.private_area[at] ^= std::byte{1};
    EXPECT_EQ(id_of(tpm->unseal(damaged)), "VRG-RST-009") << "private byte " << at;
  }
  for (std::size_t at = 0; at < sealed->public_area.size(); at += 5) {
    auto damaged = *sealed;
    damaged.public_area[at] ^= std::byte{1};
    EXPECT_NE(id_of(tpm->unseal(damaged)), "") << "public byte " << at;
  }
  EXPECT_EQ(id_of(tpm->unseal(SealedKey{})), "VRG-RST-009");
}

TEST(SealedByATpm, LeavesNothingBehindInIt) {
  const SoftwareTpm software;
  const auto tpm = opened(software);
  const auto sealed = tpm->seal(Secret::random(), {7}, {});
  ASSERT_TRUE(sealed);
  // Without a resource manager a TPM has room for three objects and sessions.
  for (int i = 0; i < 50; ++i) ASSERT_EQ(id_of(tpm->unseal(*sealed)), "") << i;
}

TEST(SealedByATpm, OneThatIsNotThereIsNamed) {
  const auto tpm = open_tpm("swtpm:path=/nonexistent/socket");
  ASSERT_FALSE(tpm);
  EXPECT_EQ(tpm.error().id(), "VRG-RST-007");
  EXPECT_EQ(tpm.error().code(), ErrorCode::unavailable);
}

}  // namespace
}  // namespace verge::at_rest::test
