// Key stores: what they keep, and when they stay closed.
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "software_tpm.hpp"
#include "stored_bytes.hpp"
#include "verge/at_rest/key_store.hpp"

namespace verge::at_rest::test {
namespace {

using Store = wire::AtRestStore;
using Opened = Result<std::unique_ptr<KeyStore>>;

std::string id_of(const Opened& opened) {
  return opened ? "" : opened.error().id();
}

class KeyStores : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path folder() const { return scratch_.path() / "at_rest"; }
  [[nodiscard]] static KeyStoreOptions with(const SoftwareTpm& tpm, std::vector<unsigned> pcrs = {7}) {
    KeyStoreOptions options;
    options.store = Store::tpm;
    options.tcti = tpm.tcti();
    options.pcrs = std::move(pcrs);
    return options;
  }
  /// What a file of its newest key is.
  Bytes file_of(const KeyStoreOptions& options) {
    const auto store = KeyStore::open(folder(), options);
    EXPECT_TRUE(store) << store.error().text();
    return store ? encrypt(plain_, (*store)->keys()) : Bytes{};
  }
  bool opens(const Bytes& file, const KeyStoreOptions& options) {
    const auto store = KeyStore::open(folder(), options);
    return store && decrypted(file, (*store)->keys()) == plain_;
  }
  /// As a thief has it, who has copied the disk.
  void copy_folder(const std::filesystem::path& to) const {
    std::filesystem::copy(folder(), to, std::filesystem::copy_options::recursive);
  }

  TemporaryFolder scratch_ = TemporaryFolder::create("verge-keys-").value();
  Bytes plain_ = content(1000);
};

TEST_F(KeyStores, AFileKeepsTheKeysAndSaysWhatThatMeans) {
  const auto file = file_of({});
  EXPECT_TRUE(opens(file, {}));
  const auto store = KeyStore::open(folder(), {});
  ASSERT_TRUE(store);
  EXPECT_NE((*store)->warning().find("who has the disk"), std::string::npos);
  struct stat status {};
  ASSERT_EQ(::stat((folder() / "master.key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  ASSERT_EQ(::stat(folder().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0700U);
}

TEST_F(KeyStores, AKeyFileThatOthersMayReadIsRefused) {
  (void)file_of({});
  ::chmod((folder() / "master.key").c_str(), 0640);
  const auto store = KeyStore::open(folder(), {});
  ASSERT_EQ(id_of(store), "VRG-RST-012");
  EXPECT_NE(store.error().message().find("0640"), std::string::npos);
}

TEST_F(KeyStores, AKeyFileThatIsGoneOrAnotherIsNamed) {
  (void)file_of({});
  std::filesystem::rename(folder() / "master.key", folder() / "kept");
  EXPECT_EQ(id_of(KeyStore::open(folder(), {})), "VRG-RST-012");
  std::ofstream(folder() / "master.key") << std::string(32, 'x');
  ::chmod((folder() / "master.key").c_str(), 0600);
  EXPECT_EQ(id_of(KeyStore::open(folder(), {})), "VRG-RST-011");
  std::ofstream(folder() / "master.key") << "short";
  EXPECT_EQ(id_of(KeyStore::open(folder(), {})), "VRG-RST-012");
}

TEST_F(KeyStores, AreOpenOnce) {
  const auto first = KeyStore::open(folder(), {});
  ASSERT_TRUE(first);
  EXPECT_EQ(id_of(KeyStore::open(folder(), {})), "VRG-RST-013");
  EXPECT_EQ(KeyStore::remove(folder()).error().id(), "VRG-RST-013");
}

TEST_F(KeyStores, DamagedDocumentsAreRefused) {
  (void)file_of({});
  const auto path = folder() / "keys.json";
  const auto whole = read_text(path, 1U << 20U).value();
  for (std::size_t at = 0; at < whole.size(); at += 3) {
    auto damaged = whole;
    damaged[at] = damaged[at] == '0' ? '1' : '0';
    std::ofstream(path) << damaged;
    const auto store = KeyStore::open(folder(), {});
    if (!store) continue;
    // What is no secret and decides nothing may differ: when the key was made.
    EXPECT_NE((*store)->document().data_keys.front().made_ms, 0) << damaged;
    EXPECT_EQ((*store)->document().data_keys.front().sealed.size(), 120U);
  }
  std::ofstream(path) << whole.substr(0, whole.size() / 2);
  EXPECT_NE(id_of(KeyStore::open(folder(), {})), "");
}

TEST_F(KeyStores, RotateAndForget) {
  const auto old = file_of({});
  {
    const auto store = KeyStore::open(folder(), {});
    ASSERT_TRUE(store && (*store)->rotate());
    EXPECT_EQ((*store)->keys().count(), 2U);
    EXPECT_NE(key_of(encrypt(plain_, (*store)->keys())), key_of(old));
  }
  EXPECT_TRUE(opens(old, {}));
  const auto fresh = file_of({});
  {
    const auto store = KeyStore::open(folder(), {});
    ASSERT_TRUE(store && (*store)->forget_old());
    EXPECT_EQ((*store)->keys().count(), 1U);
  }
  EXPECT_FALSE(opens(old, {}));
  EXPECT_TRUE(opens(fresh, {}));
}

TEST_F(KeyStores, ATpmKeepsTheKeysOverABoot) {
  SoftwareTpm tpm;
  const auto file = file_of(with(tpm));
  EXPECT_FALSE(std::filesystem::exists(folder() / "master.key"));
  tpm.boot_again();
  EXPECT_TRUE(opens(file, with(tpm)));
  const auto store = KeyStore::open(folder(), with(tpm));
  ASSERT_TRUE(store);
  EXPECT_EQ((*store)->warning(), "");
}

TEST_F(KeyStores, AStolenDiskStaysClosed) {
  SoftwareTpm tpm;
  const auto file = file_of(with(tpm));
  const auto stolen = scratch_.path() / "stolen";
  copy_folder(stolen);
  tpm.stop();  // It stays in the device.
  const SoftwareTpm thief;
  EXPECT_EQ(id_of(KeyStore::open(stolen, with(thief))), "VRG-RST-007") << "keys.json names the TPM of the device";
  const auto path = stolen / "keys.json";
  auto text = read_text(path, 1U << 20U).value();
  text.replace(text.find(tpm.tcti()), tpm.tcti().size(), thief.tcti());
  std::ofstream(path) << text;
  EXPECT_EQ(id_of(KeyStore::open(stolen, with(thief))), "VRG-RST-009");
  EXPECT_EQ(id_of(KeyStore::open(stolen, {})), "VRG-RST-009") << "nor does another kind of store help";
  tpm.start();
  EXPECT_TRUE(opens(file, with(tpm)));
}

TEST_F(KeyStores, AChangedRegisterKeepsThemClosed) {
  const SoftwareTpm tpm;
  const auto file = file_of(with(tpm));
  tpm.measure(7);
  EXPECT_EQ(id_of(KeyStore::open(folder(), with(tpm))), "VRG-RST-008");
  EXPECT_EQ(id_of(KeyStore::open(folder(), {})), "VRG-RST-008") << "what is configured now does not help";
}

TEST_F(KeyStores, AClearedTpmIsNamedAndAResetBeginsAnew) {
  const SoftwareTpm tpm;
  const auto file = file_of(with(tpm));
  tpm.clear();
  const auto closed = KeyStore::open(folder(), with(tpm));
  ASSERT_EQ(id_of(closed), "VRG-RST-009");
  EXPECT_NE(closed.error().message().find("verge-agent keys reset"), std::string::npos);
  ASSERT_TRUE(KeyStore::remove(folder()));
  EXPECT_FALSE(KeyStore::exists(folder()));
  EXPECT_FALSE(opens(file, with(tpm)));
  EXPECT_TRUE(opens(file_of(with(tpm)), with(tpm)));
}

TEST_F(KeyStores, MoveFromAFileIntoATpmAndBack) {
  const SoftwareTpm tpm;
  const auto file = file_of({});
  EXPECT_TRUE(opens(file, with(tpm)));
  EXPECT_FALSE(std::filesystem::exists(folder() / "master.key")) << "the old way in is closed";
  EXPECT_TRUE(opens(file, with(tpm)));
  EXPECT_TRUE(opens(file, {}));
  EXPECT_TRUE(std::filesystem::exists(folder() / "master.key"));
}

TEST_F(KeyStores, AreSealedAnewForOtherRegisters) {
  const SoftwareTpm tpm;
  const auto file = file_of(with(tpm, {7}));
  EXPECT_TRUE(opens(file, with(tpm, {4, 0})));
  const auto store = KeyStore::open(folder(), with(tpm, {0, 4}));
  ASSERT_TRUE(store);
  EXPECT_EQ((*store)->news(), "");
  EXPECT_EQ((*store)->document().tpm->pcrs, (std::vector<std::int64_t>{0, 4}));
}

TEST_F(KeyStores, SuspendedOpenAfterAnUpdateOfTheFirmware) {
  SoftwareTpm tpm;
  const auto file = file_of(with(tpm));
  {
    const auto store = KeyStore::open(folder(), with(tpm));
    ASSERT_TRUE(store && (*store)->suspend());
    EXPECT_NE((*store)->warning(), "");
  }
  EXPECT_TRUE(opens(file, with(tpm))) << "in the same boot it stays suspended";
  {
    const auto store = KeyStore::open(folder(), with(tpm));
    EXPECT_TRUE((*store)->document().tpm->pcrs.empty());
  }
  // The next boot, in which the register holds something else.
  const auto path = folder() / "keys.json";
  auto text = read_text(path, 1U << 20U).value();
  const auto at = text.find("suspended_in_boot\": \"") + 21;
  text.replace(at, 8, "00000000");
  std::ofstream(path) << text;
  tpm.measure(7);
  {
    const auto store = KeyStore::open(folder(), with(tpm));
    ASSERT_TRUE(store) << store.error().text();
    EXPECT_EQ((*store)->document().tpm->pcrs, std::vector<std::int64_t>{7});
    EXPECT_EQ((*store)->warning(), "");
    EXPECT_NE((*store)->news(), "");
  }
  EXPECT_TRUE(opens(file, with(tpm)));
  tpm.measure(7);
  EXPECT_FALSE(opens(file, with(tpm)));
}

TEST_F(KeyStores, AreSealedForWhatIsToCome) {
  const SoftwareTpm tpm;
  const auto file = file_of(with(tpm));
  const SoftwareTpm later;
  later.measure(7);
  const auto expected = open_tpm(later.tcti()).value()->read(7);
  {
    const auto store = KeyStore::open(folder(), with(tpm));
    ASSERT_TRUE(store && (*store)->reseal({7}, {{7, *expected}}));
  }
  EXPECT_FALSE(opens(file, with(tpm)));
  tpm.measure(7);
  EXPECT_TRUE(opens(file, with(tpm)));
}

}  // namespace
}  // namespace verge::at_rest::test
