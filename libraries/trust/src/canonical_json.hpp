// Canonical JSON: the one spelling of a document that signatures are made over.
#pragma once

#include <string>

#include "verge/base/error.hpp"
#include "verge/wire/document.hpp"

namespace verge::trust {

/// As OLPC and securesystemslib write it: keys in the order of their bytes, no blanks, only '\' and '"' escaped.
/// Errors: data_loss (VRG-TUF-002) for a number that is not whole.
Result<std::string> canonical_json(const wire::Node& node);

}  // namespace verge::trust
