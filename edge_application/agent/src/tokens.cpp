#include "tokens.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/crypto/random.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::agent {
namespace {

constexpr std::uint64_t kFileLimitBytes = std::uint64_t{1} << 20U;
constexpr std::size_t kTokenBytes = 32;

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

Result<std::map<std::string, std::string>> parse(std::string_view text, const std::filesystem::path& file) {
  std::map<std::string, std::string> digests;
  for (int number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const auto colon = line.find(':');
    const auto name = trimmed(line.substr(0, colon));
    const auto digest = colon == std::string_view::npos ? std::string_view() : trimmed(line.substr(colon + 1));
    if (!is_name(name) || !crypto::is_sha256(digest) || !digests.emplace(name, digest).second) {
      return Error(
          ErrorCode::invalid_argument, "VRG-AGT-021",
          fmt::format("{} line {}: expected 'name: sha256:…' with 64 hexadecimal digits, each name once; make a "
                      "token with 'verge-agent token NAME --file {}'",
                      file.string(), number, file.string()));
    }
  }
  return digests;
}

}  // namespace

Tokens::Tokens(std::filesystem::path file, Log& log) : file_(std::move(file)), log_(log), watched_({file_.string()}) {}

Result<std::unique_ptr<Tokens>> Tokens::open(const std::filesystem::path& file, Log& log) {
  std::unique_ptr<Tokens> tokens(new Tokens(file, log));
  VERGE_TRY(tokens->read());
  return tokens;
}

Result<void> Tokens::read() {
  VERGE_ASSIGN(const auto text, read_text(file_, kFileLimitBytes));
  VERGE_ASSIGN(auto digests, parse(text, file_));
  const std::lock_guard lock(mutex_);
  digests_ = std::move(digests);
  return {};
}

Result<std::string> Tokens::check(std::string_view authorization) {
  if (watched_.changed()) {
    const auto done = read();
    if (done) {
      log_.info("the tokens were read again", {{"file", file_.string()}});
    } else {
      log_.error("the new tokens are refused; the old ones stay", {{"error", done.error().text()}});
    }
  }
  constexpr std::string_view kBearer = "Bearer ";
  if (authorization.starts_with(kBearer) && authorization.size() <= 1024) {
    const auto digest = crypto::sha256(trimmed(authorization.substr(kBearer.size())));
    const std::lock_guard lock(mutex_);
    for (const auto& [name, known] : digests_) {
      if (crypto::same_secret(known, digest)) return name;
    }
  }
  return Error(ErrorCode::unauthenticated, "VRG-AGT-022",
               authorization.empty() ? "expected 'Authorization: Bearer TOKEN', got none; a token is made by "
                                       "'verge-agent token NAME' on the device"
                                     : "the token is not known here (any more); a token is made by 'verge-agent token "
                                       "NAME' on the device");
}

Result<NewToken> make_token(const std::string& name, const std::filesystem::path& file) {
  if (!is_name(name)) {
    return Error(ErrorCode::invalid_argument, "VRG-AGT-021",
                 fmt::format("expected a name of letters, digits, '.', '_' and '-', got '{}'", name));
  }
  NewToken made;
  made.token = crypto::random_hex(kTokenBytes);
  made.line = fmt::format("{}: {}\n", name, crypto::sha256(made.token));
  if (file.empty()) return made;
  std::string text;
  if (std::error_code failed; std::filesystem::exists(file, failed)) {
    VERGE_ASSIGN(text, read_text(file, kFileLimitBytes));
    VERGE_ASSIGN(const auto known, parse(text, file));
    if (known.contains(name)) {
      return Error(ErrorCode::already_exists, "VRG-AGT-023",
                   fmt::format("'{}' has a token called '{}' already; remove its line first, or take another name",
                               file.string(), name));
    }
    if (!text.empty() && text.back() != '\n') text += '\n';
  }
  VERGE_TRY(write_file(file, text + made.line));
  return made;
}

}  // namespace verge::agent
