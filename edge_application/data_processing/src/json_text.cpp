#include "json_text.hpp"

#include <charconv>
#include <cstdint>

namespace verge::data_processing {
namespace {

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

/// The four hexadecimal digits at `at`; false when they are none.
bool four_digits(std::string_view text, std::size_t at, std::uint32_t& out) noexcept {
  if (text.size() - at < 4) return false;
  const char* const begin = text.data() + at;
  const auto [end, error] = std::from_chars(begin, begin + 4, out, 16);
  return error == std::errc() && end == begin + 4;
}

void append_utf8(std::uint32_t code, std::string& out) {
  const auto tail = [&](unsigned shift) { out += static_cast<char>(0x80U | ((code >> shift) & 0x3fU)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0U | (code >> 6U));
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0U | (code >> 12U));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0U | (code >> 18U));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace

char JsonText::peek() noexcept {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
    ++at_;
  }
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonText::take(char wanted) noexcept {
  if (failed_ || peek() != wanted || at_ >= text_.size()) return fail();
  ++at_;
  return true;
}

bool JsonText::enter(char opening) noexcept {
  if (!take(opening) || ++depth_ > kDepthLimit) return fail();
  return true;
}

/// Whether another member or element follows; takes the comma before it, or the closing bracket.
bool JsonText::more(bool first, char closing) noexcept {
  if (failed_) return false;
  if (peek() == closing) {
    ++at_;
    return false;
  }
  return first || take(',');
}

bool JsonText::word(std::string_view wanted) noexcept {
  (void)peek();
  if (failed_ || !text_.substr(at_).starts_with(wanted)) return fail();
  at_ += wanted.size();
  return true;
}

/// What follows a backslash.
bool JsonText::escape(std::string* out) {
  if (at_ >= text_.size()) return fail();
  const char c = text_[at_++];
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  if (const auto found = kNames.find(c); found != std::string_view::npos) {
    if (out != nullptr) *out += kMeanings[found];
    return true;
  }
  std::uint32_t code = 0;
  if (c != 'u' || !four_digits(text_, at_, code)) return fail();
  at_ += 4;
  if (code >= 0xdc00 && code < 0xe000) return fail();
  if (code >= 0xd800 && code < 0xdc00) {
    std::uint32_t low = 0;
    if (!text_.substr(at_).starts_with("\\u") || !four_digits(text_, at_ + 2, low) || low < 0xdc00 || low >= 0xe000) {
      return fail();
    }
    at_ += 6;
    code = 0x10000 + ((code - 0xd800) << 10U) + (low - 0xdc00);
  }
  if (out != nullptr) append_utf8(code, *out);
  return true;
}

/// One character of UTF-8, without surrogates and overlong forms.
bool JsonText::sequence(std::string* out) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text_[at_ + i]); };
  const unsigned lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xc2 ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
  if (length == 0 || lead < 0x20 || text_.size() - at_ < length) return fail();
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return fail();
  }
  if (length > 2) {
    const unsigned second = byte(1);
    const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
    if (overlong || (lead == 0xed && second >= 0xa0) || (lead == 0xf4 && second >= 0x90)) return fail();
  }
  if (out != nullptr) out->append(text_.substr(at_, length));
  at_ += length;
  return true;
}

bool JsonText::text(std::string* out) {
  if (!take('"')) return false;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '"') {
      ++at_;
      return true;
    }
    if (c == '\\') {
      ++at_;
      if (!escape(out)) return false;
    } else if (!sequence(out)) {
      return false;
    }
  }
  return fail();
}

bool JsonText::string(std::string& out) {
  out.clear();
  return text(&out);
}

bool JsonText::number(double& out) {
  (void)peek();
  const std::size_t begin = at_;
  const auto digits = [&] {
    const std::size_t from = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ - from;
  };
  const auto is = [&](std::string_view any) {
    return at_ < text_.size() && any.find(text_[at_]) != std::string_view::npos;
  };
  if (is("-")) ++at_;
  const bool zero = is("0");
  const auto whole = digits();
  if (failed_ || whole == 0 || (zero && whole > 1)) return fail();
  if (is(".")) {
    ++at_;
    if (digits() == 0) return fail();
  }
  if (is("eE")) {
    ++at_;
    if (is("+-")) ++at_;
    if (digits() == 0) return fail();
  }
  const auto [end, error] = std::from_chars(text_.data() + begin, text_.data() + at_, out);
  return (error == std::errc() && end == text_.data() + at_) || fail();
}

bool JsonText::boolean(bool& out) {
  out = peek() == 't';
  return word(out ? "true" : "false");
}

bool JsonText::skip() {
  bool truth = false;
  double value = 0;
  switch (peek()) {
    case '{': {
      if (!enter('{')) return false;
      for (bool first = true; more(first, '}'); first = false) {
        if (peek() != '"' || !text(nullptr) || !take(':') || !skip()) return fail();
      }
      --depth_;
      return !failed_;
    }
    case '[': return array([this] { skip(); });
    case '"': return text(nullptr);
    case 't':
    case 'f': return boolean(truth);
    case 'n': return word("null");
    default: return number(value);
  }
}

}  // namespace verge::data_processing
