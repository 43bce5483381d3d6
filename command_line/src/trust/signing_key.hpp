// Signing keys as people name them: files, tokens, and what unlocks them.
#pragma once

#include <string>

#include "verge/base/error.hpp"
#include "verge/trust/ceremony.hpp"

namespace verge::cli {

/// Where a passphrase or PIN comes from: a file, the environment's VERGE_TRUST_PASSPHRASE, else the terminal.
class Passphrase {
 public:
  explicit Passphrase(std::string file) : file_(std::move(file)) {}
  /// `what` is named when it is asked for. Errors: invalid_argument (VRG-CLI-040) where nobody can be asked; as
  /// read_text().
  [[nodiscard]] Result<std::string> get(const std::string& what) const;
  /// The same for a new key: on a terminal asked for twice, and never empty.
  [[nodiscard]] Result<std::string> get_new(const std::string& what) const;

 private:
  std::string file_;
};

/// `spec`: a file with an encrypted private key, or a token's key ("pkcs11:…", "tpm2:…").
Result<crypto::PrivateKey> open_private_key(const std::string& spec, const Passphrase& passphrase);
/// `spec`: [NAME=] and a file with a public key, or what open_private_key() takes. The name is else that of the file,
/// or of the token's object.
Result<trust::NamedKey> open_public_key(const std::string& spec, const Passphrase& passphrase);
/// Writes an encrypted key, and its public half beside it with ".pub". Errors: already_exists (VRG-CLI-041).
Result<trust::NamedKey> make_key(const std::string& file, crypto::KeyKind kind, const Passphrase& passphrase);

}  // namespace verge::cli
