// Software TPM: swtpm, the real program, with a state of its own.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "verge/base/descriptor.hpp"
#include "verge/base/file.hpp"
#include "verge/process/child.hpp"

namespace verge::at_rest::test {

class SoftwareTpm {
 public:
  SoftwareTpm() : folder_(TemporaryFolder::create("verge-swtpm-").value()) { start(); }

  [[nodiscard]] std::string tcti() const { return "swtpm:path=" + socket().string(); }
  void start() {
    const auto address = "type=unixio,path=" + socket().string();
    auto started =
        process::Child::start({"/usr/bin/swtpm",
                               {"socket", "--tpm2", "--tpmstate", "dir=" + folder_.path().string(), "--server", address,
                                "--ctrl", address + ".ctrl", "--flags", "not-need-init,startup-clear"}});
    ASSERT_TRUE(started) << started.error().text();
    program_.emplace(std::move(*started));
    for (int i = 0; i < 2000 && !listens(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  /// As the machine does.
  void stop() {
    program_.reset();
    std::filesystem::remove(socket());
  }
  void boot_again() {
    stop();
    start();
  }
  /// Runs one of tpm2-tools.
  void run(const std::string& program, const std::vector<std::string>& arguments) const {
    ASSERT_TRUE(runs(program, arguments)) << program << " failed";
  }
  /// Whether it succeeds.
  [[nodiscard]] bool runs(const std::string& program, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"-T", tcti()});
    auto tool = process::Child::start({"/usr/bin/" + program, arguments});
    if (!tool) return false;
    const auto ended = tool->wait(std::chrono::seconds(20));
    return ended && ended->signal == 0 && ended->exit_status == 0;
  }
  /// As the firmware does before it runs something else than it did.
  void measure(unsigned pcr) const { run("tpm2_pcrextend", {std::to_string(pcr) + ":sha256=" + std::string(64, 'a')}); }
  void clear() const { run("tpm2_clear", {"-c", "p"}); }

 private:
  /// The name is there before anybody listens at it.
  [[nodiscard]] bool listens() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket().string().copy(address.sun_path, sizeof address.sun_path - 1);
    const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return ::connect(probe.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  [[nodiscard]] std::filesystem::path socket() const { return folder_.path() / "socket"; }

  TemporaryFolder folder_;
  std::optional<process::Child> program_;
};

}  // namespace verge::at_rest::test
