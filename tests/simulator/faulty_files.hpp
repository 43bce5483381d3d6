// Faulty files: a disk in memory that fails, fills up, and loses what was not synced.
#pragma once

#include <map>
#include <string>

#include "chance.hpp"

namespace verge::simulator {

class FaultyFiles final : public update::Files {
 public:
  /// One operation in `fault_every` fails or ends the agent; 0: none.
  FaultyFiles(Chance& chance, std::uint64_t fault_every) : chance_(chance), fault_every_(fault_every) {}

  Result<std::string> read(const std::string& name, std::uint64_t limit_bytes) override;
  Result<void> write(const std::string& name, std::string_view content) override;
  Result<void> append(const std::string& name, std::span<const std::byte> bytes) override;
  Result<void> sync(const std::string& name) override;
  Result<std::uint64_t> size(const std::string& name) override;
  Result<std::string> digest(const std::string& name) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> link(const std::string& from, const std::string& to) override;
  bool same(const std::string& a, const std::string& b) override;
  Result<void> remove(const std::string& name) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  std::uint64_t free_bytes() override { return free_bytes_; }

  void heal() { fault_every_ = 0; }
  void set_fault_every(std::uint64_t n) { fault_every_ = n; }
  /// Power is lost: of what was appended and not synced, some is there, some not, some is torn.
  void lose_power();
  /// Content as it is, past all faults; null when there is none.
  [[nodiscard]] const std::string* peek(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;
  /// A byte of a stored file flips, as on a worn card.
  void rot(const std::string& name);
  [[nodiscard]] std::uint64_t operations() const noexcept { return operations_; }

 private:
  struct File {
    std::string content;
    std::size_t synced = 0;  ///< Bytes that survive.
  };
  /// Before an operation that changes something; may end the agent or give an error.
  Result<void> strike();
  void strike_after();
  std::string& content_of(const std::string& name);

  Chance& chance_;
  std::uint64_t fault_every_;
  std::uint64_t operations_ = 0;
  std::uint64_t free_bytes_ = std::uint64_t{1} << 40U;
  std::map<std::string, std::shared_ptr<File>> files_;  ///< A link is a second owner.
};

}  // namespace verge::simulator
