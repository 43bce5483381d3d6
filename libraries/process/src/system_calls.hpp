// System calls: which of them foreign code may make.
#pragma once

#include <string_view>

#include "verge/base/descriptor.hpp"

namespace verge::process {

/// Whether the kernel can report forbidden calls to another process.
[[nodiscard]] bool can_report_calls() noexcept;
/// Filters the calls of this process from now on. The descriptor reports those that are forbidden; empty, with errno,
/// when the kernel refuses. Needs no_new_privs and one thread.
Descriptor restrict_calls() noexcept;
/// A reported call in words: "called socket(), which opens a way to the network".
[[nodiscard]] std::string_view meaning_of_call(int number) noexcept;

}  // namespace verge::process
