// Compiled models kept between starts, for formats whose reading costs more than compiling.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <openvino/runtime/core.hpp>

#include "openvino_model.hpp"
#include "verge/engines/abi.h"

namespace verge::engines::openvino {

/// Where the compiled form of this model is kept: a name made of the file's content, OpenVINO's build, the processor
/// and `properties`. Nothing for formats that OpenVINO's own cache serves well enough, or without a cache directory.
std::optional<std::filesystem::path> cache_entry(const verge_engine_load& load, const ov::AnyMap& properties);

/// The compiled model that was kept, with its tensors described by the model file; nothing when there is none, or when
/// it cannot be used: then it is compiled anew.
std::optional<ov::CompiledModel> restore(ov::Core& core, const std::filesystem::path& entry, const std::string& device,
                                         const verge_engine_load& load, ReadModel& description);

/// Keeps a compiled model. A failure (a full disk) is no error: the next start compiles again.
void keep(ov::CompiledModel& compiled, const std::filesystem::path& entry);

}  // namespace verge::engines::openvino
