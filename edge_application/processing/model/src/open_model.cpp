#include "verge/processing/open_model.hpp"

#include "verge/base/file.hpp"
#include "verge/package/image_layout.hpp"

namespace verge::processing {

Result<Worker> open_model(std::string_view package, const LoadOptions& options) {
  // Engines have read the model when load() returns; links into a layout are not needed any more.
  VERGE_ASSIGN(const TemporaryFolder scratch, TemporaryFolder::create("verge-model-"));
  VERGE_ASSIGN(auto opened, package::open(package, scratch.path()));
  EngineCatalogue engines(default_engine_folder());
  VERGE_ASSIGN(const auto model, LoadedModel::load(std::move(opened), engines, options));
  return model->create_worker();
}

}  // namespace verge::processing
