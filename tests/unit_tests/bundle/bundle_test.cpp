// Bundles: what goes in comes out, and what is no bundle is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "verge/base/file.hpp"
#include "verge/bundle/bundle.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::bundle {
namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class BundleTest : public testing::Test {
 protected:
  static wire::Bundle description() {
    wire::Bundle made;
    made.version = 1;
    made.created_ms = 5;
    wire::DesiredState desired;
    desired.version = 3;
    desired.device = "cam-1";
    made.devices = {desired};
    return made;
  }
  [[nodiscard]] std::filesystem::path file() const { return folder_.path() / "b.bundle"; }
  /// With a blob of `blob_bytes`.
  Result<void> write(std::size_t blob_bytes = 1'000'000) {
    VERGE_ASSIGN(auto writer, Writer::create(file()));
    VERGE_TRY(writer.describe(description()));
    VERGE_TRY(writer.add_metadata("timestamp.json", "{}"));
    for (std::size_t i = 0; i < blob_bytes; ++i) blob_ += static_cast<char>(i * 7 + i / 256);
    const auto fill = [&](const Sink& sink) -> Result<void> {
      VERGE_TRY(sink(bytes(blob_).first(blob_.size() / 3)));
      return sink(bytes(blob_).subspan(blob_.size() / 3));
    };
    VERGE_TRY(writer.add_blob(crypto::sha256(blob_), blob_.size(), fill));
    writer.list_manifest("application/vnd.oci.image.manifest.v1+json", crypto::sha256(blob_), blob_.size(), "m:1.0.0");
    return writer.finish();
  }
  static Result<std::string> read(const Reader& reader, const std::string& digest, std::uint64_t offset) {
    std::string got;
    VERGE_TRY(reader.blob(digest, offset, [&](std::span<const std::byte> piece) -> Result<void> {
      got.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      return {};
    }));
    return got;
  }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("bundle"));
  std::string blob_;
};

TEST_F(BundleTest, WhatGoesInComesOut) {
  ASSERT_TRUE(write());
  const auto reader = Reader::open(file());
  ASSERT_TRUE(reader) << reader.error().text();
  EXPECT_EQ(wire::write_json(wire::to_node(reader->description())), wire::write_json(wire::to_node(description())));
  EXPECT_EQ(reader->metadata("timestamp.json", 2).value(), "{}");
  EXPECT_EQ(reader->blob_bytes(crypto::sha256(blob_)), blob_.size());
  EXPECT_EQ(read(*reader, crypto::sha256(blob_), 0).value(), blob_);
  EXPECT_EQ(read(*reader, crypto::sha256(blob_), 300'000).value(), blob_.substr(300'000));
  EXPECT_EQ(read(*reader, crypto::sha256(blob_), blob_.size()).value(), "");
  EXPECT_GT(reader->size_bytes(), blob_.size());
  EXPECT_FALSE(std::filesystem::exists(file().string() + ".part"));
}

TEST_F(BundleTest, TheSameMakesTheSame) {
  ASSERT_TRUE(write());
  const auto first = read_file(file(), 1U << 24U).value();
  blob_.clear();
  ASSERT_TRUE(write());
  EXPECT_EQ(read_file(file(), 1U << 24U).value(), first);
}

TEST_F(BundleTest, WhatIsNotInItIsNamed) {
  ASSERT_TRUE(write(10));
  const auto reader = Reader::open(file());
  ASSERT_TRUE(reader);
  const auto none = reader->metadata("2.root.json", 100).error();
  EXPECT_EQ(none.code(), ErrorCode::not_found);
  EXPECT_EQ(none.id(), "VRG-BDL-004");
  EXPECT_EQ(reader->metadata("timestamp.json", 1).error().id(), "VRG-BDL-005");
  EXPECT_EQ(read(*reader, crypto::sha256("other"), 0).error().code(), ErrorCode::not_found);
  EXPECT_FALSE(reader->blob_bytes(crypto::sha256("other")));
}

TEST_F(BundleTest, ABlobThatIsAnotherIsRefusedAndNoFileIsLeft) {
  for (const auto& content : {std::string("short"), std::string("much too long"), std::string("another!")}) {
    auto writer = Writer::create(file());
    ASSERT_TRUE(writer);
    const auto added =
        writer->add_blob(crypto::sha256("expected"), 8, [&](const Sink& sink) { return sink(bytes(content)); });
    EXPECT_EQ(added.error().id(), "VRG-BDL-002") << content;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(BundleTest, NoOtherFileIsABundle) {
  EXPECT_EQ(Reader::open(file()).error().code(), ErrorCode::not_found);
  EXPECT_EQ(Reader::open(folder_.path()).error().id(), "VRG-BDL-003");
  for (const auto& content : {std::string(), std::string("no archive"), std::string(20'000, 'x')}) {
    ASSERT_TRUE(write_file(file(), std::string_view(content)));
    EXPECT_EQ(Reader::open(file()).error().id(), "VRG-BDL-003");
  }
}

TEST_F(BundleTest, ACutBundleIsRefusedWhereverItWasCut) {
  ASSERT_TRUE(write(3000));
  const auto whole = read_text(file(), 1U << 20U).value();
  // Behind the last entry are only the two empty blocks that end an archive, and what fills its last record.
  const auto end = whole.find(R"({"schemaVersion":2)");
  ASSERT_NE(end, std::string::npos);
  for (std::size_t size = 0; size < end; size += 97) {
    ASSERT_TRUE(write_file(file(), std::string_view(whole).substr(0, size)));
    const auto reader = Reader::open(file());
    if (!reader) continue;
    // Cut between two entries: what is missing is missed when it is asked for.
    EXPECT_FALSE(reader->blob_bytes(crypto::sha256(blob_)) && size < whole.find(blob_) + blob_.size()) << size;
  }
}

TEST_F(BundleTest, LinksDevicesFoldersAndTwinsAreRefused) {
  ASSERT_TRUE(write_file(folder_.path() / "bundle.json", std::string_view("{}")));
  std::filesystem::create_symlink("/etc/passwd", folder_.path() / "link");
  std::filesystem::create_directory(folder_.path() / "folder");
  const auto tar = [&](const std::string& names) {
    const auto command = "cd '" + folder_.path().string() + "' && tar cf b.bundle " + names;
    ASSERT_EQ(std::system(command.c_str()), 0);  // NOLINT(cert-env33-c): a foreign program makes the foreign file.
  };
  for (const auto* names : {"bundle.json link", "bundle.json folder", "bundle.json bundle.json --hard-dereference"}) {
    tar(names);
    const auto reader = Reader::open(file());
    ASSERT_FALSE(reader) << names;
    EXPECT_EQ(reader.error().id(), "VRG-BDL-003") << names;
  }
  tar("bundle.json");
  EXPECT_FALSE(Reader::open(file())) << "a description must be one";
}

TEST_F(BundleTest, AFileThatHasBecomeShorterGivesAnError) {
  ASSERT_TRUE(write(600'000));
  const auto reader = Reader::open(file());
  ASSERT_TRUE(reader);
  std::filesystem::resize_file(file(), 300'000);
  EXPECT_EQ(read(*reader, crypto::sha256(blob_), 0).error().code(), ErrorCode::unavailable);
}

}  // namespace
}  // namespace verge::bundle
