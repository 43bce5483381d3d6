// Scripts that a model brings along, as its package's custom steps.
#include <array>
#include <system_error>

#include <fmt/format.h>

#include "verge/processing/draft.hpp"

namespace verge::processing {
namespace {

/// Where a script lies when nobody names it: beside the model, in a folder of its own there, or one level up.
std::filesystem::path find_script(const std::filesystem::path& model, std::string_view side) {
  const auto name = fmt::format("{}_script.py", side);
  const auto beside = std::filesystem::absolute(model).parent_path();
  const auto above = beside.parent_path();
  std::error_code failed;
  for (const auto& candidate : std::array{beside / name, beside / side / name, above / side / name, above / name}) {
    if (std::filesystem::is_regular_file(candidate, failed)) return candidate;
  }
  return {};
}

struct Wanted {
  std::filesystem::path file;
  std::string function;
  bool named = false;
};

/// "FILE" or "FILE:FUNCTION".
Wanted wanted(const std::string& given, std::string_view side, const std::filesystem::path& model) {
  Wanted script{{}, std::string(side.substr(0, side.size() - 3)), !given.empty()};
  if (given.empty()) {
    script.file = find_script(model, side);
    return script;
  }
  const auto colon = given.rfind(':');
  const bool has_function = colon != std::string::npos && given.find('/', colon) == std::string::npos;
  script.file = given.substr(0, has_function ? colon : std::string::npos);
  if (has_function) script.function = given.substr(colon + 1);
  return script;
}

/// Takes one over; false when there is none.
Result<bool> take_script(Draft& draft, const Wanted& script, std::string_view side, wire::CustomStep& step) {
  if (script.file.empty()) return false;
  std::error_code failed;
  const auto extension = script.file.extension();
  if (!std::filesystem::is_regular_file(script.file, failed) || (extension != ".py" && extension != ".so")) {
    return Error(ErrorCode::not_found, "VRG-DRF-008",
                 fmt::format("expected a Python script (.py) or a plug-in (.so) for the {}, got '{}'; check the path",
                             side, script.file.string()));
  }
  step.file = fmt::format("{}/{}", side, script.file.filename().string());
  step.function = script.function;
  draft.scripts.emplace_back(step.file, script.file);
  draft.guesses.push_back({std::string(side), fmt::format("{}() of {}", step.function, step.file),
                           script.named ? "as was asked for" : fmt::format("found as {}", script.file.string()),
                           script.named});
  return true;
}

}  // namespace

Result<void> take_scripts(Draft& draft, const std::filesystem::path& model, const std::string& preprocessing,
                          const std::string& postprocessing) {
  wire::CustomStep step;
  VERGE_ASSIGN(const bool before,
               take_script(draft, wanted(preprocessing, "preprocessing", model), "preprocessing", step));
  if (before) {
    draft.preprocessing.steps.assign(1, {});
    draft.preprocessing.steps.front().custom = step;
  }
  VERGE_ASSIGN(const bool after,
               take_script(draft, wanted(postprocessing, "postprocessing", model), "postprocessing", step));
  if (after) {
    draft.postprocessing.steps.assign(1, {});
    draft.postprocessing.steps.front().custom = step;
  }
  return {};
}

}  // namespace verge::processing
