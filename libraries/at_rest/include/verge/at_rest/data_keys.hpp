// Data keys: what files are encrypted with; several while they are rotated.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "verge/at_rest/secret.hpp"

namespace verge::at_rest {

/// Which data key a file is encrypted with. Random, no secret.
using KeyId = std::array<std::byte, 8>;

/// Thread-safe.
class DataKeys {
 public:
  using Key = std::shared_ptr<const Secret>;

  /// `key` becomes the one that new files take.
  void add(const KeyId& id, Key key);
  /// Forgets all others.
  void keep_only(const KeyId& id);
  /// The one that new files take; there must be one.
  [[nodiscard]] std::pair<KeyId, Key> current() const;
  /// Null: there is none of this name.
  [[nodiscard]] Key find(const KeyId& id) const;
  [[nodiscard]] std::size_t count() const;

 private:
  mutable std::mutex mutex_;
  KeyId current_{};
  std::map<KeyId, Key> keys_;
};

}  // namespace verge::at_rest
