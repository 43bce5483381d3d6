// Credentials of the hub against real software TPMs and tpm2-tools, in both directions, and by who has not the keys.
#include "verge/attestation/credential.hpp"
#include "software_tpm.hpp"
#include "verge/at_rest/tpm_part.hpp"
#include "verge/base/hex.hpp"

namespace verge::attestation {
namespace {

using at_rest::test::SoftwareTpm;
using Bytes = std::vector<std::byte>;

const Bytes kSecret(kCredentialSecretBytes, std::byte{42});

template <typename T>
std::string id_of(const Result<T>& result) {
  return result ? "" : result.error().id();
}

Bytes bytes_of_file(const std::filesystem::path& file) {
  const auto text = read_text(file, 65536).value();
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void write_bytes(const std::filesystem::path& file, const Bytes& bytes) {
  ASSERT_TRUE(write_file(file, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
}

/// As tpm2-tools keep a credential.
Bytes file_of(const Credential& credential) {
  Bytes file;
  for (const unsigned byte : {0xBAU, 0xDCU, 0xC0U, 0xDEU, 0U, 0U, 0U, 1U}) file.push_back(std::byte(byte));
  file.insert(file.end(), credential.blob.begin(), credential.blob.end());
  file.insert(file.end(), credential.seed.begin(), credential.seed.end());
  return file;
}
Credential credential_of(const Bytes& file) {
  const auto blob_end =
      8 + 2 + (std::to_integer<std::size_t>(file.at(8)) << 8U) + std::to_integer<std::size_t>(file.at(9));
  return {Bytes(file.begin() + 8, file.begin() + static_cast<std::ptrdiff_t>(blob_end)),
          Bytes(file.begin() + static_cast<std::ptrdiff_t>(blob_end), file.end())};
}

/// A TPM, opened anew for each use.
struct Machine {
  SoftwareTpm software;
  TemporaryFolder folder = TemporaryFolder::create("verge-credential-").value();
  at_rest::WrappedKey wrapped = tpm()->make_attestation_key().value();

  [[nodiscard]] std::unique_ptr<at_rest::Tpm> tpm() const { return at_rest::open_tpm(software.tcti()).value(); }
  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return folder.path() / name; }
  [[nodiscard]] AttestationKey key() const { return AttestationKey::read(wrapped.public_area).value(); }
  /// By tpm2-tools; kind: "rsa" or "ecc".
  [[nodiscard]] Bytes endorsement(const std::string& kind) const {
    software.run("tpm2_createek", {"-c", file("ek"), "-G", kind, "-u", file("ek.pub")});
    software.run("tpm2_flushcontext", {"-t"});
    return bytes_of_file(file("ek.pub"));
  }
  [[nodiscard]] Result<Bytes> activate(const Bytes& endorsement, const Credential& credential) const {
    return tpm()->activate(wrapped, endorsement, {credential.blob, credential.seed});
  }
};

class CredentialTest : public testing::TestWithParam<const char*> {};

TEST_P(CredentialTest, GivesItsSecretToTheTpmWithBothKeys) {
  const Machine machine;
  const auto area = machine.endorsement(GetParam());
  const auto endorsement = EndorsementKey::read(area);
  ASSERT_TRUE(endorsement) << endorsement.error().text();
  const auto credential = make_credential(*endorsement, machine.key(), kSecret).value();
  const auto opened = machine.activate(area, credential);
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(*opened, kSecret);
  EXPECT_EQ(machine.activate(area, make_credential(*endorsement, machine.key(), kSecret).value()).value(), kSecret);
  EXPECT_NE(make_credential(*endorsement, machine.key(), kSecret).value().blob, credential.blob);
}

TEST_P(CredentialTest, IsOpenedByTpm2Tools) {
  const Machine machine;
  const auto area = machine.endorsement(GetParam());
  const auto& tpm = machine.software;
  tpm.run("tpm2_createak", {"-C", machine.file("ek"), "-c", machine.file("ak"), "-G", "ecc", "-g", "sha256", "-s",
                            "ecdsa", "-u", machine.file("ak.pub")});
  tpm.run("tpm2_flushcontext", {"-t"});
  const auto key = AttestationKey::read(bytes_of_file(machine.file("ak.pub")));
  ASSERT_TRUE(key) << key.error().text();
  write_bytes(machine.file("credential"),
              file_of(make_credential(EndorsementKey::read(area).value(), *key, kSecret).value()));
  tpm.run("tpm2_startauthsession", {"--policy-session", "-S", machine.file("session")});
  tpm.run("tpm2_policysecret", {"-S", machine.file("session"), "-c", "e"});
  tpm.run("tpm2_activatecredential",
          {"-c", machine.file("ak"), "-C", machine.file("ek"), "-i", machine.file("credential"), "-o",
           machine.file("secret"), "-P", "session:" + machine.file("session").string()});
  EXPECT_EQ(bytes_of_file(machine.file("secret")), kSecret);
}

TEST_P(CredentialTest, ByTpm2ToolsIsOpened) {
  const Machine machine;
  const auto area = machine.endorsement(GetParam());
  write_bytes(machine.file("plain"), kSecret);
  machine.software.run("tpm2_makecredential", {"-u", machine.file("ek.pub"), "-s", machine.file("plain"), "-n",
                                               to_hex(machine.key().name()), "-o", machine.file("credential")});
  const auto opened = machine.activate(area, credential_of(bytes_of_file(machine.file("credential"))));
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(*opened, kSecret);
}

TEST_P(CredentialTest, ForAnotherKeyOrTpmOrChangedIsNotOpened) {
  const Machine machine;
  const Machine other;
  const auto area = machine.endorsement(GetParam());
  const auto foreign = other.endorsement(GetParam());
  const auto endorsement = EndorsementKey::read(area).value();
  EXPECT_NE(endorsement.fingerprint(), EndorsementKey::read(foreign).value().fingerprint());
  // The right endorsement key, but another attestation key: also one of the same TPM.
  EXPECT_EQ(id_of(machine.activate(area, make_credential(endorsement, other.key(), kSecret).value())), "VRG-RST-021");
  const auto second = AttestationKey::read(machine.tpm()->make_attestation_key().value().public_area).value();
  EXPECT_EQ(id_of(machine.activate(area, make_credential(endorsement, second, kSecret).value())), "VRG-RST-021");
  // Somebody else's endorsement key.
  const auto theirs = make_credential(EndorsementKey::read(foreign).value(), machine.key(), kSecret).value();
  EXPECT_EQ(id_of(machine.activate(foreign, theirs)), "VRG-RST-021");
  EXPECT_FALSE(machine.activate(area, theirs)) << "with RSA a TPM may call it a failure of its own";
  const auto good = make_credential(endorsement, machine.key(), kSecret).value();
  for (const std::size_t at : {std::size_t{0}, std::size_t{5}, good.blob.size() - 1}) {
    auto changed = good;
    changed.blob[at] ^= std::byte{1};
    EXPECT_NE(id_of(machine.activate(area, changed)), "") << "byte " << at;
  }
  auto changed = good;
  changed.seed.back() ^= std::byte{1};
  EXPECT_NE(id_of(machine.activate(area, changed)), "");
  EXPECT_EQ(id_of(machine.activate(area, {})), "VRG-RST-021");
  EXPECT_EQ(machine.activate(area, good).value(), kSecret);
}

INSTANTIATE_TEST_SUITE_P(Kinds, CredentialTest, testing::Values("rsa", "ecc"));

TEST(EndorsementKeyTest, OfTheAgentIsThatOfTheTemplate) {
  const Machine machine;
  const auto made = machine.tpm()->endorsement().value();
  EXPECT_EQ(made.public_area, machine.endorsement("ecc")) << "without a certificate";
  EXPECT_TRUE(made.certificate.empty());
}

TEST(EndorsementKeyTest, OfAnotherKindOrCutIsRefused) {
  const Machine machine;
  // What comes before the key itself says of what kind it is.
  for (const auto& [kind, key_at] : std::map<std::string, std::size_t>{{"rsa", 60}, {"ecc", 58}}) {
    const auto good = machine.endorsement(kind);
    ASSERT_EQ(id_of(EndorsementKey::read(good)), "") << kind;
    for (std::size_t size = 0; size < good.size(); ++size) {
      ASSERT_EQ(id_of(EndorsementKey::read(std::span(good).first(size))), "VRG-ATT-008") << "of " << size << " bytes";
    }
    auto longer = good;
    longer.push_back(std::byte{0});
    EXPECT_EQ(id_of(EndorsementKey::read(longer)), "VRG-ATT-008");
    for (std::size_t at = 0; at < key_at; ++at) {
      auto changed = good;
      changed[at] ^= std::byte{1};
      EXPECT_NE(id_of(EndorsementKey::read(changed)), "") << kind << " byte " << at;
    }
    auto not_a_key = good;
    not_a_key.back() ^= std::byte{1};  // An even modulus; a point that is not on the curve.
    EXPECT_EQ(id_of(EndorsementKey::read(not_a_key)), "VRG-ATT-008");
  }
  EXPECT_EQ(id_of(EndorsementKey::read(machine.wrapped.public_area)), "VRG-ATT-009") << "an attestation key";
  EXPECT_EQ(id_of(EndorsementKey::read(Bytes(kEndorsementKeyLimitBytes + 1))), "VRG-ATT-008");
}

/// Somebody with a real TPM, whose endorsement key is certified, would like to quote with a key that lies in a file.
TEST(SoftwareKey, LoadedBesideARealEndorsementKeyIsNotActivated) {
  const Machine machine;
  const Machine elsewhere;
  const auto area = machine.endorsement("ecc");
  // Its public part says that a TPM made and keeps it, as the hub wants it; this TPM has not.
  write_bytes(machine.file("forged.pub"), elsewhere.wrapped.public_area);
  const auto credential = make_credential(EndorsementKey::read(area).value(), elsewhere.key(), kSecret).value();
  write_bytes(machine.file("credential"), file_of(credential));
  const auto& tpm = machine.software;
  tpm.run("tpm2_loadexternal", {"-C", "n", "-u", machine.file("forged.pub"), "-c", machine.file("forged")});
  tpm.run("tpm2_flushcontext", {"-t"});
  tpm.run("tpm2_startauthsession", {"--policy-session", "-S", machine.file("session")});
  tpm.run("tpm2_policysecret", {"-S", machine.file("session"), "-c", "e"});
  EXPECT_FALSE(tpm.runs("tpm2_activatecredential",
                        {"-c", machine.file("forged"), "-C", machine.file("ek"), "-i", machine.file("credential"), "-o",
                         machine.file("secret"), "-P", "session:" + machine.file("session").string()}));
  EXPECT_FALSE(std::filesystem::exists(machine.file("secret")));
  EXPECT_NE(id_of(machine.tpm()->activate(elsewhere.wrapped, area, {credential.blob, credential.seed})), "");
}

}  // namespace
}  // namespace verge::attestation
