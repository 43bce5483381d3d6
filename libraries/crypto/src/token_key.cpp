// Private keys that stay in a token: PKCS #11 by OpenSSL's engine of libp11, TPM 2.0 by the provider tpm2-openssl. Both
// are loaded when the first such key is asked for.
#define OPENSSL_SUPPRESS_DEPRECATED  // Engines: on Debian 12 there is no PKCS #11 provider.
#include <openssl/engine.h>
#include <openssl/store.h>
#include <openssl/ui.h>

#include <fmt/format.h>

#include "openssl_owner.hpp"

namespace verge::crypto {
namespace {

constexpr std::string_view kPkcs11 = "pkcs11:";
constexpr std::string_view kTpm = "tpm2:";
constexpr std::size_t kUriLimitBytes = 4096;

Error no_token(std::string_view uri, std::string_view why) {
  return Error(ErrorCode::unavailable, "VRG-CRY-011",
               fmt::format("cannot use the key '{}': {}", uri.substr(0, uri.find('?')), why));
}

/// The value of an attribute of the URI's query, such as "module-path".
std::string attribute(std::string_view uri, std::string_view name) {
  const auto query = uri.find('?');
  if (query == std::string_view::npos) return {};
  std::string_view rest = uri.substr(query + 1);
  while (!rest.empty()) {
    const auto end = std::min(rest.find_first_of("&;"), rest.size());
    const auto one = rest.substr(0, end);
    if (one.starts_with(name) && one.substr(name.size()).starts_with('='))
      return std::string(one.substr(name.size() + 1));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return {};
}

Result<PrivateKey> from_pkcs11(std::string_view uri, const std::string& pin) {
  ENGINE_load_dynamic();
  ENGINE* engine = ENGINE_by_id("pkcs11");
  if (engine == nullptr) {
    ERR_clear_error();
    return no_token(uri, "OpenSSL has no PKCS #11 engine here; install Debian's package libengine-pkcs11-openssl");
  }
  const std::string module = attribute(uri, "module-path");
  const std::string given = pin.empty() ? attribute(uri, "pin-value") : pin;
  const bool ready = (module.empty() || ENGINE_ctrl_cmd_string(engine, "MODULE_PATH", module.c_str(), 0) == 1) &&
                     (given.empty() || ENGINE_ctrl_cmd_string(engine, "PIN", given.c_str(), 0) == 1) &&
                     ENGINE_init(engine) == 1;
  ENGINE_free(engine);  // ENGINE_init() has made a reference of its own.
  if (!ready) {
    return no_token(uri,
                    fmt::format("the module does not start ({}); name it with ?module-path=FILE", openssl_reason()));
  }
  auto token = std::make_shared<Token>();
  token->engine = std::shared_ptr<void>(engine, [](void* e) { ENGINE_finish(static_cast<ENGINE*>(e)); });
  // Without a PIN the engine would ask on the terminal: what asks is the program that calls this.
  const std::string path(uri.substr(0, uri.find('?')));  // The engine takes no query.
  Owner<EVP_PKEY> key(ENGINE_load_private_key(engine, path.c_str(), const_cast<UI_METHOD*>(UI_null()), nullptr));
  if (key == nullptr) {
    return no_token(uri, fmt::format("{}; look with 'pkcs11-tool --list-objects --login' for its token, its object and "
                                     "whether the PIN is right",
                                     openssl_reason()));
  }
  ERR_clear_error();
  return KeyAccess::make_private(std::move(key), std::move(token));
}

int answer_pin(UI* ui, UI_STRING* question) {
  const auto* pin = static_cast<const std::string*>(UI_get0_user_data(ui));
  return UI_set_result(ui, question, pin->c_str()) == 0 ? 1 : 0;
}

Result<PrivateKey> from_tpm(std::string_view uri, std::string pin) {
  auto tpm = std::make_shared<Token>();
  tpm->context = OSSL_LIB_CTX_new();
  tpm->base = OSSL_PROVIDER_load(tpm->context, "default");
  tpm->provider = OSSL_PROVIDER_load(tpm->context, "tpm2");
  tpm->properties = "?provider=tpm2";
  if (tpm->provider == nullptr) {
    ERR_clear_error();
    return no_token(uri, "OpenSSL has no TPM provider here; install Debian's package tpm2-openssl");
  }
  const std::string place(uri.substr(kTpm.size()));
  const std::string full = place.starts_with("0x") ? "handle:" + place : place;
  UI_METHOD* method = UI_create_method("pin");
  UI_method_set_reader(method, answer_pin);
  OSSL_STORE_CTX* store =
      OSSL_STORE_open_ex(full.c_str(), tpm->context, tpm->properties, method, &pin, nullptr, nullptr, nullptr);
  Owner<EVP_PKEY> key;
  while (store != nullptr && key == nullptr && OSSL_STORE_eof(store) == 0) {
    OSSL_STORE_INFO* info = OSSL_STORE_load(store);
    if (info == nullptr) break;
    if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) key.reset(OSSL_STORE_INFO_get1_PKEY(info));
    OSSL_STORE_INFO_free(info);
  }
  OSSL_STORE_close(store);
  UI_destroy_method(method);
  if (key == nullptr) {
    return no_token(uri, fmt::format("{}; look whether the TPM is in reach (TPM2OPENSSL_TCTI) and holds the key",
                                     openssl_reason()));
  }
  ERR_clear_error();
  return KeyAccess::make_private(std::move(key), std::move(tpm));
}

}  // namespace

bool PrivateKey::is_token(std::string_view uri) noexcept {
  return uri.starts_with(kPkcs11) || uri.starts_with(kTpm);
}

Result<PrivateKey> PrivateKey::from_token(std::string_view uri, const std::string& pin) {
  if (!is_token(uri) || uri.size() > kUriLimitBytes) {
    return no_token(uri.substr(0, 64), "expected 'pkcs11:…' or 'tpm2:…'");
  }
  VERGE_ASSIGN(auto key, uri.starts_with(kPkcs11) ? from_pkcs11(uri, pin) : from_tpm(uri, pin));
  if (i2d_PUBKEY(KeyAccess::of(key), nullptr) > 0) return key;
  return no_token(uri, fmt::format("the token does not give its public half ({}); keep the public key in it under the "
                                   "same id",
                                   openssl_reason()));
}

}  // namespace verge::crypto
