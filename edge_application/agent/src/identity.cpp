#include "identity.hpp"

#include <sys/stat.h>

#include "verge/base/file.hpp"
#include "verge/wire/document.hpp"

namespace verge::agent {
namespace {

constexpr std::uint64_t kFileLimitBytes = 1U << 20U;

/// Only the owner may look into the folder, whatever the mode of a file in it.
Result<void> make_private(const std::filesystem::path& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (!failed) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, failed);
  }
  if (!failed) return {};
  return Error(ErrorCode::unavailable, "VRG-BAS-001",
               "cannot make the folder '" + folder.string() + "': " + failed.message());
}

}  // namespace

Result<std::optional<wire::Identity>> IdentityFiles::read() const {
  auto text = read_text(folder / "identity.json", kFileLimitBytes);
  if (!text && text.error().code() == ErrorCode::not_found) return std::optional<wire::Identity>();
  if (!text) return std::move(text).error();
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(*text, "identity.json"));
  VERGE_ASSIGN(wire::Identity identity, wire::read_identity(node, wire::Place("identity.json")));
  return std::optional(std::move(identity));
}

Result<void> IdentityFiles::write(const wire::Identity& identity) const {
  VERGE_TRY(make_private(folder));
  return write_file(folder / "identity.json", std::string_view(wire::write_json(wire::to_node(identity))));
}

Result<crypto::PrivateKey> IdentityFiles::key() const {
  auto text = read_text(folder / "device.key", kFileLimitBytes);
  if (!text && text.error().code() == ErrorCode::not_found) return new_key();
  if (!text) return std::move(text).error();
  return crypto::PrivateKey::from_pem(*text);
}

Result<crypto::PrivateKey> IdentityFiles::new_key() const {
  VERGE_TRY(make_private(folder));
  auto key = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
  VERGE_TRY(write_file(folder / "device.key", std::string_view(key.pem())));
  ::chmod((folder / "device.key").c_str(), S_IRUSR | S_IWUSR);
  return key;
}

Result<wire::Enrolment> read_enrolment(const std::filesystem::path& file) {
  VERGE_ASSIGN(const std::string text, read_text(file, kFileLimitBytes));
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(text, file.string()));
  const std::string origin = file.string();
  return wire::read_enrolment(node, wire::Place(origin));
}

std::string device_name(std::string_view host_name) {
  std::string name;
  for (const char c : host_name) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool plain = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
    if (plain) {
      name += lower;
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? "device" : name;
}

}  // namespace verge::agent
