// Stored spools: what lies in folders of spools that nobody has open.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "verge/at_rest/data_keys.hpp"
#include "verge/base/error.hpp"
#include "verge/base/file_system.hpp"

namespace verge::spool {

/// Folders with segments of spools in `root` and below it. None where there is no such folder. Errors: the disk's.
Result<std::vector<std::string>> folders_below(FileSystem& system, const std::string& root);

/// Writes each segment below `root` anew that is not as it should be: encrypted with the newest of `wanted`, or, with
/// null, in plain. What cannot be read with `known` is left out, or stays where nothing else is to be changed. Done
/// again after a crash, it loses nothing. Errors: the disk's.
Result<void> reseal(FileSystem& system, const std::string& root, const at_rest::DataKeys& known,
                    const at_rest::DataKeys* wanted);
/// Whether anything below `root` is encrypted with another key than the newest. Errors: the disk's.
Result<bool> has_old(FileSystem& system, const std::string& root, const at_rest::DataKeys& keys);
/// Removes the segments of one folder, and the folder. Errors: the disk's.
Result<void> remove(FileSystem& system, const std::string& folder);

}  // namespace verge::spool
