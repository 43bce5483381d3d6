#include "signing_key.hpp"

#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include <fmt/format.h>

#include "../output.hpp"
#include "verge/base/file.hpp"

namespace verge::cli {
namespace {

constexpr std::uint64_t kKeyLimitBytes = 64U << 10U;

/// What is typed is not shown.
class HiddenTerminal {
 public:
  HiddenTerminal() {
    ::tcgetattr(STDIN_FILENO, &before_);
    auto hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  ~HiddenTerminal() {
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    std::fputc('\n', stderr);
  }
  HiddenTerminal(const HiddenTerminal&) = delete;
  HiddenTerminal& operator=(const HiddenTerminal&) = delete;

 private:
  termios before_{};
};

std::string ask(const std::string& question) {
  std::fprintf(stderr, "%s: ", question.c_str());
  const HiddenTerminal hidden;
  std::string line;
  std::getline(std::cin, line);
  return line;
}

std::string first_line(std::string text) {
  text.erase(std::min(text.find('\n'), text.size()));
  return text;
}

/// The object's name in a PKCS #11 URI.
std::string object_of(std::string_view uri) {
  const auto at = uri.find("object=");
  if (at == std::string_view::npos) return {};
  const auto rest = uri.substr(at + 7);
  return std::string(rest.substr(0, std::min(rest.find_first_of(";?"), rest.size())));
}

}  // namespace

Result<std::string> Passphrase::get(const std::string& what) const {
  if (!file_.empty()) {
    VERGE_ASSIGN(auto text, read_text(file_, kKeyLimitBytes));
    return first_line(std::move(text));
  }
  if (const char* given = std::getenv("VERGE_TRUST_PASSPHRASE"); given != nullptr) return std::string(given);
  if (is_terminal(STDIN_FILENO)) return ask(fmt::format("Passphrase or PIN of {}", what));
  return Error(ErrorCode::invalid_argument, "VRG-CLI-040",
               fmt::format("expected the passphrase or PIN of {}: give --passphrase-file, or VERGE_TRUST_PASSPHRASE in "
                           "the environment, or run this on a terminal",
                           what));
}

Result<std::string> Passphrase::get_new(const std::string& what) const {
  const bool asks = file_.empty() && std::getenv("VERGE_TRUST_PASSPHRASE") == nullptr;
  VERGE_ASSIGN(auto text, get("the new key " + what));
  if (text.empty()) {
    return Error(ErrorCode::invalid_argument, "VRG-CLI-040",
                 fmt::format("expected a passphrase for the new key {}, got an empty one; choose one", what));
  }
  if (!asks || ask("The same again") == text) return text;
  return Error(ErrorCode::invalid_argument, "VRG-CLI-040", "the two passphrases differ; try again");
}

Result<crypto::PrivateKey> open_private_key(const std::string& spec, const Passphrase& passphrase) {
  if (crypto::PrivateKey::is_token(spec)) {
    if (spec.find("pin-value=") != std::string::npos) return crypto::PrivateKey::from_token(spec, "");
    VERGE_ASSIGN(const auto pin, passphrase.get(spec));
    return crypto::PrivateKey::from_token(spec, pin);
  }
  VERGE_ASSIGN(const auto pem, read_text(spec, kKeyLimitBytes));
  VERGE_ASSIGN(const auto phrase, passphrase.get(spec));
  auto key = crypto::PrivateKey::from_encrypted_pem(pem, phrase);
  return key ? std::move(key) : Result<crypto::PrivateKey>(in(spec, std::move(key)));
}

Result<trust::NamedKey> open_public_key(const std::string& spec, const Passphrase& passphrase) {
  std::string name;
  std::string place = spec;
  // A file's path may hold a '=', a token's URI does; a name holds neither ':' nor '/'.
  if (const auto equals = spec.find('='); equals != std::string::npos && spec.find_first_of(":/") > equals) {
    name = spec.substr(0, equals);
    place = spec.substr(equals + 1);
  }
  if (crypto::PrivateKey::is_token(place)) {
    VERGE_ASSIGN(const auto key, open_private_key(place, passphrase));
    return trust::NamedKey{name.empty() ? object_of(place) : name, key.public_key()};
  }
  if (name.empty()) name = std::filesystem::path(place).stem().string();
  VERGE_ASSIGN(const auto pem, read_text(place, kKeyLimitBytes));
  if (pem.find("-----BEGIN PUBLIC KEY-----") == std::string::npos) {
    VERGE_ASSIGN(const auto key, open_private_key(place, passphrase));
    return trust::NamedKey{name, key.public_key()};
  }
  auto key = crypto::PublicKey::from_pem(pem);
  if (!key) return in(place, std::move(key));
  return trust::NamedKey{name, std::move(*key)};
}

Result<trust::NamedKey> make_key(const std::string& file, crypto::KeyKind kind, const Passphrase& passphrase) {
  const std::filesystem::path path(file);
  auto public_path = path;
  public_path.replace_extension(".pub");
  for (const auto& one : {path, public_path}) {
    std::error_code ignored;
    if (!std::filesystem::exists(one, ignored)) continue;
    return Error(ErrorCode::already_exists, "VRG-CLI-041",
                 fmt::format("'{}' is there already; keys are never overwritten: choose another name", one.string()));
  }
  VERGE_ASSIGN(const auto phrase, passphrase.get_new(file));
  const auto key = crypto::PrivateKey::generate(kind);
  const auto old = ::umask(S_IRWXG | S_IRWXO);
  auto written = write_file(path, std::string_view(key.encrypted_pem(phrase)));
  ::umask(old);
  VERGE_TRY(std::move(written));
  if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0) {
    return Error(ErrorCode::permission_denied, "VRG-CLI-019", fmt::format("cannot protect '{}'", file));
  }
  VERGE_TRY(write_file(public_path, std::string_view(key.public_key().pem())));
  return trust::NamedKey{path.stem().string(), key.public_key()};
}

}  // namespace verge::cli
