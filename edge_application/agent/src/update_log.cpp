#include "update_log.hpp"

#include <fmt/format.h>

namespace verge::agent {

void UpdateLog::note(const std::vector<wire::ReportedApplication>& applications) {
  for (const auto& application : applications) {
    const auto& update = application.update;
    if (!update || !update->reason) {
      last_.erase(application.application);
      continue;
    }
    const auto error = fmt::format("{} [{}]", update->reason->message, update->reason->id);
    const auto state = std::string(wire::name(update->state));
    auto& last = last_[application.application];
    if (auto now = fmt::format("{} {} {}", update->version, state, error); now != last) {
      last = std::move(now);
      log_.warning(
          "a version is not taken",
          {{"application", application.application}, {"version", update->version}, {"state", state}, {"error", error}});
    }
  }
}

}  // namespace verge::agent
