// Any package of the engine "fake": metadata, definitions and golden samples, cut by zero bytes; opened, loaded,
// replayed.
#include "files.hpp"
#include "verge/processing/golden_replay.hpp"
#include "verge/processing/loaded_model.hpp"

using namespace verge;

namespace {

void prepare(const std::filesystem::path& root) {
  for (const char* folder : {"model_files", "preprocessing", "postprocessing", "golden"}) {
    std::filesystem::create_directories(root / folder);
  }
  fuzz::put(root / "model_files" / "model.fake",
            "verge-fake 1\ninput x UINT8 [1,16,16,3]\noutput y UINT8 [1,4] 0.5 0\nfunction identity\n");
  fuzz::put(root / "postprocessing" / "labels.txt", "a\nb\nc\nd\n");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const auto root = fuzz::folder() / "package";
  static const bool prepared = (prepare(root), true);
  static processing::EngineCatalogue engines(processing::default_engine_folder());
  if (!prepared) return 0;
  const auto texts = fuzz::parts(data, size_bytes, 5);
  fuzz::put(root / "metadata.json", texts[0]);
  fuzz::put(root / "preprocessing" / "preprocessing.yaml", texts[1]);
  fuzz::put(root / "postprocessing" / "postprocessing.yaml", texts[2]);
  fuzz::put(root / "golden" / "golden.json", texts[3]);
  fuzz::put(root / "golden" / "in.bin", texts[4]);
  auto package = package::open_folder(root);
  if (!package) return 0;
  (void)processing::check_processing(*package);
  processing::LoadOptions options;
  options.engine = "fake";
  const auto model = processing::LoadedModel::load(std::move(*package), engines, options);
  if (!model) return 0;
  auto worker = (*model)->create_worker();
  if (worker) (void)processing::replay_golden(*worker);
  return 0;
}
