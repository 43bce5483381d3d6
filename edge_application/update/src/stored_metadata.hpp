// Stored metadata: what the trust client has verified, among the device's files.
#pragma once

#include <string>
#include <string_view>

#include "verge/trust/client.hpp"
#include "verge/update/ports.hpp"

namespace verge::update {

/// Trusted metadata among the device's files.
class StoredMetadata final : public trust::MetadataStore {
 public:
  static constexpr const char* kFolder = "trust";

  explicit StoredMetadata(Files& files) : files_(files) {}
  Result<std::string> read(std::string_view role) override {
    return files_.read(name(role), trust::kTargetsLimitBytes);
  }
  Result<void> write(std::string_view role, std::string_view content) override {
    auto written = files_.write(name(role), content);
    kept_ = written.has_value();  // One that failed may be there all the same, and be read as stored.
    return written;
  }
  /// What the run of the agent before has stored is durable from here on: it may have been killed before it could sync.
  Result<void> keep() {
    if (!kept_) VERGE_TRY(files_.sync(kFolder));
    kept_ = true;
    return {};
  }

 private:
  static std::string name(std::string_view role) {
    // Names of delegated roles come from outside: nothing in them may lead elsewhere.
    std::string safe = std::string(kFolder) + "/";
    for (const char c : role) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
      if (plain) {
        safe += c;
      } else {
        constexpr std::string_view kDigits = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(c);
        safe += '%';
        safe += kDigits[byte >> 4U];
        safe += kDigits[byte & 15U];
      }
    }
    return safe + ".json";
  }
  Files& files_;
  bool kept_ = false;
};

}  // namespace verge::update
