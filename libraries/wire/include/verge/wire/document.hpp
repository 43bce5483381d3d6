// Document: YAML or JSON as a tree that knows its lines, so that every complaint can name one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::wire {

/// A value of a document. Scalars keep their text; what they mean is decided by the schema that reads them.
struct Node {
  enum class Kind { null, plain, quoted, list, map };  ///< plain: number, boolean or bare word; quoted: a string.
  Kind kind = Kind::null;
  std::string text;
  std::vector<Node> items;
  std::vector<std::pair<std::string, Node>> members;  ///< In the order of the file; keys are unique.
  int line = 0;                                       ///< From 1; 0 when made in memory.

  // Declared here and defaulted below: Clang 14 would else look into a pair of an incomplete Node.
  Node();
  ~Node();
  Node(const Node&);
  Node(Node&&) noexcept;
  Node& operator=(const Node&);
  Node& operator=(Node&&) noexcept;

  /// The member called so, or null.
  [[nodiscard]] const Node* find(std::string_view key) const noexcept;
  void add(std::string_view key, Node value);

  [[nodiscard]] static Node map();
  [[nodiscard]] static Node list();
  [[nodiscard]] static Node string(std::string_view value);
  [[nodiscard]] static Node integer(std::int64_t value);
  [[nodiscard]] static Node number(double value);  ///< The shortest text that reads back as the same value.
  [[nodiscard]] static Node boolean(bool value);
  template <typename Range, typename Make>
  [[nodiscard]] static Node list_of(const Range& range, Make make);
  template <typename Map, typename Make>
  [[nodiscard]] static Node map_of(const Map& values, Make make);
};

inline Node::Node() = default;
inline Node::~Node() = default;
inline Node::Node(const Node&) = default;
inline Node::Node(Node&&) noexcept = default;
inline Node& Node::operator=(const Node&) = default;
inline Node& Node::operator=(Node&&) noexcept = default;
inline void Node::add(std::string_view key, Node value) {
  members.emplace_back(key, std::move(value));
}
template <typename Range, typename Make>
Node Node::list_of(const Range& range, Make make) {
  Node node = list();
  for (const auto& item : range) node.items.push_back(make(item));
  return node;
}
template <typename Map, typename Make>
Node Node::map_of(const Map& values, Make make) {
  Node node = map();
  for (const auto& [key, item] : values) node.add(key, make(item));
  return node;
}

/// Where a value stands: the file and the path of keys to it. Refers to its parent, which must outlive it.
class Place {
 public:
  /// `origin` is shown in messages: a file name.
  explicit Place(std::string_view origin) : origin_(origin) {}
  [[nodiscard]] Place member(std::string_view key) const { return {this, key, 0}; }
  [[nodiscard]] Place at(std::size_t index) const { return {this, {}, index}; }
  /// "preprocessing.yaml line 4: 'steps[1].resize.width'".
  [[nodiscard]] std::string text(int line) const;
  [[nodiscard]] std::string path() const;
  [[nodiscard]] std::string_view origin() const;

 private:
  Place(const Place* parent, std::string_view key, std::size_t index) : parent_(parent), key_(key), index_(index) {}
  const Place* parent_ = nullptr;
  std::string_view origin_;
  std::string_view key_;
  std::size_t index_ = 0;
};

/// Largest document that is read, in bytes, and its deepest nesting.
inline constexpr std::uint64_t kDocumentLimitBytes = 4U << 20U;
inline constexpr int kDocumentDepthLimit = 64;

/// Parses text; `origin` names it in messages. Anchors, aliases, tags and duplicate keys are refused.
/// Errors: invalid_argument (VRG-DOC-001 syntax, with the line; VRG-DOC-007 duplicate key; VRG-DOC-008 too deep).
Result<Node> parse_yaml(std::string_view text, std::string_view origin);
Result<Node> parse_json(std::string_view text, std::string_view origin);
/// Reads a file and parses it by its extension (.json, else YAML). `origin` defaults to the path.
Result<Node> read_document(const std::filesystem::path& path, std::string_view origin = {});

/// JSON, indented by 2, with a newline at the end; short lists of scalars stay on one line.
[[nodiscard]] std::string write_json(const Node& node);
/// JSON on one line.
[[nodiscard]] std::string write_json_line(const Node& node);
/// Block-style YAML, maps of scalars inside lists in flow style.
[[nodiscard]] std::string write_yaml(const Node& node);

}  // namespace verge::wire
