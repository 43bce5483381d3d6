// JSON text: foreign JSON, gone through once from front to back, without a document.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace verge::data_processing {

/// Strict (RFC 8259, UTF-8). After the first mistake everything fails. The text must outlive it.
class JsonText {
 public:
  static constexpr int kDepthLimit = 32;

  explicit JsonText(std::string_view text) : text_(text) {}

  /// The next character that is not space; 0 at the end.
  [[nodiscard]] char peek() noexcept;
  /// Calls `member(key)` for each member, which must read its value. `key` is where keys are put.
  template <typename Member>
  bool object(std::string& key, Member member) {
    if (!enter('{')) return false;
    for (bool first = true; more(first, '}'); first = false) {
      if (peek() != '"' || !string(key) || !take(':')) return fail();
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
  bool number(double& out);
  bool boolean(bool& out);
  /// Any value, checked and passed over.
  bool skip();
  [[nodiscard]] bool at_end() noexcept { return !failed_ && peek() == 0 && at_ == text_.size(); }
  bool fail() noexcept {
    failed_ = true;
    return false;
  }
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  /// Byte that it has come to: of the mistake, when it failed.
  [[nodiscard]] std::size_t position() const noexcept { return at_; }

 private:
  bool take(char wanted) noexcept;
  bool enter(char opening) noexcept;
  bool more(bool first, char closing) noexcept;
  bool word(std::string_view wanted) noexcept;
  bool escape(std::string* out);
  bool sequence(std::string* out) noexcept;
  bool text(std::string* out);

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
};

}  // namespace verge::data_processing
