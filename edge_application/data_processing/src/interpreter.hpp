// Interpreter: what a confined Python must be able to read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace verge::data_processing {

struct Interpreter {
  std::vector<std::string> program;             ///< Path and arguments.
  std::vector<std::filesystem::path> readable;  ///< It, its library and its packages, and `host`.
};

/// `python` may be a system's interpreter or that of a virtual environment (which must not lie within a package).
[[nodiscard]] Interpreter find_interpreter(const std::filesystem::path& python, const std::filesystem::path& host);
/// Where this system keeps shared libraries.
[[nodiscard]] std::vector<std::filesystem::path> shared_libraries();
/// "NAME=value" of all that such a process knows of its environment: nothing of the agent's.
[[nodiscard]] std::vector<std::string> step_environment();

}  // namespace verge::data_processing
