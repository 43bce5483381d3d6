// Any manifest that is pushed to the registry, and any digest. The first byte chooses the algorithm; Content-Type, a
// digest and the manifest follow, cut by zero bytes. What is read names content by strict digests only, and nothing of
// it breaks a header.
#include <algorithm>
#include <regex>

#include "files.hpp"
#include "manifests.hpp"
#include "references.hpp"
#include "verge/crypto/digest.hpp"

using namespace verge;

namespace {

void check(bool holds) {
  if (!holds) __builtin_trap();
}

bool is_strict(const std::string& digest) {
  static const std::regex form("sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}");
  return std::regex_match(digest, form);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  if (size_bytes == 0) return 0;
  const auto texts = fuzz::parts(data + 1, size_bytes - 1, 3);
  if (texts[1].size() < 1000) {  // The regular expression recurses.
    check(crypto::is_digest(texts[1]) == is_strict(texts[1]));
    check(hub::check_digest(texts[1]).has_value() == is_strict(texts[1]));
    check(!hub::check_tag(texts[1]) || !hub::names_digest(texts[1]));
  }
  const auto algorithm = (data[0] & 1U) == 0 ? crypto::DigestAlgorithm::sha256 : crypto::DigestAlgorithm::sha512;
  const auto parsed = hub::parse_manifest(texts[2], texts[0], algorithm);
  if (!parsed) return 0;
  const auto& record = parsed->record;
  check(record.digest == crypto::digest(algorithm, texts[2]));
  check(record.size_bytes == static_cast<std::int64_t>(texts[2].size()));
  check(std::ranges::all_of(record.media_type, [](char c) { return c >= ' ' && c <= '~'; }));
  check(std::ranges::all_of(parsed->blobs, is_strict) && std::ranges::all_of(parsed->manifests, is_strict));
  check(record.subject.empty() || is_strict(record.subject));
  check(wire::parse_json(record.annotations, "annotations").has_value());
  return 0;
}
