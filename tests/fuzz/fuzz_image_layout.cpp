// Any image layout: index, manifest, config and one layer, cut by zero bytes. The words $M, $C and $L stand for the
// digests of the three, $m, $c and $l for their sizes: a fuzzer does not find SHA-256 by itself.
#include "files.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/package/image_layout.hpp"

using namespace verge;

namespace {

void replace(std::string& text, std::string_view word, const std::string& by) {
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + by.size())) {
    text.replace(at, word.size(), by);
  }
}

std::string put_blob(const std::filesystem::path& layout, const std::string& content) {
  auto digest = crypto::sha256(content);
  fuzz::put(layout / "blobs" / "sha256" / digest.substr(7), content);
  return digest;
}

/// Whether the unpacked package stayed in its folder.
bool stays_inside(const std::filesystem::path& around) {
  std::size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(around)) ++entries;
  return entries <= 1;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  auto texts = fuzz::parts(data, size_bytes, 4);
  const auto layout = fuzz::folder() / "layout";
  std::filesystem::remove_all(layout);
  std::filesystem::create_directories(layout / "blobs" / "sha256");
  fuzz::put(layout / "oci-layout", R"({"imageLayoutVersion": "1.0.0"})");
  for (std::size_t i = 0; i < 2; ++i) {
    const auto digest = put_blob(layout, texts[3 - i]);
    replace(texts[1], i == 0 ? "$L" : "$C", digest);
    replace(texts[1], i == 0 ? "$l" : "$c", std::to_string(texts[3 - i].size()));
  }
  replace(texts[0], "$M", put_blob(layout, texts[1]));
  replace(texts[0], "$m", std::to_string(texts[1].size()));
  fuzz::put(layout / "index.json", texts[0]);

  (void)package::list_layout(layout);
  (void)package::verify_layout(layout, "1.0.0");
  const auto verified = package::verify_layout(layout, "");
  if (!verified) return 0;
  const auto around = fuzz::folder() / "around";
  for (const bool link : {false, true}) {
    std::filesystem::remove_all(around);
    std::filesystem::create_directories(around / "package");
    (void)package::unpack_layout(*verified, around / "package", link);
    if (!stays_inside(around)) __builtin_trap();
  }
  const auto scratch = fuzz::folder() / "scratch";
  std::filesystem::remove_all(scratch);
  (void)package::open(layout.string(), scratch);
  return 0;
}
