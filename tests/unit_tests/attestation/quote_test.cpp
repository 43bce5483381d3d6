// Quotes of a real software TPM, and what is made of them by who would like to be trusted.
#include <algorithm>

#include "software_tpm.hpp"
#include "verge/at_rest/tpm_part.hpp"
#include "verge/attestation/quote.hpp"

namespace verge::attestation {
namespace {

using at_rest::test::SoftwareTpm;
using Bytes = std::vector<std::byte>;

const Bytes kNonce(32, std::byte{7});

template <typename T>
std::string id_of(const Result<T>& result) {
  return result ? "" : result.error().id();
}

/// A TPM with its attestation key.
struct Machine {
  SoftwareTpm software;
  at_rest::WrappedKey wrapped = at_rest::open_tpm(software.tcti()).value()->make_attestation_key().value();

  [[nodiscard]] AttestationKey key() const { return AttestationKey::read(wrapped.public_area).value(); }
  [[nodiscard]] Evidence quote(const Bytes& nonce = kNonce, const std::vector<unsigned>& pcrs = {0, 7}) const {
    auto made = at_rest::open_tpm(software.tcti()).value()->quote(wrapped, pcrs, nonce);
    EXPECT_TRUE(made) << made.error().text();
    return {made->message, made->signature, made->registers};
  }
};

TEST(Quote, OfTheTpmIsGoodAlsoAfterABootAndNamesItsRegisters) {
  Machine machine;
  const auto good = machine.quote();
  const auto content = verify_quote(machine.key(), good, kNonce);
  ASSERT_TRUE(content) << content.error().text();
  EXPECT_EQ(content->pcrs, (std::vector<unsigned>{0, 7}));
  machine.software.boot_again();
  const auto later = verify_quote(machine.key(), machine.quote(), kNonce);
  ASSERT_TRUE(later) << later.error().text();
  EXPECT_GT(later->resets, content->resets);
  machine.software.measure(7);
  const auto changed = machine.quote();
  EXPECT_NE(changed.registers.at(7), good.registers.at(7));
  EXPECT_EQ(id_of(verify_quote(machine.key(), changed, kNonce)), "");
}

TEST(Quote, OfAnotherTpmOrForgedIsRefused) {
  const Machine machine;
  const Machine other;
  const auto good = machine.quote();
  EXPECT_EQ(id_of(verify_quote(machine.key(), other.quote(), kNonce)), "VRG-ATT-004");
  for (std::size_t at = 0; at < good.message.size(); ++at) {
    auto forged = good;
    forged.message[at] ^= std::byte{1};
    ASSERT_EQ(id_of(verify_quote(machine.key(), forged, kNonce)), "VRG-ATT-004") << "byte " << at;
  }
  for (std::size_t at = 0; at < good.signature.size(); ++at) {
    auto forged = good;
    forged.signature[at] ^= std::byte{1};
    ASSERT_NE(id_of(verify_quote(machine.key(), forged, kNonce)), "") << "byte " << at;
  }
  auto none = good;
  none.signature.clear();
  EXPECT_EQ(id_of(verify_quote(machine.key(), none, kNonce)), "VRG-ATT-003");
  none.signature = Bytes(100'000);
  EXPECT_EQ(id_of(verify_quote(machine.key(), none, kNonce)), "VRG-ATT-003");
}

TEST(Quote, PlayedAgainOrWithOtherRegistersIsRefused) {
  const Machine machine;
  EXPECT_EQ(id_of(verify_quote(machine.key(), machine.quote(), Bytes(32, std::byte{8}))), "VRG-ATT-006");
  EXPECT_EQ(id_of(verify_quote(machine.key(), machine.quote(Bytes{}), kNonce)), "VRG-ATT-006");
  auto changed = machine.quote();
  changed.registers.at(7)[0] ^= std::byte{1};
  EXPECT_EQ(id_of(verify_quote(machine.key(), changed, kNonce)), "VRG-ATT-007");
  auto fewer = machine.quote();
  fewer.registers.erase(0);
  EXPECT_EQ(id_of(verify_quote(machine.key(), fewer, kNonce)), "VRG-ATT-007");
  auto renamed = machine.quote();
  renamed.registers[1] = renamed.registers.at(0);
  renamed.registers.erase(0);
  EXPECT_EQ(id_of(verify_quote(machine.key(), renamed, kNonce)), "VRG-ATT-007");
}

TEST(Quote, CutExtendedOrChangedIsNotOneAndEndsNothing) {
  const Machine machine;
  const auto good = machine.quote().message;
  EXPECT_EQ(id_of(read_quote(good)), "");
  for (std::size_t size = 0; size < good.size(); ++size) {
    ASSERT_EQ(id_of(read_quote(std::span(good).first(size))), "VRG-ATT-005") << "of " << size << " bytes";
  }
  auto longer = good;
  longer.push_back(std::byte{0});
  EXPECT_EQ(id_of(read_quote(longer)), "VRG-ATT-005");
  for (std::size_t at = 0; at < 6; ++at) {  // Who made it, and what it is.
    auto changed = good;
    changed[at] ^= std::byte{0xFF};
    EXPECT_EQ(id_of(read_quote(changed)), "VRG-ATT-005") << "byte " << at;
  }
  EXPECT_EQ(id_of(read_quote(Bytes(kQuoteLimitBytes + 1))), "VRG-ATT-005");
}

TEST(AttestationKeyTest, OnlyARestrictedSigningKeyIsOne) {
  const Machine machine;
  const auto& good = machine.wrapped.public_area;
  EXPECT_EQ(id_of(AttestationKey::read(good)), "");
  constexpr std::size_t kAttributesAt = 6;
  for (const unsigned bit : {1U, 4U, 5U, 16U, 17U, 18U}) {
    auto changed = good;
    changed[kAttributesAt + 3 - bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_EQ(id_of(AttestationKey::read(changed)), "VRG-ATT-002") << "attribute " << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    ASSERT_NE(id_of(AttestationKey::read(std::span(good).first(size))), "") << "of " << size << " bytes";
  }
  auto off_the_curve = good;
  off_the_curve.back() ^= std::byte{1};
  EXPECT_EQ(id_of(AttestationKey::read(off_the_curve)), "VRG-ATT-001");
  EXPECT_EQ(id_of(AttestationKey::read(Bytes(kKeyLimitBytes + 1))), "VRG-ATT-001");
}

}  // namespace
}  // namespace verge::attestation
