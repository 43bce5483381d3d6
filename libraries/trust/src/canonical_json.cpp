#include "canonical_json.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace verge::trust {
namespace {

using wire::Node;

bool is_whole_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

void write_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

/// Recursion is bounded by wire::kDocumentDepthLimit. False for a number that is not whole, which `bad` then names.
bool write(std::string& out, const Node& node, std::string& bad) {
  switch (node.kind) {
    case Node::Kind::null: out += "null"; return true;
    case Node::Kind::quoted: write_string(out, node.text); return true;
    case Node::Kind::plain:
      out += node.text;
      bad = node.text;
      return node.text == "true" || node.text == "false" || is_whole_number(node.text);
    case Node::Kind::list:
      out += '[';
      for (const auto& item : node.items) {
        if (&item != &node.items.front()) out += ',';
        if (!write(out, item, bad)) return false;
      }
      out += ']';
      return true;
    case Node::Kind::map: break;
  }
  std::vector<const std::pair<std::string, Node>*> members;
  members.reserve(node.members.size());
  for (const auto& member : node.members) members.push_back(&member);
  // The order of UTF-8's bytes is the order of code points.
  std::ranges::sort(members, {}, [](const auto* member) { return std::string_view(member->first); });
  out += '{';
  for (const auto* member : members) {
    if (member != members.front()) out += ',';
    write_string(out, member->first);
    out += ':';
    if (!write(out, member->second, bad)) return false;
  }
  out += '}';
  return true;
}

}  // namespace

Result<std::string> canonical_json(const Node& node) {
  std::string out;
  std::string bad;
  if (write(out, node, bad)) return out;
  return Error(ErrorCode::data_loss, "VRG-TUF-002",
               fmt::format("expected whole numbers only, since a signature covers them, got '{}'", bad));
}

}  // namespace verge::trust
