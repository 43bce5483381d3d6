// Selector: which devices, by labels.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::hub {

/// "all", or terms joined by commas that must all hold: "site=plant1,type!=camera".
class Selector {
 public:
  /// Errors: invalid_argument (VRG-HUB-020).
  static Result<Selector> parse(std::string_view text);
  [[nodiscard]] bool matches(const std::map<std::string, std::string>& labels) const;

 private:
  struct Term {
    std::string key;
    std::string value;
    bool equal = true;
  };
  std::vector<Term> terms_;
};

}  // namespace verge::hub
