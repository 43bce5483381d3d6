// Store folders: what the folders of encrypted content are called, and how to walk them.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "verge/at_rest/encrypted_file.hpp"
#include "verge/update/encrypted_files.hpp"
#include "verge/update/ports.hpp"

namespace verge::update {

inline constexpr const char* kStoreFolder = "store/";
inline constexpr const char* kBlobsFolder = "store/blobs/sha256";
inline constexpr const char* kPartialFolder = "store/partial";
inline constexpr const char* kPackagesFolder = "store/packages";
/// All content, each file in one of them.
inline constexpr std::array kContentFolders = {kBlobsFolder, kPartialFolder, kPulledFolder, kPulledPartialFolder};

[[nodiscard]] std::string folder_of(const std::string& name);
/// Where a file is prepared that is to replace `name`, always the same: found by remove_unfinished(), also after a loss
/// of power.
[[nodiscard]] std::string unfinished_name(const std::string& name);
/// A file as at_rest reads it, which must not outlive `file`.
[[nodiscard]] at_rest::Stored stored(std::shared_ptr<OpenedFile> file);
/// The key in its header; nothing: it has none.
Result<std::optional<at_rest::KeyId>> stored_key(Files& files, const std::string& name);
/// Puts what `fill` appends in the place of a file: the old content or the new, whatever happens.
Result<void> replace(Files& files, const std::string& name,
                     const std::function<Result<void>(const at_rest::Sink&)>& fill);

}  // namespace verge::update
