// Private keys in files that a passphrase protects.
#include <openssl/pkcs12.h>

#include "openssl_owner.hpp"

namespace verge::crypto {
namespace {

constexpr std::size_t kPemLimitBytes = 64U << 10U;
/// As OWASP's password storage cheat sheet has it for 16 MiB; other programs on OpenSSL read no more than 32 MiB.
constexpr std::uint64_t kScryptCost = 16384;
constexpr std::uint64_t kScryptBlocks = 8;
constexpr std::uint64_t kScryptParallel = 5;

int give_passphrase(char* buffer, int size, int, void* passphrase) {
  const auto& text = *static_cast<const std::string*>(passphrase);
  if (text.size() > static_cast<std::size_t>(size)) return -1;
  text.copy(buffer, text.size());
  return static_cast<int>(text.size());
}

}  // namespace

Result<PrivateKey> PrivateKey::from_encrypted_pem(std::string_view pem, const std::string& passphrase) {
  if (pem.size() > kPemLimitBytes || pem.find("-----BEGIN ENCRYPTED PRIVATE KEY-----") == std::string_view::npos) {
    return Error(
        ErrorCode::invalid_argument, "VRG-CRY-001",
        "expected an encrypted private key as PEM (PKCS #8), got something else; make one with 'verge trust key'");
  }
  const auto bio = reader_of(pem);
  auto copy = passphrase;
  Owner<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, give_passphrase, &copy));
  OPENSSL_cleanse(copy.data(), copy.size());
  if (key == nullptr) {
    return Error(ErrorCode::unauthenticated, "VRG-CRY-010",
                 "expected the passphrase with which the key is encrypted, got another: " + openssl_reason());
  }
  ERR_clear_error();
  return KeyAccess::make_private(std::move(key), nullptr);
}

std::string PrivateKey::encrypted_pem(const std::string& passphrase) const {
  auto algorithm =
      made(PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), nullptr, 0, nullptr, kScryptCost, kScryptBlocks, kScryptParallel));
  const auto plain = made(EVP_PKEY2PKCS8(state_->key.get()));
  const auto encrypted =
      made(PKCS8_set0_pbe(passphrase.data(), static_cast<int>(passphrase.size()), plain.get(), algorithm.get()));
  static_cast<void>(algorithm.release());  // PKCS8_set0_pbe() took it.
  const auto bio = made(BIO_new(BIO_s_mem()));
  must(PEM_write_bio_PKCS8(bio.get(), encrypted.get()) == 1);
  return text_of(bio.get());
}

}  // namespace verge::crypto
