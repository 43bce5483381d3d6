#include <fmt/format.h>

#include "archive_part.hpp"

namespace verge::bundle {

Error no_bundle(const std::filesystem::path& file, std::string_view why) {
  return Error(ErrorCode::data_loss, "VRG-BDL-003",
               fmt::format("'{}': expected a bundle that 'verge bundle create' made, got one where {}; make it again",
                           file.string(), why));
}

}  // namespace verge::bundle
