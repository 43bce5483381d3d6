// A spool loses power before every single disk operation, with what was not synced lost, torn and reordered: whatever
// was promised durable comes, in order and with its number; what was delivered, and the disk knew, does not come again;
// no number is used twice; nothing else is left in the folder. And each sync that is left out is missed.
//
//   VERGE_POWER_LOSS_MIXES   seeded losses before each operation (20)
//   VERGE_POWER_LOSS_SEED    of the seeded losses (1)
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>
#include <unordered_set>

#include <gtest/gtest.h>

#include "modelled_disk.hpp"
#include "verge/spool/spool.hpp"
#include "verge/spool/stored.hpp"

namespace verge::power_loss {
namespace {

using simulator::Chance;
using simulator::Loss;
using simulator::ModelledDisk;
using Fate = Loss::Fate;

constexpr const char* kFolder = "/state/spool/door/webhook";

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// What the spool has told, and what the receiver has.
struct Known {
  std::set<int> promised;  ///< Durable, and not delivered.
  std::set<int> finished;  ///< Delivered, and the disk knows it.
  std::map<int, std::uint64_t> numbers;
  std::uint64_t largest = 0;  ///< That anybody has seen.
};

int event_of(const spool::Record& record) {
  return std::stoi(record.content);
}

/// Uses a spool as a sink does.
class SpoolLife {
 public:
  SpoolLife(ModelledDisk& disk, const at_rest::DataKeys* keys, std::uint64_t max_bytes = spool::kLeastBytes)
      : disk_(disk), keys_(keys), max_bytes_(max_bytes) {}

  void open() {
    spool::Options options;
    options.folder = kFolder;
    options.max_bytes = max_bytes_;
    options.background = false;
    options.keys = keys_;
    options.now_ms = [] { return std::int64_t{1'800'000'000'000}; };
    spool_.reset();
    unwritten_.clear();  // Nobody was promised those.
    marked_.clear();
    taken_.clear();
    auto opened = spool::Spool::open(disk_, options);
    if (!opened) throw std::runtime_error("it does not open: " + opened.error().text());
    spool_ = std::move(*opened);
  }
  void put(int count, std::size_t size_bytes = 20) {
    for (int i = 0; i < count; ++i) {
      auto text = std::to_string(next_) + " ";
      if (text.size() < size_bytes) text.resize(size_bytes, 'x');
      unwritten_.insert(next_++);
      (void)spool_->put(text).has_value();
      // The oldest has made room: nobody is promised it any more.
      for (; dropped_ < spool_->counts().dropped_full; ++dropped_) forget_oldest();
    }
  }
  void take(int count) {
    spool::Record record;
    for (int i = 0; i < count && spool_->take(record, {}, std::chrono::milliseconds(0)); ++i) {
      known_.numbers[event_of(record)] = record.sequence;
      known_.largest = std::max(known_.largest, record.sequence);
      taken_.push_back(record);
    }
  }
  void mark(int count) {
    for (int i = 0; i < count && !taken_.empty(); ++i) {
      spool_->mark(taken_.front().sequence, spool::Outcome::delivered);
      marked_.insert(event_of(taken_.front()));
      known_.promised.erase(event_of(taken_.front()));
      unwritten_.erase(event_of(taken_.front()));
      taken_.erase(taken_.begin());
    }
  }
  void flush() {
    if (!spool_->flush()) return;
    known_.promised.merge(unwritten_);
    known_.finished.merge(marked_);
    if (after_flush) after_flush();
  }
  std::function<void()> after_flush;
  [[nodiscard]] const Known& known() const { return known_; }
  [[nodiscard]] spool::Spool& spool() { return *spool_; }

 private:
  void forget_oldest() {
    auto& from = !known_.promised.empty() ? known_.promised : unwritten_;
    if (!from.empty()) from.erase(from.begin());
  }
  ModelledDisk& disk_;
  const at_rest::DataKeys* keys_;
  const std::uint64_t max_bytes_;
  std::unique_ptr<spool::Spool> spool_;
  Known known_;
  std::set<int> unwritten_;
  std::set<int> marked_;
  std::vector<spool::Record> taken_;
  int next_ = 0;
  std::uint64_t dropped_ = 0;
};

void live(SpoolLife& life) {
  life.open();
  life.put(3);
  life.flush();
  life.take(2);
  life.mark(1);
  life.put(2);
  life.flush();
  life.take(10);
  life.mark(10);
  life.flush();
  for (int i = 0; i < 6; ++i) {  // Over several segments.
    life.put(3, 3000);
    life.flush();
  }
  life.take(12);
  life.mark(12);
  life.put(1);
  life.flush();
  life.open();  // Killed, and started again.
  life.put(4);
  life.flush();
  for (int i = 0; i < 18; ++i) {  // More than there is room for.
    life.put(6, 3000);
    life.flush();
  }
  life.take(1000);
  life.mark(1000);
  life.flush();
  life.put(1);
  life.flush();
}

/// Empty: all that was known holds on this disk.
std::string broken(const simulator::DiskImage& image, const Known& known, const at_rest::DataKeys* keys) {
  ModelledDisk disk(image);
  SpoolLife life(disk, keys, 2 * spool::kLeastBytes);  // Nothing is dropped for want of room here.
  life.open();
  (void)life.spool().put("1000000").has_value();
  if (const auto flushed = life.spool().flush(); !flushed) return "no flush: " + flushed.error().text();
  auto missing = known.promised;
  spool::Record record;
  std::vector<std::uint64_t> taken;
  int before = -1;
  while (life.spool().take(record, {}, std::chrono::milliseconds(0))) {
    const int event = event_of(record);
    const auto told = " event " + std::to_string(event) + " with number " + std::to_string(record.sequence);
    if (event <= before) return "out of order:" + told;
    if (!taken.empty() && record.sequence <= taken.back()) return "numbers go back:" + told;
    if (known.finished.contains(event)) return "it was delivered before, and comes again:" + told;
    const auto number = known.numbers.find(event);
    if (number != known.numbers.end() && number->second != record.sequence) return "it had another number:" + told;
    if (number == known.numbers.end() && event == 1'000'000 && record.sequence <= known.largest) {
      return "a number that somebody has seen is used again:" + told;
    }
    before = event;
    missing.erase(event);
    taken.push_back(record.sequence);
  }
  if (!missing.empty()) return "promised, and lost: event " + std::to_string(*missing.begin());
  for (const auto number : taken) life.spool().mark(number, spool::Outcome::delivered);
  if (!life.spool().flush()) return "no flush at the end";
  if (life.spool().counts().waiting != 0) return "something waits that does not come";
  const auto files = disk.files_below("/");
  return files.size() <= 1 ? "" : "stray: " + files.front();
}

class SpoolPowerLoss : public ::testing::TestWithParam<bool> {
 protected:
  SpoolPowerLoss() { keys_.add({}, std::make_shared<const at_rest::Secret>(at_rest::Secret::random())); }
  [[nodiscard]] const at_rest::DataKeys* keys() const { return GetParam() ? &keys_ : nullptr; }
  [[nodiscard]] static simulator::DiskImage before() {
    simulator::DiskImage image;
    image.folders.insert("/state");
    return image;
  }
  at_rest::DataKeys keys_;
};

TEST_P(SpoolPowerLoss, EveryPrefixKeepsEveryPromise) {
  const auto mixes = from_environment("VERGE_POWER_LOSS_MIXES", 20);
  const auto seed = from_environment("VERGE_POWER_LOSS_SEED", 1);
  ModelledDisk disk(before());
  SpoolLife life(disk, keys());
  std::uint64_t losses = 0;
  std::unordered_set<std::uint64_t> tried;
  const auto look = [&](const std::string& call) {
    std::vector<Loss> all{{Fate::lost, Fate::lost, 0, false},
                          {Fate::kept, Fate::kept, 0, false},
                          {Fate::kept, Fate::lost, 0, false},
                          {Fate::kept, Fate::mixed, disk.operations(), false}};
    for (std::uint64_t i = 1; i <= mixes; ++i) {
      const auto one = Chance(seed * 1'000'003 + disk.operations() * 1009 + i).next();
      all.push_back({Fate::mixed, Fate::mixed, one, false});
    }
    for (const auto& loss : all) {
      ++losses;
      const auto image = disk.after(loss);
      if (!tried.insert(image.fingerprint() + disk.operations()).second) continue;
      const auto wrong = broken(image, life.known(), keys());
      ASSERT_EQ(wrong, "") << "power lost before operation " << disk.operations() << ": " << call << ", names "
                           << static_cast<int>(loss.names) << ", content " << static_cast<int>(loss.content)
                           << ", seed " << loss.seed;
    }
  };
  disk.before_call = [&](simulator::Call call, const std::string& path) {
    if (simulator::changes(call) && !HasFailure()) look(std::string(simulator::name(call)) + " " + path);
    return 0;
  };
  live(life);
  look("the end");
  std::printf(
      "spool%s: %llu disk operations, %llu of them syncs; %llu losses, %zu different disks: all promises kept\n",
      GetParam() ? " (encrypted)" : "", static_cast<unsigned long long>(disk.operations()),
      static_cast<unsigned long long>(disk.syncs()), static_cast<unsigned long long>(losses), tried.size());
  EXPECT_GT(disk.syncs(), 20U);
  EXPECT_GT(life.spool().counts().dropped_full, 0U);
}

TEST_P(SpoolPowerLoss, EverySyncLeftOutIsMissed) {
  ModelledDisk whole(before());
  SpoolLife undisturbed(whole, keys());
  live(undisturbed);
  for (std::uint64_t left_out = 1; left_out <= whole.syncs(); ++left_out) {
    ModelledDisk disk(before());
    disk.left_out = left_out;
    SpoolLife life(disk, keys());
    std::string found;
    const auto look = [&] {
      if (!found.empty() || !disk.is_exposed()) return;
      for (const auto& loss : {Loss{Fate::kept, Fate::lost, 0, true}, Loss{Fate::lost, Fate::lost, 0, false},
                               Loss{Fate::kept, Fate::lost, 0, false}, Loss{Fate::kept, Fate::mixed, left_out, true}}) {
        if (found.empty()) found = broken(disk.after(loss), life.known(), keys());
      }
    };
    std::string what;
    disk.before_call = [&](simulator::Call call, const std::string& path) {
      if (call == simulator::Call::sync && disk.syncs() + 1 == left_out) what = path;
      if (simulator::changes(call)) look();
      return 0;
    };
    life.after_flush = look;
    live(life);
    EXPECT_NE(found, "") << "sync " << left_out << ", of '" << what << "', is missed by nobody";
  }
}

TEST_P(SpoolPowerLoss, EveryCallMayFailOnce) {
  ModelledDisk counted(before());
  std::uint64_t calls = 0;
  counted.before_call = [&](simulator::Call, const std::string&) {
    ++calls;
    return 0;
  };
  SpoolLife undisturbed(counted, keys());
  live(undisturbed);
  std::uint64_t refused = 0;
  for (std::uint64_t at = 1; at <= calls; ++at) {
    ModelledDisk disk(before());
    std::uint64_t call_number = 0;
    std::string what;
    disk.before_call = [&](simulator::Call call, const std::string&) {
      // One that cannot be read is damage, and told so: the other tests are about that.
      if (call_number + 1 == at) what = simulator::name(call);
      return ++call_number == at && simulator::changes(call) ? (at % 2 == 0 ? EIO : ENOSPC) : 0;
    };
    SpoolLife life(disk, keys());
    try {
      live(life);
    } catch (const std::runtime_error&) {  // Not even the folder can be made: that is told.
      ++refused;
      continue;
    }
    ASSERT_EQ(broken(disk.image(), life.known(), keys()), "") << "call " << at << " failed: " << what;
    ASSERT_EQ(broken(disk.after({}), life.known(), keys()), "") << "call " << at << " failed, then the power";
  }
  EXPECT_LT(refused, 20U);
  EXPECT_GT(calls, 100U);
}

INSTANTIATE_TEST_SUITE_P(Of, SpoolPowerLoss, ::testing::Bool(),
                         [](const auto& one) { return one.param ? "encrypted" : "plain"; });

}  // namespace
}  // namespace verge::power_loss
