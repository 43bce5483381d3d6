// Any text as YAML and as JSON: what is read can be written and read again, by the readers of packages and agent.
#include <cstdint>
#include <string_view>

#include "documents.hpp"
#include "verge/wire/edge_config.hpp"
#include "verge/wire/engine_choice.hpp"
#include "verge/wire/golden.hpp"
#include "verge/wire/metadata.hpp"
#include "verge/wire/postprocessing.hpp"
#include "verge/wire/preprocessing.hpp"

using namespace verge;
using namespace verge::wire;

namespace {

void use(const Node& node) {
  (void)write_yaml(node);
  (void)write_json(node);
  fuzz::read_and_write(node, read_metadata);
  fuzz::read_and_write(node, read_preprocessing);
  fuzz::read_and_write(node, read_postprocessing);
  fuzz::read_and_write(node, read_golden);
  fuzz::read_and_write(node, read_edge_config);
  fuzz::read_and_write(node, read_engine_choice_record);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const std::string_view text(reinterpret_cast<const char*>(data), size_bytes);
  if (const auto node = parse_yaml(text, "fuzz.yaml")) use(*node);
  if (const auto node = parse_json(text, "fuzz.json")) use(*node);
  return 0;
}
