#include "verge/hub/backup.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "fleet_of.hpp"
#include "verge/base/descriptor.hpp"

namespace verge::hub {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
namespace fs = std::filesystem;

constexpr const char* kPassphrase = "correct horse battery";

class HubBackup : public HubTest {
 protected:
  void SetUp() override {
    HubTest::SetUp();
    package_ = push("m", "1.0.0");
    camera_ = join("cam-1");
    ASSERT_TRUE(send(camera_, report_for(camera_)));
    ASSERT_TRUE(deploy("m"));
  }
  fs::path data() const { return folder_.path() / "hub"; }
  fs::path file() const { return folder_.path() / "hub.backup"; }
  fs::path restored() const { return folder_.path() / "restored"; }
  Result<BackupContent> restore(const std::string& passphrase = kPassphrase) {
    return restore_backup(file(), restored(), passphrase, now_ms_ / 1000);
  }
  /// The hub goes on in the folder that was made of the backup.
  void move_in() {
    hub_.reset();
    fs::remove_all(data());
    fs::rename(restored(), data());
    open();
  }
  /// What is in the temporary folder beside the hub's and the backup.
  std::vector<std::string> left_over() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      const auto name = entry.path().filename().string();
      if (name != "hub" && name != "hub.backup" && name != "piece") names.push_back(name);
    }
    return names;
  }
  std::int64_t timestamp_version() { return version_of(must(hub_->trust_metadata("timestamp.json"))); }
  static std::int64_t version_of(const std::string& metadata) {
    return std::stoll(must(wire::parse_json(metadata, "metadata")).find("signed")->find("version")->text);
  }
  std::string bytes() const { return must(read_text(file(), 1U << 30U)); }
  Principal camera_;
  std::string package_;  ///< Digest of m 1.0.0.
};

TEST_F(HubBackup, TheRestoredHubGoesOnWithDevicesThatHaveSeenNewer) {
  const auto made = make_backup(data(), file(), kPassphrase);
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_GT(made->files, 10U);
  EXPECT_FALSE(fs::exists(data() / ".backup"));
  EXPECT_EQ(fs::status(file()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  // All this is lost.
  push("m", "2.0.0");
  const auto lost = must(deploy("m"));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(send(camera_, report_for(camera_)));
  const auto seen = timestamp_version();

  const auto done = restore();
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(fs::status(restored()).permissions(), fs::perms::owner_all);
  EXPECT_EQ(done->files, made->files);
  EXPECT_EQ(done->size_bytes, made->size_bytes);
  const auto before = must(hub_->status(admin_));
  move_in();
  const auto status = must(hub_->status(admin_));
  EXPECT_EQ(status.models, before.models);
  EXPECT_EQ(status.devices, 1);
  EXPECT_TRUE(status.frozen);
  EXPECT_GT(timestamp_version(), seen);
  // The continuation that the device has is none that this hub has given: that is no second machine.
  auto report = report_for(camera_);
  report.desired_version = 7;
  const auto answer = send(camera_, report);
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_GT(answer->desired_version, 7) << "so that it asks";
  EXPECT_TRUE(desired(camera_, 7)->frozen);
  ASSERT_TRUE(send(camera_, report_for(camera_))) << "once is enough";
  report.continuation = "another machine's";
  EXPECT_EQ(send(camera_, report).error().id(), "VRG-HUB-018");
  // Numbers that devices know of the hub before are not given again.
  push("m", "2.0.0");
  const auto next = must(deploy("m"));
  EXPECT_EQ(lost.summary.deployment, "d-2");
  EXPECT_EQ(next.summary.deployment, "d-1700000001");
}

TEST_F(HubBackup, AOneTimeTokenIsGoodOnceThoughABackupKnowsItUnused) {
  wire::EnrolmentRequest wanted;
  wanted.device = "cam-2";
  const auto enrolment = must(hub_->create_enrolment(admin_, wanted, "https://hub:1"));
  ASSERT_TRUE(make_backup(data(), file(), kPassphrase));
  wire::CertificateRequest request;
  request.device = "cam-2";
  request.token = enrolment.token;
  request.request = crypto::make_request(crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256), "cam-2");
  ASSERT_TRUE(hub_->certificate(request, "10.0.0.1"));
  ASSERT_TRUE(restore());
  move_in();
  now_ms_ += 1000;
  request.request = crypto::make_request(crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256), "cam-2");
  EXPECT_EQ(hub_->certificate(request, "10.0.0.1").error().code(), ErrorCode::unauthenticated);
  EXPECT_TRUE(send(camera_, report_for(camera_))) << "who has joined before goes on";
}

TEST_F(HubBackup, ContentIsWhatItWas) {
  const auto package = must(hub_->device_blob(camera_, package_));
  const auto content = must(read_text(package.file, 1U << 20U));
  ASSERT_TRUE(make_backup(data(), file(), kPassphrase));
  ASSERT_TRUE(restore());
  move_in();
  const auto again = must(hub_->device_blob(camera_, package_));
  EXPECT_EQ(must(read_text(again.file, 1U << 20U)), content);
}

TEST_F(HubBackup, NothingInItIsPlain) {
  ASSERT_TRUE(make_backup(data(), file(), kPassphrase));
  const auto text = bytes();
  for (const char* word : {"PRIVATE KEY", "SQLite format", "weights of", "cam-1", "ustar", "authority"}) {
    EXPECT_THAT(text, Not(HasSubstr(word)));
  }
  // The same is made otherwise each time: there is a new salt.
  ASSERT_TRUE(make_backup(data(), folder_.path() / "second", kPassphrase));
  EXPECT_NE(must(read_text(folder_.path() / "second", 1U << 30U)).substr(8, 32), text.substr(8, 32));
}

TEST_F(HubBackup, AnotherPassphraseOpensNothing) {
  ASSERT_TRUE(make_backup(data(), file(), kPassphrase));
  EXPECT_EQ(restore("correct horse batters").error().id(), "VRG-HUB-090");
  EXPECT_EQ(restore("short").error().id(), "VRG-HUB-088");
  EXPECT_THAT(left_over(), IsEmpty());
  ASSERT_TRUE(restore());
}

TEST_F(HubBackup, DamageAnywhereIsNoticedAndLeavesNothing) {
  ASSERT_TRUE(make_backup(data(), file(), kPassphrase));
  const auto whole = bytes();
  ASSERT_GT(whole.size(), 200'000U);
  const auto try_with = [&](const std::string& content) {
    std::ofstream(file(), std::ios::binary) << content;
    const auto done = restore();
    EXPECT_THAT(left_over(), IsEmpty());
    return done ? std::string("restored") : done.error().id();
  };
  // Magic; salt; header of the encrypted file, with its key's name; its salt; nonce, content and tag of the first
  // chunk; one in the middle; the last.
  const std::vector<std::pair<std::size_t, std::string>> places{
      {0, "VRG-HUB-091"},       {10, "VRG-HUB-090"},
      {64, "VRG-HUB-090"},      {74, "VRG-HUB-090"},
      {90, "VRG-HUB-090"},      {128, "VRG-RST-001"},
      {1000, "VRG-RST-001"},    {128 + 65536 + 20, "VRG-RST-001"},
      {100'000, "VRG-RST-001"}, {whole.size() - 1, "VRG-HUB-090"}};
  for (const auto& [place, id] : places) {
    auto changed = whole;
    changed[place] = static_cast<char>(changed[place] ^ 1);
    EXPECT_EQ(try_with(changed), id) << "byte " << place;
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{63}, std::size_t{64}, std::size_t{150},
                                 std::size_t{128 + 65536 + 28}, whole.size() - 1}) {
    EXPECT_THAT(try_with(whole.substr(0, size)), testing::StartsWith("VRG-HUB-09")) << size << " bytes";
  }
  EXPECT_EQ(try_with(whole + "x"), "VRG-HUB-090");
  // Two chunks change places.
  constexpr std::size_t kFrame = 65536 + 28;
  EXPECT_EQ(try_with(whole.substr(0, 128) + whole.substr(128 + kFrame, kFrame) + whole.substr(128, kFrame) +
                     whole.substr(128 + 2 * kFrame)),
            "VRG-RST-001");
}

TEST_F(HubBackup, NothingIsWrittenOver) {
  ASSERT_TRUE(make_backup(data(), file(), kPassphrase));
  const auto before = bytes();
  EXPECT_EQ(make_backup(data(), file(), kPassphrase).error().id(), "VRG-HUB-087");
  EXPECT_EQ(bytes(), before);
  fs::create_directories(restored());
  ASSERT_TRUE(write_file(restored() / "mine", "precious"));
  EXPECT_EQ(restore().error().id(), "VRG-HUB-087");
  EXPECT_EQ(must(read_text(restored() / "mine", 100)), "precious");
  fs::remove(restored() / "mine");
  EXPECT_TRUE(restore()) << "an empty folder may be there";
}

TEST_F(HubBackup, WhatCutOffRunsLeftIsNoHindrance) {
  ASSERT_TRUE(write_file(data() / ".backup" / "blobs" / "sha256" / "old", "old"));
  ASSERT_TRUE(write_file(file().string() + ".part", "half"));
  ASSERT_TRUE(make_backup(data(), file(), kPassphrase));
  ASSERT_TRUE(write_file(folder_.path() / ".restored.restoring" / "hub.db", "half"));
  ASSERT_TRUE(restore());
  EXPECT_FALSE(fs::exists(restored() / "blobs" / "sha256" / "old"));
  EXPECT_THAT(left_over(), testing::ElementsAre("restored"));
}

TEST_F(HubBackup, SaysWhatIsWrong) {
  const auto none = make_backup(folder_.path() / "none", file(), kPassphrase);
  EXPECT_EQ(none.error().id(), "VRG-HUB-086");
  EXPECT_EQ(make_backup(data(), file(), "short").error().id(), "VRG-HUB-088");
  EXPECT_EQ(make_backup(data(), folder_.path() / "no" / "folder", kPassphrase).error().code(), ErrorCode::not_found);
  EXPECT_EQ(restore().error().code(), ErrorCode::not_found);
  fs::create_directories(data() / ".backup");
  const Descriptor other(::open((data() / ".backup").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::flock(other.number(), LOCK_EX), 0);
  EXPECT_EQ(make_backup(data(), file(), kPassphrase).error().id(), "VRG-HUB-089");
}

TEST_F(HubBackup, ABlobThatIsGoneIsNamed) {
  fs::remove(data() / "blobs" / "sha256" / package_.substr(7));
  const auto made = make_backup(data(), file(), kPassphrase);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().id(), "VRG-HUB-089");
  EXPECT_THAT(made.error().message(), HasSubstr(package_));
  EXPECT_FALSE(fs::exists(file()));
  EXPECT_FALSE(fs::exists(data() / ".backup"));
}

TEST_F(HubBackup, IsOfOnePieceWhileTheHubWorks) {
  std::atomic<int> pushed{1};
  {
    std::jthread busy([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) push("m", "1.0." + std::to_string(pushed++));
    });
    for (int i = 0; i < 4; ++i) {
      const auto began = pushed.load();
      const auto to = folder_.path() / ("backup-" + std::to_string(i));
      const auto made = make_backup(data(), to, kPassphrase);
      ASSERT_TRUE(made) << made.error().text();
      while (pushed == began) std::this_thread::yield();
    }
  }
  for (int i = 0; i < 4; ++i) {
    const auto to = folder_.path() / ("hub-" + std::to_string(i));
    const auto done = restore_backup(folder_.path() / ("backup-" + std::to_string(i)), to, kPassphrase, now_ms_ / 1000);
    ASSERT_TRUE(done) << done.error().text();
    const auto opened = Hub::open({to, {}, [this] { return now_ms_; }, "1", {}, {}, {}}, log_);
    ASSERT_TRUE(opened) << opened.error().text();
    // What its database has, its signed metadata and its content have, too.
    for (const auto& version : must((*opened)->model(admin_, "m")).versions) {
      const auto target = "models/m/" + version.digest.substr(7) + "." + version.version + ".json";
      EXPECT_TRUE((*opened)->trust_target(target)) << version.version;
    }
  }
}

}  // namespace
}  // namespace verge::hub
