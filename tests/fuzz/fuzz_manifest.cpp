// Any manifest: what is read names files inside the package, each once and in order, by digests and sizes that a
// manifest made from them would have.
#include <algorithm>
#include <cstdint>
#include <filesystem>

#include "verge/crypto/sha256.hpp"
#include "verge/package/image_layout.hpp"

using namespace verge;

namespace {

void check(bool holds) {
  if (!holds) __builtin_trap();
}

bool is_inside(const std::string& name) {
  const std::filesystem::path path(name);
  return !name.empty() && path.is_relative() && name.find('\0') == std::string::npos &&
         std::none_of(path.begin(), path.end(), [](const auto& part) { return part == ".." || part == "."; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  // Of a model package or a release of the agent, whichever it says.
  const auto read = package::read_manifest({reinterpret_cast<const char*>(data), size_bytes}, "fuzz", {});
  if (!read) return 0;
  check(crypto::is_sha256(read->config.digest));
  for (const auto& file : read->files) check(is_inside(file.path) && crypto::is_sha256(file.digest));
  check(std::ranges::adjacent_find(read->files, [](const auto& a, const auto& b) { return a.path >= b.path; }) ==
        read->files.end());
  const auto made = package::make_manifest({}, read->files);
  const auto again = package::read_manifest(made.manifest_json, "again");
  check(again.has_value() && again->files.size() == read->files.size());
  for (std::size_t i = 0; i < read->files.size(); ++i) {
    check(again->files[i].path == read->files[i].path && again->files[i].digest == read->files[i].digest);
    check(again->files[i].size_bytes == read->files[i].size_bytes);
  }
  return 0;
}
