// Open model: a package, ready to predict, in one call.
#pragma once

#include <filesystem>

#include "verge/base/error.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::processing {

/// Opens a model package (a folder, or an image layout as package::open() takes it) in an engine of this machine and
/// gives a worker that keeps everything it needs. For one model in one thread; an application with several shares an
/// EngineCatalogue and makes its own LoadedModel. Errors: those of package::open() and LoadedModel::load().
Result<Worker> open_model(std::string_view package, const LoadOptions& options = {});

}  // namespace verge::processing
