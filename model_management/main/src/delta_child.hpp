// Delta child: makes deltas in a process of their own, so that their memory goes back, and they can be ended.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string_view>

#include "verge/delta/delta.hpp"

namespace verge::hub {

/// First argument of the program when it is such a child; the others are OLD, its description, NEW, its description,
/// and the file to make.
inline constexpr std::string_view kMakeDelta = "make-delta";

/// The child's whole life; its exit status.
int make_delta_here(int argc, char** argv);

/// Starts the child and waits for it. Errors: unavailable (VRG-HUB-060 it ended without a delta, or was stopped).
Result<void> make_delta_apart(const delta::DescribedFile& old, const delta::DescribedFile& fresh,
                              const std::filesystem::path& made, const std::stop_token& stop);

}  // namespace verge::hub
