// Update log: why a device does not take a version, once, in its own log; the hub hears it in the report.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "verge/base/log.hpp"
#include "verge/wire/reported_state.hpp"

namespace verge::agent {

/// Used by one thread.
class UpdateLog {
 public:
  explicit UpdateLog(Log& log) : log_(log) {}
  void note(const std::vector<wire::ReportedApplication>& applications);

 private:
  Log& log_;
  std::map<std::string, std::string> last_;  ///< What was logged last, by application.
};

}  // namespace verge::agent
