#include "verge/wire/document.hpp"

#include <charconv>
#include <iterator>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/node/node.h>  // parser.h only names Node, which clang-tidy takes for ours.
#include <yaml-cpp/parser.h>
#include <nlohmann/json.hpp>

#include "verge/base/file.hpp"

namespace verge::wire {
namespace {

/// Stops a parser from inside its callbacks; never leaves this file.
struct Refusal {
  std::string_view id;
  std::string message;
  int line;
};

Error refusal(std::string_view origin, std::string_view id, int line, std::string_view message) {
  return Error(ErrorCode::invalid_argument, id, fmt::format("{} line {}: {}", origin, line, message));
}

/// Builds a tree from the events that both parsers give.
class TreeBuilder {
 public:
  void open(Node::Kind kind, int line) {
    if (static_cast<int>(stack_.size()) >= kDocumentDepthLimit) {
      throw Refusal{"VRG-DOC-008", fmt::format("nested deeper than {} levels", kDocumentDepthLimit), line};
    }
    Node node;
    node.kind = kind;
    node.line = line;
    stack_.push_back(Frame{std::move(node), {}, false, {}});
  }
  void close() {
    Node done = std::move(stack_.back().node);
    stack_.pop_back();
    put(std::move(done));
  }
  void key(std::string key, int line) {
    Frame& frame = stack_.back();
    if (!frame.keys.insert(key).second) {
      throw Refusal{"VRG-DOC-007", fmt::format("the key '{}' stands twice in one map", key), line};
    }
    frame.key = std::move(key);
    frame.has_key = true;
  }
  [[nodiscard]] bool wants_key() const {
    return !stack_.empty() && stack_.back().node.kind == Node::Kind::map && !stack_.back().has_key;
  }
  void scalar(Node::Kind kind, std::string text, int line) {
    Node node;
    node.kind = kind;
    node.text = std::move(text);
    node.line = line;
    put(std::move(node));
  }
  [[nodiscard]] Node take() { return std::move(root_); }

 private:
  struct Frame {
    Node node;
    std::string key;
    bool has_key;
    std::set<std::string> keys;
  };
  void put(Node node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = stack_.back();
    if (frame.node.kind == Node::Kind::map) {
      frame.node.members.emplace_back(std::move(frame.key), std::move(node));
      frame.has_key = false;
    } else {
      frame.node.items.push_back(std::move(node));
    }
  }
  std::vector<Frame> stack_;
  Node root_;
};

class YamlEvents final : public YAML::EventHandler {
 public:
  explicit YamlEvents(TreeBuilder& tree) : tree_(tree) {}
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    if (tree_.wants_key()) throw Refusal{"VRG-DOC-001", "a key is missing before ':'", line(mark)};
    tree_.scalar(Node::Kind::null, {}, line(mark));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refusal{"VRG-DOC-001", "aliases ('*name') are not supported; write the value out", line(mark)};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    if (tree_.wants_key()) {
      tree_.key(value, line(mark));
      return;
    }
    const bool plain = tag == "?";
    if (!plain && tag != "!")
      throw Refusal{"VRG-DOC-001", fmt::format("tags ('{}') are not supported", tag), line(mark)};
    if (plain && (value == "null" || value == "~")) {
      tree_.scalar(Node::Kind::null, {}, line(mark));
    } else {
      tree_.scalar(plain ? Node::Kind::plain : Node::Kind::quoted, value, line(mark));
    }
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::list, mark, anchor);
  }
  void OnSequenceEnd() override { tree_.close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::map, mark, anchor);
  }
  void OnMapEnd() override { tree_.close(); }

 private:
  static int line(const YAML::Mark& mark) { return mark.line + 1; }
  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) throw Refusal{"VRG-DOC-001", "anchors ('&name') are not supported", line(mark)};
  }
  void open(Node::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    if (tree_.wants_key()) throw Refusal{"VRG-DOC-001", "a key must be a text", line(mark)};
    tree_.open(kind, line(mark));
  }
  TreeBuilder& tree_;
};

/// Characters of a text that count the lines they pass, since nlohmann's SAX events carry no position.
class LineCountingIterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  LineCountingIterator() = default;
  LineCountingIterator(const char* at, int* line) : at_(at), line_(line) {}
  reference operator*() const { return *at_; }
  LineCountingIterator& operator++() {
    if (*at_ == '\n') ++*line_;
    ++at_;
    return *this;
  }
  LineCountingIterator operator++(int) {
    auto old = *this;
    ++*this;
    return old;
  }
  bool operator==(const LineCountingIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_ = nullptr;
  int* line_ = nullptr;
};

class JsonEvents {
 public:
  JsonEvents(TreeBuilder& tree, const int& line) : tree_(tree), line_(line) {}
  bool null() { return scalar(Node::Kind::null, {}); }
  bool boolean(bool value) { return scalar(Node::Kind::plain, value ? "true" : "false"); }
  bool number_integer(std::int64_t value) { return scalar(Node::Kind::plain, std::to_string(value)); }
  bool number_unsigned(std::uint64_t value) { return scalar(Node::Kind::plain, std::to_string(value)); }
  bool number_float(double, const std::string& text) { return scalar(Node::Kind::plain, text); }
  bool string(std::string& value) { return scalar(Node::Kind::quoted, value); }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(std::size_t) {
    tree_.open(Node::Kind::map, line_);
    return true;
  }
  bool key(std::string& value) {
    tree_.key(value, line_);
    return true;
  }
  bool end_object() {
    tree_.close();
    return true;
  }
  bool start_array(std::size_t) {
    tree_.open(Node::Kind::list, line_);
    return true;
  }
  bool end_array() {
    tree_.close();
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) {
    std::string_view what = error.what();
    // "[json.exception.parse_error.101] parse error at line 3, column 5: syntax error while …" → from "syntax error".
    if (const auto at = what.find(": "); at != std::string_view::npos) what.remove_prefix(at + 2);
    throw Refusal{"VRG-DOC-001", "not valid JSON: " + std::string(what), line_};
  }

 private:
  bool scalar(Node::Kind kind, std::string text) {
    tree_.scalar(kind, std::move(text), line_);
    return true;
  }
  TreeBuilder& tree_;
  const int& line_;
};

Result<void> check_size(std::string_view text, std::string_view origin) {
  if (text.size() <= kDocumentLimitBytes) return {};
  return Error(
      ErrorCode::resource_exhausted, "VRG-BAS-003",
      fmt::format("'{}' is too large: expected at most {} bytes, got {}", origin, kDocumentLimitBytes, text.size()));
}

/// Bytes of the UTF-8 character that `text` begins with; 0 when it is none (RFC 3629: no surrogates, no long forms).
std::size_t character_size(std::string_view text) {
  const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U; };
  const unsigned first = byte(0);
  if (first < 0x80U) return 1;
  const std::size_t size = first >= 0xF0U ? 4 : first >= 0xE0U ? 3 : 2;
  if (first < 0xC2U || first > 0xF4U) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  }
  const unsigned second = byte(1);
  const bool wrong = (first == 0xE0U && second < 0xA0U) || (first == 0xEDU && second > 0x9FU) ||
                     (first == 0xF0U && second < 0x90U) || (first == 0xF4U && second > 0x8FU);
  return wrong ? 0 : size;
}

/// YAML's parser lets any bytes through, JSON's does not: what is read must be writable.
Result<void> check_utf8(std::string_view text, std::string_view origin) {
  int line = 1;
  while (!text.empty()) {
    const std::size_t size = character_size(text);
    if (size == 0) return refusal(origin, "VRG-DOC-001", line, "expected UTF-8 text, got other bytes");
    if (text.front() == '\n') ++line;
    text.remove_prefix(size);
  }
  return {};
}

}  // namespace

const Node* Node::find(std::string_view key) const noexcept {
  for (const auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

Node Node::map() {
  Node node;
  node.kind = Kind::map;
  return node;
}
Node Node::list() {
  Node node;
  node.kind = Kind::list;
  return node;
}
Node Node::string(std::string_view value) {
  Node node;
  node.kind = Kind::quoted;
  node.text = value;
  return node;
}
Node Node::integer(std::int64_t value) {
  Node node;
  node.kind = Kind::plain;
  node.text = std::to_string(value);
  return node;
}
Node Node::number(double value) {
  Node node;
  node.kind = Kind::plain;
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  node.text.assign(text.data(), end);
  return node;
}
Node Node::boolean(bool value) {
  Node node;
  node.kind = Kind::plain;
  node.text = value ? "true" : "false";
  return node;
}

std::string_view Place::origin() const {
  return parent_ != nullptr ? parent_->origin() : origin_;
}

std::string Place::path() const {
  if (parent_ == nullptr) return {};
  std::string path = parent_->path();
  if (key_.empty()) return path + fmt::format("[{}]", index_);
  return path.empty() ? std::string(key_) : path + "." + std::string(key_);
}

std::string Place::text(int line) const {
  std::string text(origin());
  if (line > 0) text += fmt::format(" line {}", line);
  const auto where = path();
  return where.empty() ? text : text + ": '" + where + "'";
}

Result<Node> parse_yaml(std::string_view text, std::string_view origin) {
  VERGE_TRY(check_size(text, origin));
  VERGE_TRY(check_utf8(text, origin));
  TreeBuilder tree;
  YamlEvents events(tree);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    parser.HandleNextDocument(events);
    TreeBuilder rest;
    YamlEvents rest_events(rest);
    if (parser.HandleNextDocument(rest_events)) {
      return refusal(origin, "VRG-DOC-001", 1, "expected one YAML document, got several ('---')");
    }
    return tree.take();
  } catch (const Refusal& refused) {
    return refusal(origin, refused.id, refused.line, refused.message);
  } catch (const YAML::Exception& error) {
    return refusal(origin, "VRG-DOC-001", error.mark.line + 1, "not valid YAML: " + error.msg);
  } catch (const std::exception& error) {
    return refusal(origin, "VRG-DOC-001", 1, std::string("not valid YAML: ") + error.what());
  }
}

Result<Node> parse_json(std::string_view text, std::string_view origin) {
  VERGE_TRY(check_size(text, origin));
  TreeBuilder tree;
  int line = 1;
  JsonEvents events(tree, line);
  try {
    nlohmann::json::sax_parse(LineCountingIterator(text.data(), &line),
                              LineCountingIterator(text.data() + text.size(), &line), &events);
    return tree.take();
  } catch (const Refusal& refused) {
    return refusal(origin, refused.id, refused.line, refused.message);
  }
}

Result<Node> read_document(const std::filesystem::path& path, std::string_view origin) {
  VERGE_ASSIGN(const auto text, read_text(path, kDocumentLimitBytes));
  const std::string shown = origin.empty() ? path.string() : std::string(origin);
  return path.extension() == ".json" ? parse_json(text, shown) : parse_yaml(text, shown);
}

}  // namespace verge::wire
