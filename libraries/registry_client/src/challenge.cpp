#include "verge/registry_client/challenge.hpp"

#include <algorithm>
#include <optional>

namespace verge::registry_client {
namespace {

constexpr std::size_t kTextLimitBytes = 8U << 10U;
constexpr std::size_t kChallengeLimit = 8;
constexpr std::size_t kParameterLimit = 32;

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text.substr(0, kTextLimitBytes)) {}

  void skip_blanks() { skip(" \t"); }
  void skip_separators() { skip(" \t,"); }
  bool take(char wanted) {
    if (text_.empty() || text_.front() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }
  /// Empty when there is none.
  std::string token() {
    auto end = std::ranges::find_if_not(text_, is_token) - text_.begin();
    std::string found(text_.substr(0, static_cast<std::size_t>(end)));
    text_.remove_prefix(found.size());
    return found;
  }
  std::optional<std::string> value() {
    if (!take('"')) {
      auto plain = token();
      if (plain.empty()) return std::nullopt;
      return plain;
    }
    std::string quoted;
    while (!text_.empty()) {
      char c = text_.front();
      text_.remove_prefix(1);
      if (c == '"') return quoted;
      if (c == '\\') {
        if (text_.empty()) return std::nullopt;
        c = text_.front();
        text_.remove_prefix(1);
      }
      quoted += c;
    }
    return std::nullopt;
  }
  /// Whether a parameter and not the next challenge comes.
  [[nodiscard]] bool at_parameter() const {
    Reader ahead = *this;
    if (ahead.token().empty()) return false;
    ahead.skip_blanks();
    return ahead.take('=');
  }

 private:
  static bool is_token(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  }
  void skip(std::string_view what) { text_.remove_prefix(std::min(text_.find_first_not_of(what), text_.size())); }
  std::string_view text_;
};

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

/// False when it is malformed.
bool read_parameters(Reader& reader, Challenge& challenge) {
  for (;;) {
    reader.skip_separators();
    if (!reader.at_parameter()) return true;
    const auto name = lower(reader.token());
    reader.skip_blanks();
    reader.take('=');
    reader.skip_blanks();
    auto value = reader.value();
    if (!value || challenge.parameters.size() >= kParameterLimit) return false;
    challenge.parameters.emplace(name, std::move(*value));
  }
}

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view text) {
  std::vector<Challenge> found;
  Reader reader(text);
  while (found.size() < kChallengeLimit) {
    reader.skip_separators();
    Challenge challenge;
    challenge.scheme = lower(reader.token());
    if (challenge.scheme.empty() || !read_parameters(reader, challenge)) return found;
    found.push_back(std::move(challenge));
  }
  return found;
}

}  // namespace verge::registry_client
