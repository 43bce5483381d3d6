// Writing: documents as JSON and YAML, so that they read back as they are.
#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "verge/wire/document.hpp"

namespace verge::wire {
namespace {

nlohmann::ordered_json to_json(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null: return nullptr;
    case Node::Kind::quoted: return node.text;
    case Node::Kind::plain: {
      auto parsed = nlohmann::ordered_json::parse(node.text, nullptr, false);
      return parsed.is_discarded() ? nlohmann::ordered_json(node.text) : parsed;
    }
    case Node::Kind::list: {
      auto list = nlohmann::ordered_json::array();
      for (const auto& item : node.items) list.push_back(to_json(item));
      return list;
    }
    case Node::Kind::map: {
      auto map = nlohmann::ordered_json::object();
      for (const auto& [key, value] : node.members) map[key] = to_json(value);
      return map;
    }
  }
  return nullptr;
}

bool has_only_scalars(const Node& node) {
  for (const auto& item : node.items) {
    if (item.kind == Node::Kind::list || item.kind == Node::Kind::map) return false;
  }
  for (const auto& [key, value] : node.members) {
    if (value.kind == Node::Kind::map || (value.kind == Node::Kind::list && !has_only_scalars(value))) return false;
  }
  return true;
}

std::string json_scalar(const Node& node) {
  return to_json(node).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void write_json_indented(std::string& out, const Node& node, int indent) {
  if (node.kind != Node::Kind::map && (node.kind != Node::Kind::list || has_only_scalars(node))) {
    if (node.kind != Node::Kind::list) {
      out += json_scalar(node);
      return;
    }
    out += '[';
    for (std::size_t i = 0; i < node.items.size(); ++i) out += (i == 0 ? "" : ", ") + json_scalar(node.items[i]);
    out += ']';
    return;
  }
  const bool map = node.kind == Node::Kind::map;
  const std::string pad(static_cast<std::size_t>(indent) + 2, ' ');
  out += map ? '{' : '[';
  const std::size_t count = map ? node.members.size() : node.items.size();
  for (std::size_t i = 0; i < count; ++i) {
    out += (i == 0 ? "\n" : ",\n") + pad;
    if (map) out += json_scalar(Node::string(node.members[i].first)) + ": ";
    write_json_indented(out, map ? node.members[i].second : node.items[i], indent + 2);
  }
  if (count > 0) out += "\n" + std::string(static_cast<std::size_t>(indent), ' ');
  out += map ? '}' : ']';
}

/// What YAML's versions take for something else than a text, in capitals, too.
constexpr std::array<std::string_view, 9> kYamlWords{"true", "false", "null", "yes", "no", "on", "off", "y", "n"};

/// A text as YAML: bare where nothing else could be meant, else in JSON's quotes.
std::string yaml_text(const std::string& text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./";
  const bool bare = !text.empty() && text.find_first_not_of(kPlain) == std::string::npos &&
                    std::isalpha(static_cast<unsigned char>(text.front())) != 0;
  const auto is_same = [&](std::string_view word) {
    return std::ranges::equal(word, text, {}, {}, [](unsigned char c) { return std::tolower(c); });
  };
  if (bare && std::ranges::none_of(kYamlWords, is_same)) return text;
  return json_scalar(Node::string(text));
}

/// A key with what stands before its value. One of over 1024 characters has to say that it is a key.
std::string yaml_key(const std::string& text, std::string_view before_colon) {
  constexpr std::size_t kImplicitLimit = 1000;
  auto key = yaml_text(text);
  if (key.size() <= kImplicitLimit) return key + ":";
  return fmt::format("? {}{}:", key, before_colon);
}

/// JSON is YAML's flow style.
std::string yaml_flow(const Node& node) {
  if (node.kind == Node::Kind::map) {
    std::string out = "{";
    for (const auto& [key, value] : node.members) {
      out += fmt::format("{}{} {}", out.size() == 1 ? " " : ", ", yaml_key(key, " "), yaml_flow(value));
    }
    return out + (out.size() == 1 ? "}" : " }");
  }
  if (node.kind == Node::Kind::list) {
    std::string out = "[";
    for (const auto& item : node.items) out += (out.size() == 1 ? "" : ", ") + yaml_flow(item);
    return out + "]";
  }
  if (node.kind == Node::Kind::quoted) return yaml_text(node.text);
  return json_scalar(node);
}

void write_yaml_block(std::string& out, const Node& node, int indent) {
  const std::string pad(static_cast<std::size_t>(indent), ' ');
  const std::string next_line = "\n" + pad;
  for (const auto& [key, value] : node.members) {
    out += pad + yaml_key(key, next_line);
    const bool block = !has_only_scalars(value) && (value.kind == Node::Kind::map || value.kind == Node::Kind::list);
    if (block) {
      out += '\n';
      write_yaml_block(out, value, indent + 2);
    } else {
      out += " " + yaml_flow(value) + "\n";
    }
  }
  for (const auto& item : node.items) {
    if (item.kind == Node::Kind::map && item.members.size() == 1) {
      out += fmt::format("{}- {} {}\n", pad, yaml_key(item.members[0].first, next_line + "  "),
                         yaml_flow(item.members[0].second));
    } else {
      out += fmt::format("{}- {}\n", pad, yaml_flow(item));
    }
  }
}

}  // namespace

std::string write_json(const Node& node) {
  std::string out;
  write_json_indented(out, node, 0);
  return out + "\n";
}

std::string write_json_line(const Node& node) {
  return to_json(node).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string write_yaml(const Node& node) {
  if (node.members.empty() && node.items.empty()) return yaml_flow(node) + "\n";  // "{}": nothing would be null.
  std::string out;
  write_yaml_block(out, node, 0);
  return out;
}

}  // namespace verge::wire
