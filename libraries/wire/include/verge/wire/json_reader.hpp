// JSON reader: goes once through a foreign text (RFC 8259, UTF-8), front to back, and builds no document: a request's
// hundred thousand numbers are read where they are wanted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace verge::wire {

/// After the first mistake everything fails, and mistake() tells where it was. Used by one thread; the text must
/// outlive it.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text, int depth_limit = 32) : text_(text), depth_limit_(depth_limit) {}

  /// The next character that is not space; 0 at the end.
  [[nodiscard]] char peek() noexcept;
  /// Calls `member(key)` for each member, which must read its value. `key` is where keys are put. False after a
  /// mistake.
  template <typename Member>
  bool object(std::string& key, Member member) {
    if (!enter('{')) return false;
    for (bool first = true; more(first, '}'); first = false) {
      if (!string(key) || !take(':')) return fail();
      member(static_cast<const std::string&>(key));
      if (failed_) return false;
    }
    --depth_;
    return !failed_;
  }
  template <typename Member>
  bool object(Member member) {
    std::string key;
    return object(key, member);
  }
  /// Calls `element()` for each element, which must read it.
  template <typename Element>
  bool array(Element element) {
    if (!enter('[')) return false;
    for (bool first = true; more(first, ']'); first = false) {
      element();
      if (failed_) return false;
    }
    --depth_;
    return !failed_;
  }
  bool string(std::string& out) { return text(&out); }
  /// As any number is written; too large a one is a mistake.
  bool number(double& out) noexcept;
  /// A whole number; nothing, without a mistake, when the value is anything else, which is then skipped.
  std::optional<std::int64_t> whole_number();
  std::optional<bool> boolean();
  /// Any value, passed over and checked to its last byte.
  bool check();
  /// Any value, unread: its text. Of lists, only the brackets and texts are looked at: whoever reads the values checks
  /// them.
  std::string_view skip();
  /// Whether nothing but space is left.
  [[nodiscard]] bool at_end() noexcept { return !failed_ && peek() == 0 && at_ >= text_.size(); }
  bool fail() noexcept;
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  /// Byte that it has come to: of the mistake, when it failed.
  [[nodiscard]] std::size_t position() const noexcept { return at_; }
  /// "at byte 17: it nests deeper than 16 levels"; of a failed reader.
  [[nodiscard]] std::string mistake() const;

 private:
  bool take(char wanted) noexcept;
  bool enter(char opening) noexcept;
  bool more(bool first, char closing) noexcept;
  bool text(std::string* out);
  bool unescape(std::string* out);
  std::optional<std::uint32_t> four_digits() noexcept;
  void skip_string() noexcept;
  std::string_view scalar() noexcept;

  std::string_view text_;
  int depth_limit_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
  bool too_deep_ = false;
};

/// Whether the text is UTF-8, without surrogates and overlong forms.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

}  // namespace verge::wire
