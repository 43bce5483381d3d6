// The store with what models are made of encrypted: as good as the plain one, and nothing of a model stands in it.
#include <algorithm>
#include <array>
#include <optional>

#include <gtest/gtest.h>

#include "modelled_disk.hpp"
#include "simulation.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/update/disk_files.hpp"
#include "verge/update/encrypted_files.hpp"

namespace verge::update::test {
namespace {

using simulator::Crash;
using simulator::Loss;
using simulator::ModelledDisk;

constexpr const char* kBlob = "store/blobs/sha256/aa";
constexpr const char* kPartial = "store/partial/aa";

std::string content(std::size_t size_bytes, unsigned char begin = 'a') {
  std::string made(size_bytes, ' ');
  for (std::size_t i = 0; i < size_bytes; ++i) made[i] = static_cast<char>(begin + i % 23 + (i / 1000) % 3);
  return made;
}

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

void add_key(at_rest::DataKeys& keys, unsigned char name) {
  at_rest::KeyId id{};
  id.fill(static_cast<std::byte>(name));
  keys.add(id, std::make_shared<const at_rest::Secret>(at_rest::Secret::random()));
}

/// A device's files, from its start until it is killed.
struct Life {
  Life(ModelledDisk& disk, const at_rest::DataKeys& keys) : stored("", disk), files(stored, keys) {}
  DiskFiles stored;
  EncryptedFiles files;
};

class Encrypted : public ::testing::Test {
 protected:
  Encrypted() { add_key(keys_, 1); }

  void put(const std::string& name, const std::string& text) {
    Life run(disk_, keys_);
    const auto partial = "store/partial/" + name.substr(name.rfind('/') + 1);
    ASSERT_TRUE(run.files.append(partial, bytes(text)));
    ASSERT_TRUE(run.files.sync(partial));
    ASSERT_TRUE(run.files.rename(partial, name));
    ASSERT_TRUE(run.files.sync("store/blobs/sha256"));
    ASSERT_TRUE(run.files.sync("store/partial"));
  }
  [[nodiscard]] std::string got(const std::string& name) {
    Life run(disk_, keys_);
    const auto text = run.files.read(name, 1U << 30U);
    return text ? *text : text.error().text();
  }
  /// Whether a piece of this content stands anywhere on a disk.
  static bool is_on(const simulator::DiskImage& image, const std::string& text) {
    const auto piece = text.substr(text.size() / 2, 24);
    return std::ranges::any_of(image.files,
                               [&](const auto& file) { return file.second->find(piece) != std::string::npos; });
  }

  at_rest::DataKeys keys_;
  ModelledDisk disk_;
};

TEST_F(Encrypted, BlobsAreEncryptedAndRecordsAreNot) {
  const auto text = content(200'000);
  put(kBlob, text);
  Life run(disk_, keys_);
  ASSERT_TRUE(run.files.write("desired.json", text));
  EXPECT_EQ(*disk_.peek("/desired.json"), text);
  EXPECT_EQ(disk_.peek(std::string("/") + kBlob)->find(text.substr(1000, 24)), std::string::npos);
  EXPECT_TRUE(got(kBlob) == text);
  EXPECT_EQ(run.files.size(kBlob).value(), text.size());
  EXPECT_EQ(run.files.digest(kBlob).value(), crypto::sha256(text));
  const auto opened = run.files.open(kBlob);
  ASSERT_TRUE(opened);
  std::array<std::byte, 100> piece{};
  ASSERT_TRUE((*opened)->read(150'000, piece));
  EXPECT_TRUE(std::ranges::equal(piece, bytes(text).subspan(150'000, 100)));
  EXPECT_EQ((*opened)->read(text.size() - 1, piece).error().id(), "VRG-UPD-018");
  EXPECT_EQ(run.files.read(kBlob, 1000).error().id(), "VRG-BAS-003");
  EXPECT_EQ(run.files.read("store/blobs/sha256/bb", 1000).error().code(), ErrorCode::not_found);
  EXPECT_EQ(run.files.size("store/partial/bb").error().code(), ErrorCode::not_found);
  EXPECT_EQ(run.files.sync("store/partial/bb").error().code(), ErrorCode::not_found);
}

TEST_F(Encrypted, LinksAreTheSameFile) {
  put(kBlob, content(100));
  Life run(disk_, keys_);
  ASSERT_TRUE(run.files.link(kBlob, "store/packages/p/model"));
  EXPECT_TRUE(run.files.same(kBlob, "store/packages/p/model"));
  EXPECT_EQ(got("store/packages/p/model"), content(100));
}

TEST_F(Encrypted, ADownloadGoesOnAfterAKill) {
  const auto text = content(300'000);
  std::size_t there = 0;
  std::size_t lost = 0;
  for (int kills = 0; there < text.size(); ++kills) {
    ASSERT_LT(kills, 20);
    Life run(disk_, keys_);  // What is in memory of the run before is gone.
    const auto begun = run.files.size(kPartial).value_or(0);
    lost = std::max(lost, there - static_cast<std::size_t>(begun));
    there = static_cast<std::size_t>(begun);
    for (int i = 0; i < 30 && there < text.size(); ++i) {
      const auto piece = text.substr(there, 4096);
      ASSERT_TRUE(run.files.append(kPartial, bytes(piece)));
      there += piece.size();
      ASSERT_EQ(run.files.size(kPartial).value(), there);
    }
    if (there < text.size()) continue;
    EXPECT_EQ(run.files.digest(kPartial).value(), crypto::sha256(text)) << "before it is synced";
    ASSERT_TRUE(run.files.sync(kPartial));
    ASSERT_TRUE(run.files.rename(kPartial, kBlob));
  }
  EXPECT_TRUE(got(kBlob) == text);
  EXPECT_LE(lost, at_rest::kChunkBytes) << "more than a chunk is fetched again";
}

TEST_F(Encrypted, TornDownloadsGoOnFromWhatIsGood) {
  const auto text = content(300'000);
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    ModelledDisk disk;
    {
      Life run(disk, keys_);
      ASSERT_TRUE(run.files.write("store/partial/other", "makes the folder durable"));
      for (std::size_t at = 0; at < 200'000; at += 4096) {
        ASSERT_TRUE(run.files.append(kPartial, bytes(std::string_view(text).substr(at, 4096))));
      }
    }
    disk.lose_power({Loss::Fate::kept, Loss::Fate::mixed, seed, false});
    Life run(disk, keys_);
    const auto there = run.files.size(kPartial).value_or(0);
    ASSERT_EQ(there % at_rest::kChunkBytes, 0U);
    ASSERT_TRUE(run.files.append(kPartial, bytes(std::string_view(text).substr(there))));
    ASSERT_TRUE(run.files.sync(kPartial));
    ASSERT_EQ(run.files.digest(kPartial).value(), crypto::sha256(text)) << "seed " << seed;
    ASSERT_EQ(disk.files_below("/store/partial").size(), 2U) << "a stray file";
  }
}

TEST_F(Encrypted, AFinishedDownloadCanStillGrow) {
  Life run(disk_, keys_);
  ASSERT_TRUE(run.files.append(kPartial, bytes("one")));
  ASSERT_TRUE(run.files.sync(kPartial));
  ASSERT_TRUE(run.files.append(kPartial, bytes("")));
  ASSERT_TRUE(run.files.append(kPartial, bytes(" two")));
  EXPECT_EQ(run.files.read(kPartial, 100).value(), "one two");
  ASSERT_TRUE(run.files.sync(kPartial));
  EXPECT_EQ(got(kPartial), "one two");
}

TEST_F(Encrypted, AnEmptyBlobIsOne) {
  Life run(disk_, keys_);
  ASSERT_TRUE(run.files.append(kPartial, {}));
  EXPECT_EQ(run.files.size(kPartial).value(), 0U);
  ASSERT_TRUE(run.files.sync(kPartial));
  ASSERT_TRUE(run.files.rename(kPartial, kBlob));
  EXPECT_EQ(run.files.size(kBlob).value(), 0U);
  EXPECT_EQ(run.files.digest(kBlob).value(), crypto::sha256(""));
}

TEST_F(Encrypted, DamageHasADigestThatNoContentHas) {
  const auto text = content(100'000);
  put(kBlob, text);
  for (std::uint64_t bit = 0; bit < disk_.peek(std::string("/") + kBlob)->size() * 8; bit += 997) {
    disk_.flip_bit(std::string("/") + kBlob, bit);
    Life run(disk_, keys_);
    const auto digest = run.files.digest(kBlob);
    ASSERT_TRUE(digest) << "the check must remove it, not stop at it";
    EXPECT_FALSE(crypto::is_sha256(*digest));
    EXPECT_FALSE(run.files.read(kBlob, 1U << 20U));
    disk_.flip_bit(std::string("/") + kBlob, bit);
  }
  EXPECT_TRUE(got(kBlob) == text);
}

TEST_F(Encrypted, ErrorsOfTheDiskAreHandedOnAndGoneAfterwards) {
  const auto text = content(300'000);
  int failures = 0;
  for (int at = 0;; ++at) {
    ModelledDisk disk;
    int calls = 0;
    bool struck = false;
    disk.before_call = [&](simulator::Call call, const std::string&) {
      if (!simulator::changes(call) || calls++ != at) return 0;
      struck = true;
      return ENOSPC;
    };
    Life run(disk, keys_);
    for (int i = 0; i < 4; ++i) {  // As an updater does: what fails is tried again.
      const auto begun = run.files.size(kPartial);
      auto done = run.files.append(kPartial, bytes(std::string_view(text).substr(begun.value_or(0))));
      if (done) done = run.files.sync(kPartial);
      if (done) done = run.files.rename(kPartial, kBlob);
      if (done) break;
      ++failures;
      EXPECT_EQ(done.error().code(), ErrorCode::resource_exhausted);
    }
    ASSERT_EQ(run.files.digest(kBlob).value_or("none"), crypto::sha256(text)) << "call " << at;
    if (!struck) break;
  }
  EXPECT_GT(failures, 5);
}

/// A plain store with a package, and what is in it.
class Migrated : public Encrypted {
 protected:
  Migrated() {
    DiskFiles plain("", disk_);
    for (const auto& [name, text] : content_) {
      EXPECT_TRUE(plain.append(name, bytes(text)));
      EXPECT_TRUE(plain.sync(name));
    }
    EXPECT_TRUE(plain.link(kBlob, "store/packages/p/model_files/m"));
    disk_.lose_power({Loss::Fate::kept, Loss::Fate::kept, 0, false});
    before_ = disk_.image();
  }
  /// Runs `change` with a kill, and a loss of power, before each of its operations, then again to its end.
  void with_kills(const simulator::DiskImage& before, const std::function<Result<void>(ModelledDisk&)>& change,
                  const std::function<void(ModelledDisk&, const std::string&)>& check) {
    for (std::uint64_t at = 0;; ++at) {
      bool struck = false;
      for (const auto& loss : {Loss{Loss::Fate::kept, Loss::Fate::kept, 0, false}, Loss{},
                               Loss{Loss::Fate::mixed, Loss::Fate::mixed, at, false}}) {
        ModelledDisk disk(before);
        disk.before_call = [&](simulator::Call call, const std::string&) -> int {
          if (simulator::changes(call) && disk.operations() == at) throw Crash{};
          return 0;
        };
        struck = false;
        try {
          ASSERT_TRUE(change(disk));
        } catch (const Crash&) {
          struck = true;
        }
        disk.before_call = nullptr;
        disk.lose_power(loss);
        const auto again = change(disk);
        ASSERT_TRUE(again) << again.error().text();
        check(disk, "killed at operation " + std::to_string(at));
        if (HasFailure()) return;
      }
      if (!struck) {
        EXPECT_GT(at, 5U);
        return;
      }
    }
  }
  [[nodiscard]] Result<void> encrypt(ModelledDisk& disk) const {
    DiskFiles stored("", disk);
    return encrypt_store(stored, keys_);
  }
  [[nodiscard]] Result<void> decrypt(ModelledDisk& disk) const {
    DiskFiles stored("", disk);
    return decrypt_store(stored, keys_);
  }

  const std::map<std::string, std::string> content_{{kBlob, content(150'000, 'a')},
                                                    {"store/blobs/sha256/bb", content(700, 'A')},
                                                    {"store/blobs/sha256/cc", ""},
                                                    {"store/partial/dd", content(70'000, '0')}};
  simulator::DiskImage before_;
};

TEST_F(Migrated, IntoAnEncryptedStoreWhateverHappens) {
  with_kills(
      before_, [&](ModelledDisk& disk) { return encrypt(disk); },
      [&](ModelledDisk& disk, const std::string& when) {
        Life run(disk, keys_);
        for (const auto& [name, text] : content_) {
          EXPECT_EQ(run.files.digest(name).value_or("nothing"), crypto::sha256(text)) << when << ": " << name;
          EXPECT_TRUE(text.empty() || !is_on(disk.image(), text)) << when << ": " << name << " stands in plain";
        }
        EXPECT_EQ(disk.files_below("/store").size(), content_.size()) << when;
      });
}

TEST_F(Migrated, BackIntoAPlainOneWhateverHappens) {
  ASSERT_TRUE(encrypt(disk_));
  disk_.lose_power({Loss::Fate::kept, Loss::Fate::kept, 0, false});
  with_kills(
      disk_.image(), [&](ModelledDisk& disk) { return decrypt(disk); },
      [&](ModelledDisk& disk, const std::string& when) {
        for (const auto& [name, text] : content_) {
          const auto* there = disk.peek("/" + name);
          ASSERT_NE(there, nullptr) << when << ": " << name;
          EXPECT_TRUE(*there == text) << when << ": " << name;
        }
        EXPECT_EQ(disk.files_below("/store").size(), content_.size()) << when;
      });
}

TEST_F(Migrated, ToAnotherKeyWhateverHappens) {
  ASSERT_TRUE(encrypt(disk_));
  {
    Life run(disk_, keys_);
    ASSERT_TRUE(run.files.link(kBlob, "store/packages/p/model_files/m"));
  }
  disk_.lose_power({Loss::Fate::kept, Loss::Fate::kept, 0, false});
  add_key(keys_, 2);
  at_rest::DataKeys only_new;
  only_new.add(keys_.current().first, keys_.current().second);
  with_kills(
      disk_.image(),
      [&](ModelledDisk& disk) -> Result<void> {
        Life run(disk, keys_);
        for (bool more = true; more;) {
          VERGE_ASSIGN(more, run.files.renew_one());
        }
        VERGE_ASSIGN(const bool old, run.files.has_old());
        EXPECT_FALSE(old);
        return {};
      },
      [&](ModelledDisk& disk, const std::string& when) {
        disk.lose_power({});
        Life run(disk, only_new);
        for (const auto& [name, text] : content_) {
          EXPECT_EQ(run.files.digest(name).value_or("nothing"), crypto::sha256(text)) << when << ": " << name;
        }
      });
}

TEST_F(Migrated, ToAnotherKeyTakesTheLinksAlong) {
  ASSERT_TRUE(encrypt(disk_));
  Life run(disk_, keys_);
  ASSERT_TRUE(run.files.link(kBlob, "store/packages/p/model_files/m"));
  add_key(keys_, 2);
  EXPECT_TRUE(run.files.has_old().value());
  while (run.files.renew_one().value()) {
  }
  EXPECT_TRUE(run.files.same(kBlob, "store/packages/p/model_files/m"));
  EXPECT_FALSE(run.files.has_old().value());
  EXPECT_EQ(disk_.files_below("/store").size(), content_.size() + 1) << "a stray file";
}

TEST_F(Migrated, WhatIsEncryptedWithALostKeyIsRemoved) {
  ASSERT_TRUE(encrypt(disk_));
  at_rest::DataKeys others;
  add_key(others, 9);
  DiskFiles stored("", disk_);
  ASSERT_TRUE(encrypt_store(stored, others));
  EXPECT_TRUE(disk_.files_below("/store").empty());
}

}  // namespace
}  // namespace verge::update::test
