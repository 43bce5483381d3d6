#include "verge/crypto/digest.hpp"

#include <array>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <new>

#include <fmt/format.h>
#include <openssl/evp.h>

namespace verge::crypto {
namespace {

struct Form {
  std::string_view name;
  std::size_t digits;
};
// In the order of DigestAlgorithm.
constexpr std::array<Form, 2> kForms{{{"sha256", 64}, {"sha512", 128}}};

const EVP_MD* function_of(DigestAlgorithm algorithm) {
  return algorithm == DigestAlgorithm::sha256 ? EVP_sha256() : EVP_sha512();
}

}  // namespace

std::string_view name(DigestAlgorithm algorithm) noexcept {
  return kForms.at(static_cast<std::size_t>(algorithm)).name;
}

std::optional<DigestAlgorithm> to_digest_algorithm(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kForms.size(); ++i) {
    if (kForms.at(i).name == name) return static_cast<DigestAlgorithm>(i);
  }
  return std::nullopt;
}

std::optional<DigestAlgorithm> algorithm_of(std::string_view text) noexcept {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto algorithm = to_digest_algorithm(text.substr(0, colon));
  const auto digits = text.substr(colon + 1);
  if (!algorithm || digits.size() != kForms.at(static_cast<std::size_t>(*algorithm)).digits ||
      digits.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return std::nullopt;
  }
  return algorithm;
}

struct Digest::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  DigestAlgorithm algorithm;
  explicit State(DigestAlgorithm wanted) : algorithm(wanted) {
    if (context == nullptr || EVP_DigestInit_ex(context, function_of(wanted), nullptr) != 1) throw std::bad_alloc();
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Digest::Digest(DigestAlgorithm algorithm) : state_(std::make_unique<State>(algorithm)) {}
Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;

void Digest::update(std::span<const std::byte> bytes) {
  [[maybe_unused]] const int done = EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
  assert(done == 1);
}

std::string Digest::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned size = 0;
  [[maybe_unused]] const int done = EVP_DigestFinal_ex(state_->context, raw.data(), &size);
  assert(done == 1);
  auto text = fmt::format("{}:", name(state_->algorithm));
  for (unsigned i = 0; i < size; ++i) fmt::format_to(std::back_inserter(text), "{:02x}", raw.at(i));
  return text;
}

std::string digest(DigestAlgorithm algorithm, std::string_view text) {
  Digest digest(algorithm);
  digest.update(std::as_bytes(std::span(text.data(), text.size())));
  return digest.finish();
}

Result<FileDigest> digest_of_file(DigestAlgorithm algorithm, const std::filesystem::path& path,
                                  std::uint64_t limit_bytes) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (file == nullptr) {
    return Error(errno == ENOENT ? ErrorCode::not_found : ErrorCode::unavailable, "VRG-BAS-001",
                 fmt::format("cannot read '{}': {}; check the path", path.string(), std::strerror(errno)));
  }
  Digest digest(algorithm);
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

}  // namespace verge::crypto
