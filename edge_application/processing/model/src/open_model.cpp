#include "verge/processing/open_model.hpp"

#include "verge/base/file.hpp"
#include "verge/package/image_layout.hpp"

namespace verge::processing {

Result<Worker> open_model(std::string_view package, const LoadOptions& options) {
  VERGE_ASSIGN(TemporaryFolder folder, TemporaryFolder::create("verge-model-"));
  LoadOptions own = options;
  own.scratch = std::make_shared<const TemporaryFolder>(std::move(folder));
  VERGE_ASSIGN(auto opened, package::open(package, own.scratch->path()));
  EngineCatalogue engines(default_engine_folder());
  VERGE_ASSIGN(const auto model, LoadedModel::load(std::move(opened), engines, own));
  return model->create_worker();
}

}  // namespace verge::processing
