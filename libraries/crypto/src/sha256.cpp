#include "verge/crypto/sha256.hpp"

#include <array>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include <fmt/format.h>
#include <openssl/evp.h>

namespace verge::crypto {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() {
    if (context == nullptr || EVP_DigestInit_ex(context, EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
  [[maybe_unused]] const int done = EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
  assert(done == 1);
}

std::string Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned size = 0;
  [[maybe_unused]] const int done = EVP_DigestFinal_ex(state_->context, raw.data(), &size);
  assert(done == 1);
  std::string text = "sha256:";
  for (unsigned i = 0; i < size; ++i) fmt::format_to(std::back_inserter(text), "{:02x}", raw.at(i));
  return text;
}

std::string sha256(std::span<const std::byte> bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.finish();
}

std::string sha256(std::string_view text) {
  return sha256(std::as_bytes(std::span(text.data(), text.size())));
}

Result<FileDigest> sha256_of_file(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (file == nullptr) {
    return Error(errno == ENOENT ? ErrorCode::not_found : ErrorCode::unavailable, "VRG-BAS-001",
                 fmt::format("cannot read '{}': {}; check the path", path.string(), std::strerror(errno)));
  }
  Sha256 digest;
  std::uint64_t size = 0;
  std::array<std::byte, 1U << 16U> piece{};
  while (const std::size_t got = std::fread(piece.data(), 1, piece.size(), file.get())) {
    size += got;
    if (size > limit_bytes) {
      return Error(ErrorCode::resource_exhausted, "VRG-BAS-003",
                   fmt::format("'{}' is too large: expected at most {} bytes", path.string(), limit_bytes));
    }
    digest.update(std::span(piece.data(), got));
  }
  if (std::ferror(file.get()) != 0) {
    return Error(ErrorCode::unavailable, "VRG-BAS-001",
                 fmt::format("cannot read '{}': it is not a readable file", path.string()));
  }
  return FileDigest{digest.finish(), size};
}

bool is_sha256(std::string_view text) noexcept {
  constexpr std::string_view kPrefix = "sha256:";
  return text.size() == kPrefix.size() + 64 && text.starts_with(kPrefix) &&
         text.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string_view::npos;
}

}  // namespace verge::crypto
