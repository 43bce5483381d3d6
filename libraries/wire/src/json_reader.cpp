#include "verge/wire/json_reader.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

namespace verge::wire {
namespace {

constexpr bool is_space(char c) noexcept {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/// Brackets and quotes: what skipping a list has to stop at.
constexpr auto kStructure = [] {
  std::array<bool, 256> table{};
  for (const char c : {'[', ']', '{', '}', '"'}) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

/// Where the next bracket or quote is, or the end. Lists of numbers are passed over eight bytes at a time.
std::size_t next_structure(std::string_view text, std::size_t at) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  while (at < text.size()) {
    if (text.size() - at >= sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + at, sizeof(word));
      const std::uint64_t quotes = word ^ (kOnes * '"');
      const bool has_quote = ((quotes - kOnes) & ~quotes & (kOnes << 7U)) != 0;
      if ((word & (kOnes * 0x40)) == 0 && !has_quote) {  // Digits, commas, points, signs, space: all below '@'.
        at += sizeof(word);
        continue;
      }
    }
    const auto stop = std::min(text.size(), at + sizeof(std::uint64_t));
    for (; at < stop; ++at) {
      if (kStructure[static_cast<unsigned char>(text[at])]) return at;
    }
  }
  return at;
}

void append_utf8(std::uint32_t code, std::string& out) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0U | (code >> 6U));
  } else if (code < 0x10000) {
    put(0xE0U | (code >> 12U));
    put(0x80U | ((code >> 6U) & 0x3FU));
  } else {
    put(0xF0U | (code >> 18U));
    put(0x80U | ((code >> 12U) & 0x3FU));
    put(0x80U | ((code >> 6U) & 0x3FU));
  }
  put(0x80U | (code & 0x3FU));
}

bool is_number(std::string_view text) noexcept {
  std::size_t at = text.starts_with('-') ? 1 : 0;
  const auto digits = [&] {
    const auto start = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at - start;
  };
  const bool zero = at < text.size() && text[at] == '0';
  const auto whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0) return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80                    ? 1
                               : lead >= 0xC2 && lead <= 0xDF ? 2
                               : lead >= 0xE0 && lead <= 0xEF ? 3
                               : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                              : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (std::size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0U) != 0x80) return false;
    }
    const auto second = length > 1 ? static_cast<unsigned char>(text[i + 1]) : 0;
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
        (lead == 0xF4 && second > 0x8F)) {
      return false;
    }
    i += length;
  }
  return true;
}

char JsonReader::peek() noexcept {
  while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonReader::fail() noexcept {
  failed_ = true;
  return false;
}

bool JsonReader::take(char wanted) noexcept {
  if (failed_ || peek() != wanted || at_ >= text_.size()) return false;
  ++at_;
  return true;
}

bool JsonReader::enter(char opening) noexcept {
  if (!take(opening)) return fail();
  if (++depth_ <= depth_limit_) return true;
  too_deep_ = true;
  return fail();
}

bool JsonReader::more(bool first, char closing) noexcept {
  if (failed_ || take(closing)) return false;
  if (first) return true;
  return take(',') || fail();
}

std::optional<std::uint32_t> JsonReader::four_digits() noexcept {
  std::uint32_t code = 0;
  if (at_ + 4 > text_.size()) return std::nullopt;
  const char* const begin = text_.data() + at_;
  const auto read = std::from_chars(begin, begin + 4, code, 16);
  if (read.ec != std::errc{} || read.ptr != begin + 4) return std::nullopt;
  at_ += 4;
  return code;
}

bool JsonReader::unescape(std::string* out) {
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
  if (at_ >= text_.size()) return fail();
  const char c = text_[at_++];
  if (const auto found = kNames.find(c); found != std::string_view::npos) {
    if (out != nullptr) *out += kMeant[found];
    return true;
  }
  if (c != 'u') return fail();
  auto code = four_digits();
  if (!code || (*code >= 0xDC00 && *code <= 0xDFFF)) return fail();
  if (*code >= 0xD800 && *code <= 0xDBFF) {
    if (text_.substr(at_, 2) != "\\u") return fail();
    at_ += 2;
    const auto low = four_digits();
    if (!low || *low < 0xDC00 || *low > 0xDFFF) return fail();
    code = 0x10000 + ((*code - 0xD800) << 10U) + (*low - 0xDC00);
  }
  if (out != nullptr) append_utf8(*code, *out);
  return true;
}

bool JsonReader::text(std::string* out) {
  if (out != nullptr) out->clear();
  if (!take('"')) return fail();
  for (;;) {
    const auto start = at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
           static_cast<unsigned char>(text_[at_]) >= 0x20) {
      ++at_;
    }
    const auto plain = text_.substr(start, at_ - start);
    if (!is_utf8(plain)) return fail();
    if (out != nullptr) out->append(plain);
    if (at_ >= text_.size() || static_cast<unsigned char>(text_[at_]) < 0x20) return fail();
    if (text_[at_++] == '"') return true;
    if (!unescape(out)) return false;
  }
}

std::string_view JsonReader::scalar() noexcept {
  static_cast<void>(peek());
  const auto start = at_;
  while (at_ < text_.size() && !is_space(text_[at_]) && text_[at_] != ',' && text_[at_] != ']' && text_[at_] != '}') {
    ++at_;
  }
  const auto word = text_.substr(start, at_ - start);
  if (word != "true" && word != "false" && word != "null" && !is_number(word)) {
    at_ = start;
    fail();
    return {};
  }
  return word;
}

bool JsonReader::number(double& out) noexcept {
  const auto word = scalar();
  const auto read = std::from_chars(word.data(), word.data() + word.size(), out);
  return (!failed_ && read.ec == std::errc{} && read.ptr == word.data() + word.size()) || fail();
}

bool JsonReader::check() {
  switch (peek()) {
    case '{':
      if (!enter('{')) return false;
      for (bool first = true; more(first, '}'); first = false) {
        if (!text(nullptr) || !take(':') || !check()) return fail();
      }
      --depth_;
      return !failed_;
    case '[': return array([this] { check(); });
    case '"': return text(nullptr);
    case 't':
    case 'f':
    case 'n': scalar(); return !failed_;
    default: {
      double value = 0;
      return number(value);
    }
  }
}

std::optional<std::int64_t> JsonReader::whole_number() {
  const auto word = skip();
  std::int64_t number = 0;
  const auto read = std::from_chars(word.data(), word.data() + word.size(), number);
  if (failed_ || read.ec != std::errc{} || read.ptr != word.data() + word.size()) return std::nullopt;
  return number;
}

std::optional<bool> JsonReader::boolean() {
  const auto word = skip();
  if (failed_ || (word != "true" && word != "false")) return std::nullopt;
  return word == "true";
}

void JsonReader::skip_string() noexcept {
  for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
    if (text_[at_] == '\\') ++at_;
  }
  if (at_ < text_.size()) {
    ++at_;
  } else {
    fail();
  }
}

std::string_view JsonReader::skip() {
  if (failed_) return {};
  const char first = peek();
  const auto start = at_;
  if (first == '"') {
    skip_string();
  } else if (first != '[' && first != '{') {
    return scalar();
  } else {
    const int outside = depth_;
    do {
      at_ = next_structure(text_, at_);
      if (at_ >= text_.size()) return fail(), std::string_view();
      const char c = text_[at_];
      if (c == '"') {
        skip_string();
        continue;
      }
      ++at_;
      depth_ += c == '[' || c == '{' ? 1 : -1;
      if (depth_ > depth_limit_) {
        too_deep_ = true;
        return fail(), std::string_view();
      }
    } while (!failed_ && depth_ > outside);
  }
  return failed_ ? std::string_view() : text_.substr(start, at_ - start);
}

std::string JsonReader::mistake() const {
  return fmt::format("at byte {}: {}", at_,
                     too_deep_             ? fmt::format("it nests deeper than {} levels", depth_limit_)
                     : at_ >= text_.size() ? "it ends too early"
                                           : "this was not expected here");
}

}  // namespace verge::wire
