// What the firmware says, from files as Linux shows them.
#include "verge/telemetry/boot_state.hpp"

#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::telemetry {
namespace {

using wire::SecureBoot;
using namespace std::string_literals;

class BootStateTest : public testing::Test {
 protected:
  void set(const std::string& name, const std::string& content) {
    write("firmware/efi/efivars/" + name + "-8be4df61-93ca-11d2-aa0d-00e098032b8c", content);
  }
  void write(const std::string& path, const std::string& content) {
    std::filesystem::create_directories((folder_.path() / path).parent_path());
    ASSERT_TRUE(write_file(folder_.path() / path, std::string_view(content)));
  }
  SecureBoot secure_boot() { return read_boot_state(folder_.path()).secure_boot; }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("sys"));
};

TEST_F(BootStateTest, SecureBootIsWhatBothVariablesSay) {
  EXPECT_EQ(secure_boot(), SecureBoot::unknown) << "no EFI";
  set("SecureBoot", "\6\0\0\0\1"s);
  EXPECT_EQ(secure_boot(), SecureBoot::unknown) << "one of two";
  set("SetupMode", "\6\0\0\0\0"s);
  EXPECT_EQ(secure_boot(), SecureBoot::enabled);
  set("SecureBoot", "\6\0\0\0\0"s);
  EXPECT_EQ(secure_boot(), SecureBoot::disabled);
  set("SecureBoot", "\6\0\0\0\1"s);
  set("SetupMode", "\6\0\0\0\1"s);
  EXPECT_EQ(secure_boot(), SecureBoot::setup_mode);
}

TEST_F(BootStateTest, VariablesThatAreNotAsTheyShouldBeProveNothing) {
  set("SetupMode", "\6\0\0\0\0"s);
  for (const auto& content : {""s, "\1"s, "\6\0\0\0"s, "\6\0\0\0\2"s, "\6\0\0\0\1\1"s}) {
    set("SecureBoot", content);
    EXPECT_EQ(secure_boot(), SecureBoot::unknown) << content.size() << " bytes";
  }
}

TEST_F(BootStateTest, TheLogOfTheMeasuredBootIsDigested) {
  EXPECT_EQ(read_boot_state(folder_.path()).event_log_digest, "");
  write("kernel/security/tpm0/binary_bios_measurements", "events");
  EXPECT_EQ(read_boot_state(folder_.path()).event_log_digest, crypto::sha256("events"));
}

}  // namespace
}  // namespace verge::telemetry
