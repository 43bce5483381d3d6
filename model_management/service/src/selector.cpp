#include "verge/hub/selector.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

namespace verge::hub {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool is_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-' || c == '/';
  });
}

Error not_a_selector(std::string_view text, std::string_view term) {
  return Error(ErrorCode::invalid_argument, "VRG-HUB-020",
               fmt::format("expected a selector such as 'all', 'name=cam-1' or 'site=plant1,type!=camera', got '{}'{}",
                           text, term.empty() ? "" : fmt::format(" with the term '{}'", term)));
}

}  // namespace

Result<Selector> Selector::parse(std::string_view text) {
  Selector selector;
  if (trimmed(text) == "all") return selector;
  for (std::size_t start = 0; start <= text.size();) {
    const auto end = std::min(text.find(',', start), text.size());
    const auto term = trimmed(text.substr(start, end - start));
    const auto equal = term.find('=');
    if (equal == std::string_view::npos || equal == 0) return not_a_selector(text, term);
    const bool negated = term[equal - 1] == '!';
    const auto key = trimmed(term.substr(0, negated ? equal - 1 : equal));
    const auto value = trimmed(term.substr(equal + 1));
    if (!is_word(key) || !is_word(value)) return not_a_selector(text, term);
    selector.terms_.push_back({std::string(key), std::string(value), !negated});
    start = end + 1;
  }
  return selector;
}

bool Selector::matches(const std::map<std::string, std::string>& labels) const {
  return std::ranges::all_of(terms_, [&](const Term& term) {
    const auto found = labels.find(term.key);
    return (found != labels.end() && found->second == term.value) == term.equal;
  });
}

}  // namespace verge::hub
