// Record of an engine choice in the state directory, so that a restart does not measure again.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "verge/base/error.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::processing {

/// Nothing when there is no record, it is damaged, or it was measured under another key.
std::optional<EngineChoice> remembered_choice(const std::filesystem::path& path, const std::string& key);
Result<void> remember_choice(const std::filesystem::path& path, const std::string& key, const EngineChoice& choice);

}  // namespace verge::processing
