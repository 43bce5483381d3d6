// Any edge_config.yaml: read with its paths made absolute, or refused.
#include "files.hpp"
#include "verge/agent/agent.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const auto file = verge::fuzz::folder() / "edge_config.yaml";
  verge::fuzz::put(file, std::string_view(reinterpret_cast<const char*>(data), size_bytes));
  const auto configuration = verge::agent::read_configuration(file);
  if (!configuration) return 0;
  for (const auto& model : configuration->models) {
    if (!model.package.starts_with('/') && model.package != "-") __builtin_trap();
  }
  return 0;
}
