// JSON reader: goes once through a text, front to back, and builds no document: a request's hundred thousand numbers
// are read where they are wanted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace verge::inference_api {

/// After the first mistake everything fails, and mistake() tells where it was. Used by one thread; the text must
/// outlive it.
class JsonReader {
 public:
  static constexpr int kDepthLimit = 16;  ///< A tensor has at most 8 dimensions.

  explicit JsonReader(std::string_view text) : text_(text) {}

  /// The next character that is not space; 0 at the end.
  [[nodiscard]] char peek() noexcept;
  /// Calls `member(key)` for each member, which must read its value. False after a mistake.
  template <typename Member>
  bool object(Member member) {
    if (!enter('{')) return false;
    std::string key;
    for (bool first = true; more(first, '}'); first = false) {
      if (!string(key) || !take(':')) return fail();
      member(static_cast<const std::string&>(key));
      if (failed_) return false;
    }
    --depth_;
    return !failed_;
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
  bool string(std::string& out);
  /// A whole number; nothing, without a mistake, when the value is anything else, which is then skipped.
  std::optional<std::int64_t> whole_number();
  std::optional<bool> boolean();
  /// Any value, unread: its text. Of lists, only the brackets and texts are looked at: whoever reads the values checks
  /// them.
  std::string_view skip();
  /// Whether nothing but space is left.
  [[nodiscard]] bool at_end() noexcept { return !failed_ && peek() == 0 && at_ >= text_.size(); }
  bool fail() noexcept;
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  /// "at byte 17: nests deeper than a tensor can"; of a failed reader.
  [[nodiscard]] std::string mistake() const;

 private:
  bool take(char wanted) noexcept;
  bool enter(char opening) noexcept;
  bool more(bool first, char closing) noexcept;
  bool unescape(std::string& out);
  std::optional<std::uint32_t> four_digits() noexcept;
  void skip_string() noexcept;
  std::string_view scalar() noexcept;

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
  bool too_deep_ = false;
};

/// Whether the text is UTF-8, without surrogates and overlong forms.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

}  // namespace verge::inference_api
