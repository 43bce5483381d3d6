// Any text as YAML and as JSON: what is read can be written and read again, by every schema's reader.
#include <cstdint>
#include <string>
#include <string_view>

#include "verge/wire/edge_config.hpp"
#include "verge/wire/engine_choice.hpp"
#include "verge/wire/golden.hpp"
#include "verge/wire/metadata.hpp"
#include "verge/wire/postprocessing.hpp"
#include "verge/wire/preprocessing.hpp"

using namespace verge;
using namespace verge::wire;

namespace {

void check(bool holds) {
  if (!holds) __builtin_trap();
}

template <typename Read>
void read_and_write(const Node& node, Read read) {
  const auto value = read(node, Place("fuzz"));
  if (!value) return;
  const auto written = to_node(*value);
  for (const auto& again : {parse_json(write_json(written), "json"), parse_json(write_json_line(written), "line"),
                            parse_yaml(write_yaml(written), "yaml")}) {
    check(again.has_value());
    const auto reread = read(*again, Place("again"));
    check(reread.has_value());
    check(write_json(to_node(*reread)) == write_json(written));
  }
}

void use(const Node& node) {
  (void)write_yaml(node);
  (void)write_json(node);
  read_and_write(node, read_metadata);
  read_and_write(node, read_preprocessing);
  read_and_write(node, read_postprocessing);
  read_and_write(node, read_golden);
  read_and_write(node, read_edge_config);
  read_and_write(node, read_engine_choice_record);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const std::string_view text(reinterpret_cast<const char*>(data), size_bytes);
  if (const auto node = parse_yaml(text, "fuzz.yaml")) use(*node);
  if (const auto node = parse_json(text, "fuzz.json")) use(*node);
  return 0;
}
