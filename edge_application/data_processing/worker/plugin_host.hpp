// Plug-in host: custom steps of a shared library.
#pragma once

#include "verge/process/channel.hpp"

namespace verge::data_processing {

/// Answers until the other side closes the channel.
void host_plugins(process::Channel& channel);

}  // namespace verge::data_processing
