// Any bytes as segments of a spool: passed over, never read past their end, and the spool works. And a real segment
// that is changed anywhere: every record that comes is one that was put, and they come in order.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "files.hpp"
#include "verge/spool/spool.hpp"

namespace {

using namespace verge;

constexpr const char* kSegment = "0000000000000001.segment";
constexpr const char* kNextSegment = "0000000000000002.segment";

spool::Options options() {
  spool::Options chosen;
  chosen.folder = fuzz::folder() / "spool";
  chosen.background = false;
  return chosen;
}

std::unique_ptr<spool::Spool> open() {
  auto opened = spool::Spool::open(real_file_system(), options());
  if (!opened) std::abort();
  return std::move(*opened);
}

void empty_folder() {
  std::filesystem::remove_all(options().folder);
  std::filesystem::create_directories(options().folder);
}

/// Takes all there is; in order, or it ends the run.
std::map<std::uint64_t, std::string> take_all(spool::Spool& spool) {
  std::map<std::uint64_t, std::string> taken;
  spool::Record record;
  while (spool.take(record, {}, std::chrono::milliseconds(0))) {
    if (!taken.empty() && record.sequence <= taken.rbegin()->first) std::abort();
    taken[record.sequence] = record.content;
  }
  return taken;
}

/// Whatever was found: what is put from now on comes.
void use(spool::Spool& spool) {
  if (!spool.put("new") || !spool.flush()) std::abort();
  const auto taken = take_all(spool);
  if (taken.empty() || taken.rbegin()->second != "new") std::abort();
  for (const auto& [sequence, content] : taken) spool.mark(sequence, spool::Outcome::delivered);
  if (!spool.flush()) std::abort();
}

std::string real_segment() {
  empty_folder();
  {
    const auto spool = open();
    for (int i = 0; i < 40; ++i) {
      if (!spool->put("record " + std::to_string(i))) std::abort();
      if (i % 8 == 7 && !spool->flush()) std::abort();
    }
  }
  return read_text(options().folder / kSegment, std::uint64_t{1} << 20U).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  static const std::string whole = real_segment();
  const std::string input(reinterpret_cast<const char*>(data), size_bytes);
  empty_folder();
  fuzz::put(options().folder / kSegment, input.substr(0, input.size() / 2));
  fuzz::put(options().folder / kNextSegment, input.substr(input.size() / 2));
  use(*open());
  std::string changed = whole;
  for (std::size_t i = 0; i + 2 < input.size() && i < 48; i += 3) {
    const auto at = static_cast<std::size_t>(data[i]) << 8U | data[i + 1];
    if (at < changed.size()) {
      changed[at] = static_cast<char>(changed[at] ^ data[i + 2]);
    } else {
      changed.resize(at % (changed.size() + 1));
    }
  }
  empty_folder();
  fuzz::put(options().folder / kSegment, changed);
  const auto spool = open();
  for (const auto& [sequence, content] : take_all(*spool)) {
    if (content != "record " + std::to_string(sequence - 1)) std::abort();
  }
  use(*spool);
  return 0;
}
