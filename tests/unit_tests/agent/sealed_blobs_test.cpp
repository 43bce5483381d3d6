// Sealed blobs: a layout whose content is encrypted is a layout like any other, and its disk has nothing in plain.
#include "sealed_blobs.hpp"

#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/registry_client/copy.hpp"
#include "verge/registry_client/layout.hpp"
#include "verge/update/disk_files.hpp"
#include "verge/update/encrypted_files.hpp"

namespace verge::agent {
namespace {

using registry_client::Artifact;
using registry_client::Descriptor;
using testing::IsEmpty;
using testing::SizeIs;

class Sealed : public ::testing::Test {
 protected:
  Sealed() {
    keys_.add({}, std::make_shared<const at_rest::Secret>(at_rest::Secret::random()));
    std::filesystem::create_directories(scratch_);
  }
  std::unique_ptr<registry_client::ArtifactStore> sealed() {
    return registry_client::open_layout(disk_.path() / "registry", blobs_).value();
  }
  std::unique_ptr<registry_client::ArtifactStore> plain(const std::string& name) {
    return registry_client::open_layout(disk_.path() / name).value();
  }
  /// An artifact of one layer, in a plain layout.
  Artifact make(const std::string& layer) {
    const auto describe = [&](const std::string& content) {
      const auto digest = crypto::sha256(content);
      EXPECT_TRUE(write_file(disk_.path() / "files" / digest, std::string_view(content)));
      return Descriptor{"application/octet-stream", digest, content.size(), "", ""};
    };
    const auto text = [](const Descriptor& d) {
      return R"({"mediaType": ")" + d.media_type + R"(", "digest": ")" + d.digest + R"(", "size": )" +
             std::to_string(d.size_bytes) + "}";
    };
    const auto config = describe("{}");
    const auto content = describe(layer);
    auto artifact = registry_client::parse_artifact(
        R"({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": )" + text(config) +
            R"(, "layers": [)" + text(content) + "]}",
        "", "", "test");
    const auto store = plain("from");
    for (const auto& one : artifact->blobs) {
      EXPECT_TRUE(store->put(one, disk_.path() / "files" / one.digest, scratch_, how_.progress));
    }
    EXPECT_TRUE(store->put(*artifact, "x"));
    return std::move(*artifact);
  }
  [[nodiscard]] std::filesystem::path on_disk(const std::string& digest) const {
    return disk_.path() / "registry" / "blobs" / "sha256" / digest.substr(7);
  }

  TemporaryFolder disk_ = TemporaryFolder::create("verge-sealed-").value();
  std::filesystem::path scratch_ = disk_.path() / "scratch";
  registry_client::CopyOptions how_{.scratch = scratch_};
  at_rest::DataKeys keys_;
  update::DiskFiles stored_{disk_.path()};
  update::EncryptedFiles files_{stored_, keys_};
  std::shared_ptr<SealedBlobs> blobs_ = std::make_shared<SealedBlobs>(files_);
};

TEST_F(Sealed, GoInAndComeOut) {
  const std::string weights(3U << 20U, 'w');
  const auto artifact = make(weights);
  const auto store = sealed();
  const auto copied = registry_client::copy(*plain("from"), "x", *store, "oci://here/x", how_);
  ASSERT_TRUE(copied) << copied.error().text();
  EXPECT_EQ(copied->sent_bytes, weights.size() + 2);
  const auto& layer = artifact.blobs.back();
  for (const auto& digest : {artifact.digest, layer.digest}) {
    EXPECT_EQ(read_text(on_disk(digest), 4U << 20U)->substr(0, 8), "VRGREST1");
  }
  EXPECT_EQ(store->artifact("oci://here/x")->content, artifact.content);
  EXPECT_TRUE(*store->has(layer));
  ASSERT_TRUE(registry_client::copy(*store, "oci://here/x", *plain("back"), "x", how_));
  EXPECT_EQ(read_text(disk_.path() / "back/blobs/sha256" / layer.digest.substr(7), 4U << 20U).value(), weights);
  EXPECT_THAT(files_.list("registry/incoming").value(), IsEmpty());
}

TEST_F(Sealed, WhatIsDamagedIsNotThere) {
  const auto artifact = make("weights");
  const auto store = sealed();
  ASSERT_TRUE(registry_client::copy(*plain("from"), "x", *store, "x", how_));
  const auto& layer = artifact.blobs.back();
  auto content = read_text(on_disk(layer.digest), 1000).value();
  content.back() = static_cast<char>(content.back() ^ 1);
  ASSERT_TRUE(write_file(on_disk(layer.digest), std::string_view(content)));
  EXPECT_FALSE(*store->has(layer));
  ASSERT_TRUE(registry_client::copy(*plain("from"), "x", *store, "x", how_)) << "it is written again";
  EXPECT_TRUE(*store->has(layer));
}

TEST_F(Sealed, WhatNothingNamesGoes) {
  make("weights");
  const auto store = sealed();
  ASSERT_TRUE(registry_client::copy(*plain("from"), "x", *store, "x", how_));
  ASSERT_TRUE(registry_client::prune_layout(disk_.path() / "registry", {"x"}, blobs_));
  EXPECT_THAT(blobs_->list().value(), SizeIs(3));
  ASSERT_TRUE(registry_client::prune_layout(disk_.path() / "registry", {}, blobs_));
  EXPECT_THAT(blobs_->list().value(), IsEmpty());
}

TEST_F(Sealed, SwitchingOffGivesBackALayoutInPlain) {
  const auto artifact = make("weights");
  ASSERT_TRUE(registry_client::copy(*plain("from"), "x", *sealed(), "x", how_));
  ASSERT_TRUE(update::decrypt_store(stored_, keys_));
  EXPECT_TRUE(*plain("registry")->has(artifact.blobs.back()));
  ASSERT_TRUE(update::encrypt_store(stored_, keys_));
  EXPECT_TRUE(*sealed()->has(artifact.blobs.back()));
  EXPECT_FALSE(*plain("registry")->has(artifact.blobs.back()));
}

}  // namespace
}  // namespace verge::agent
