// Any selector, and labels as "key=value" in lines, cut by a zero byte: a term and its opposite never agree.
#include <map>

#include "files.hpp"
#include "verge/hub/selector.hpp"

using namespace verge;

namespace {

std::map<std::string, std::string> labels_of(std::string_view text) {
  std::map<std::string, std::string> labels;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    const auto equal = std::min(line.find('='), line.size());
    labels.emplace(line.substr(0, equal), line.substr(std::min(equal + 1, line.size())));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return labels;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const auto texts = fuzz::parts(data, size_bytes, 2);
  const auto labels = labels_of(texts[1]);
  const auto selector = hub::Selector::parse(texts[0]);
  if (!selector) return 0;
  const bool matches = selector->matches(labels);
  const auto equal = texts[0].find('=');
  if (equal == std::string::npos) {  // "all"
    if (!matches) __builtin_trap();
    return 0;
  }
  if (texts[0].find(',') != std::string::npos) {  // A term more never selects more.
    const auto first = hub::Selector::parse(texts[0].substr(0, texts[0].find(',')));
    if (!first || (matches && !first->matches(labels))) __builtin_trap();
    return 0;
  }
  auto opposite = texts[0];
  const bool negated = opposite[equal - 1] == '!';
  if (negated) {
    opposite.erase(equal - 1, 1);
  } else {
    opposite.insert(equal, "!");
  }
  const auto other = hub::Selector::parse(opposite);
  if (!other || other->matches(labels) == matches) __builtin_trap();
  return 0;
}
