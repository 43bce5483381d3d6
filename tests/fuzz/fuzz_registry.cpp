// What registries and people write: the first byte chooses a reference, a challenge, a credentials file, a manifest or
// an index. What is read holds what it promises.
#include "files.hpp"
#include "verge/crypto/digest.hpp"
#include "verge/registry_client/artifact.hpp"
#include "verge/registry_client/challenge.hpp"
#include "verge/registry_client/credentials.hpp"
#include "verge/registry_client/reference.hpp"

using namespace verge;

namespace {

void check(bool holds) {
  if (!holds) __builtin_trap();
}

void check_reference(const std::string& text) {
  const auto reference = registry_client::parse_reference(text);
  if (!reference) return;
  check(reference->text() == text);
  check(text.find("/../") == std::string::npos);
  check(!reference->registry.empty() && !reference->repository.empty());
}

void check_challenges(const std::string& text) {
  const auto challenges = registry_client::parse_challenges(text);
  check(challenges.size() <= 8);
  for (const auto& challenge : challenges) check(!challenge.scheme.empty() && challenge.parameters.size() <= 32);
}

void check_artifact(const std::string& text) {
  const auto artifact = registry_client::parse_artifact(text, "", "", "fuzz");
  if (!artifact) return;
  check(artifact->content == text && !artifact->media_type.empty());
  for (const auto& blob : artifact->blobs) {
    check(crypto::is_digest(blob.digest) && blob.size_bytes <= registry_client::kBlobLimitBytes);
  }
  check(artifact->manifests.size() <= registry_client::kDescriptorLimit);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  if (size_bytes == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size_bytes - 1);
  switch (data[0] % 5) {
    case 0: check_reference(text); break;
    case 1: check_challenges(text); break;
    case 2: (void)registry_client::parse_credentials(text, "ghcr.io", "fuzz"); break;
    case 3: check_artifact(text); break;
    default: (void)registry_client::parse_index(text, "fuzz");
  }
  return 0;
}
