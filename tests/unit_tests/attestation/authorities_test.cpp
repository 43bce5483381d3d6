// Certificates of endorsement keys of a real software TPM, by makers who are trusted and by others.
#include "maker.hpp"
#include "software_tpm.hpp"
#include "verge/at_rest/tpm_part.hpp"
#include "verge/attestation/endorsement_authorities.hpp"

namespace verge::attestation {
namespace {

using at_rest::test::SoftwareTpm;
using Bytes = std::vector<std::byte>;

using namespace test;

template <typename T>
std::string id_of(const Result<T>& result) {
  return result ? "" : result.error().id();
}

class AuthoritiesTest : public testing::Test {
 protected:
  [[nodiscard]] Result<Endorsement> check(const Maker& trusted, const Bytes& certificate,
                                          std::int64_t now_s = kNow_s) const {
    return EndorsementAuthorities::read(pem_of(trusted.certificate.get())).value().check(key_, certificate, now_s);
  }

  SoftwareTpm tpm_;
  Bytes area_ = at_rest::open_tpm(tpm_.tcti()).value()->endorsement().value().public_area;
  EndorsementKey key_ = EndorsementKey::read(area_).value();
  Key public_key_ = key_in(area_);
  Maker maker_{"Maker"};
  Order order_{"EK", false, kForEndorsementKeys};
};

TEST_F(AuthoritiesTest, ACertificateByATrustedMakerCountsUntilTheFirstOfTheTwoEnds) {
  const auto good = check(maker_, maker_.endorse(public_key_.get(), order_));
  ASSERT_TRUE(good) << good.error().text();
  EXPECT_EQ(good->authority, "CN = Maker");
  EXPECT_EQ(good->until_s, order_.until_s);
  order_.until_s = kNow_s + 10 * kYear_s;
  EXPECT_EQ(check(maker_, maker_.endorse(public_key_.get(), order_)).value().until_s, kNow_s + 2 * kYear_s);
  auto padded = maker_.endorse(public_key_.get(), order_);
  padded.resize(padded.size() + 100, std::byte{0xFF});
  EXPECT_EQ(id_of(check(maker_, padded)), "") << "as it lies in a TPM's memory";
  order_.usage.clear();
  EXPECT_EQ(id_of(check(maker_, maker_.endorse(public_key_.get(), order_))), "") << "it does not say what for";
}

TEST_F(AuthoritiesTest, ByAnUnknownMakerOrOneOfTheSameNameItDoesNotCount) {
  const Maker other("Other");
  const Maker impostor("Maker");
  const Maker foreign("M\xC3\xB6rder\n\x01");
  const auto refused = check(maker_, foreign.endorse(public_key_.get(), order_));
  EXPECT_NE(refused.error().message().find("'CN = M\\C3\\B6rder\\0A\\01'"), std::string::npos)
      << refused.error().message();
  EXPECT_EQ(id_of(check(maker_, other.endorse(public_key_.get(), order_))), "VRG-ATT-014");
  EXPECT_EQ(id_of(check(maker_, impostor.endorse(public_key_.get(), order_))), "VRG-ATT-014");
  const auto nobody = EndorsementAuthorities::read("").value();
  EXPECT_EQ(id_of(nobody.check(key_, maker_.endorse(public_key_.get(), order_), kNow_s)), "VRG-ATT-014");
}

TEST_F(AuthoritiesTest, ExpiredOrNotYetValidItDoesNotCount) {
  const auto certificate = maker_.endorse(public_key_.get(), order_);
  EXPECT_EQ(id_of(check(maker_, certificate, order_.until_s + 1)), "VRG-ATT-014");
  EXPECT_EQ(id_of(check(maker_, certificate, order_.from_s - 1)), "VRG-ATT-014");
  const Maker ended("Ended", kNow_s - 1);
  EXPECT_EQ(id_of(check(ended, ended.endorse(public_key_.get(), order_))), "VRG-ATT-014") << "the authority is";
}

TEST_F(AuthoritiesTest, AboutAnotherKeyForAnotherUseWeakOrChangedItDoesNotCount) {
  const Key another(EVP_EC_gen("P-256"));
  EXPECT_EQ(id_of(check(maker_, maker_.endorse(another.get(), order_))), "VRG-ATT-013");
  order_.usage = "clientAuth";
  EXPECT_EQ(id_of(check(maker_, maker_.endorse(public_key_.get(), order_))), "VRG-ATT-013");
  order_.usage = kForEndorsementKeys;
  order_.digest = EVP_sha1();
  EXPECT_EQ(id_of(check(maker_, maker_.endorse(public_key_.get(), order_))), "VRG-ATT-014");
  order_.digest = EVP_sha256();
  const auto good = maker_.endorse(public_key_.get(), order_);
  for (std::size_t size = 0; size < good.size(); size += 7) {
    EXPECT_EQ(id_of(check(maker_, Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)))),
              "VRG-ATT-012");
  }
  auto changed = good;
  changed.back() ^= std::byte{1};
  EXPECT_NE(id_of(check(maker_, changed)), "");
  EXPECT_EQ(id_of(check(maker_, Bytes(kCertificateLimitBytes + 1))), "VRG-ATT-012");
}

TEST_F(AuthoritiesTest, OnlyCertificatesOfAuthoritiesAreTaken) {
  const Maker second("Second");
  const auto both = "# makers\n" + pem_of(maker_.certificate.get()) + "\n" + pem_of(second.certificate.get());
  const auto list = EndorsementAuthorities::read(both).value().list();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[1].name, "CN = Second");
  EXPECT_EQ(list[1].until_s, kNow_s + 2 * kYear_s);
  EXPECT_EQ(list[1].fingerprint.substr(0, 7), "sha256:");
  EXPECT_TRUE(EndorsementAuthorities::read("").value().empty());
  for (const auto* text : {"\n", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"}) {
    EXPECT_EQ(id_of(EndorsementAuthorities::read(text)), "VRG-ATT-011") << "none is to be said by nothing at all";
  }
  const auto device = issue(order_, public_key_.get(), maker_.key.get(), maker_.certificate.get());
  EXPECT_EQ(id_of(EndorsementAuthorities::read(pem_of(device.get()))), "VRG-ATT-011");
  EXPECT_EQ(id_of(EndorsementAuthorities::read(both.substr(0, both.size() - 40))), "VRG-ATT-011");
  EXPECT_EQ(id_of(EndorsementAuthorities::read("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")),
            "VRG-ATT-011");
  EXPECT_EQ(id_of(EndorsementAuthorities::read(std::string(kAuthoritiesLimitBytes + 1, '\n'))), "VRG-ATT-011");
}

}  // namespace
}  // namespace verge::attestation
