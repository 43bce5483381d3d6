#include "verge/spool/spool.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "state.hpp"
#include "verge/crypto/random.hpp"

namespace verge::spool {
namespace {

using namespace std::chrono_literals;

/// Numbers that a run may use before it must say so on the disk.
constexpr std::uint64_t kReserve = 1024;
constexpr auto kMarkAfter = 1s;
/// Counters alone are written this often.
constexpr auto kCountersAfter = 60s;
constexpr auto kTryAgainAfter = 5s;
constexpr std::uint64_t kLeastSegmentBytes = std::uint64_t{16} << 10U;
constexpr std::uint64_t kMostSegmentBytes = std::uint64_t{1} << 20U;
/// What a damaged or forged block may claim at most.
constexpr std::uint64_t kLargestSequence = std::uint64_t{1} << 62U;

std::int64_t wall_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

Options completed(Options options) {
  options.max_bytes = std::max(options.max_bytes, kLeastBytes);
  if (!options.now_ms) options.now_ms = wall_ms;
  return options;
}

StreamName new_stream() {
  StreamName name{};
  const auto digits = crypto::random_hex(name.size());
  for (std::size_t i = 0; i < name.size(); ++i) {
    name.at(i) = static_cast<char>(std::stoi(digits.substr(2 * i, 2), nullptr, 16));
  }
  return name;
}

std::string text_of(const StreamName& name) {
  std::string text;
  for (const char c : name) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text;
}

/// Numbers that cannot be ours would leave none to go on with.
bool is_sane(const Ledger& ledger) {
  return ledger.done < kLargestSequence && ledger.reserved < kLargestSequence;
}

}  // namespace

Spool::State::State(FileSystem& file_system, Options chosen)
    : system_(file_system),
      options_(completed(std::move(chosen))),
      memory_limit_bytes_(std::max<std::uint64_t>(options_.max_bytes / 8, kRecordLimitBytes)) {}

/// A disk that is full keeps nobody from starting: what comes waits in memory until there is room for the folder.
Result<void> Spool::State::make_folder() {
  auto made = make_durable_folder(system_, options_.folder.string());
  has_folder_ = made.has_value();
  return made;
}

/// The number for the next segment.
Result<std::uint64_t> Spool::State::load_segments() {
  const auto folder = options_.folder.string();
  const auto names = system_.list(folder);
  if (!names && names.error() == ENOENT && !has_folder_) return 1;
  if (!names) return file_error("list", folder, names.error());
  for (const auto& name : *names) {
    if (name.ends_with(kPartSuffix)) (void)system_.unlink((options_.folder / name).string()).has_value();
  }
  VERGE_ASSIGN(const auto numbers, segment_numbers(system_, folder));
  for (const auto number : numbers) {
    Segment segment;
    segment.number = number;
    auto reader = SegmentReader::open(system_, segment_path(options_.folder, number));
    if (!reader) continue;  // It stays, for a later start to read.
    std::uint64_t passed_over = 0;
    while (const auto head = reader->next(reader->size_bytes(), passed_over)) {
      if (head->last >= kLargestSequence) continue;
      segment.size_bytes = reader->offset_bytes();
      segment.last = std::max(segment.last, head->last);
      segment.newest_ms = std::max(segment.newest_ms, head->newest_ms);
    }
    next_ = std::max(next_, segment.last + 1);
    counts_.disk_bytes += disk_bytes(segment.size_bytes);
    segments_.push_back(segment);
  }
  return numbers.empty() ? 1 : numbers.back() + 1;
}

std::optional<Ledger> Spool::State::newest_ledger() {
  for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
    auto reader = SegmentReader::open(system_, segment_path(options_.folder, segment->number));
    if (!reader) continue;
    std::optional<Ledger> newest;
    std::uint64_t passed_over = 0;
    while (reader->next(segment->size_bytes, passed_over)) {
      const auto body = reader->body(options_.keys);
      if (body && is_sane(body->ledger)) newest = body->ledger;
    }
    if (!newest) continue;
    ledger_segment_ = segment->number;
    return newest;
  }
  return std::nullopt;
}

/// How many of each segment's records are not done. Blocks that a failed sync has left stand twice.
void Spool::State::count_untaken() {
  std::uint64_t floor = taken_;
  for (auto& segment : segments_) {
    if (segment.last <= floor) continue;
    auto reader = SegmentReader::open(system_, segment_path(options_.folder, segment.number));
    if (!reader) continue;
    std::uint64_t passed_over = 0;
    while (const auto head = reader->next(segment.size_bytes, passed_over)) {
      if (head->last >= kLargestSequence || head->last <= floor) continue;
      if (head->first > floor) {
        segment.untaken += head->records;
      } else if (const auto body = reader->body(options_.keys)) {
        segment.untaken += static_cast<std::uint64_t>(
            std::ranges::count_if(body->records, [&](const RecordView& one) { return one.sequence > floor; }));
      }
      floor = head->last;
    }
    counts_.waiting += segment.untaken;
  }
}

Result<void> Spool::State::load() {
  if (auto made = make_folder(); !made && made.error().code() != ErrorCode::resource_exhausted) return made;
  VERGE_ASSIGN(const auto number, load_segments());
  auto ledger = newest_ledger();
  if (ledger) {
    durable_ = *ledger;
    counts_.stored = durable_.stored;
    counts_.delivered = durable_.delivered;
    counts_.dropped_full = durable_.dropped_full;
    counts_.dropped_old = durable_.dropped_old;
    counts_.refused = durable_.refused;
    counts_.damaged = durable_.damaged;
    reserved_ = durable_.reserved;
    taken_ = durable_.done;
    next_ = std::max({next_, durable_.reserved, durable_.done + 1});
  } else {
    durable_.stream = new_stream();
    durable_.reserved = 1;
  }
  stream = text_of(durable_.stream);
  count_untaken();
  const auto segment_bytes = std::clamp(options_.max_bytes / 16, kLeastSegmentBytes, kMostSegmentBytes);
  writer_.emplace(system_, options_.folder, segment_bytes, number);
  forget_done();
  return {};
}

bool Spool::State::read_block(std::unique_lock<std::mutex>& lock) {
  Segment* const segment = segment_to_read();
  if (segment == nullptr) return false;
  const auto number = segment->number;
  const auto end_bytes = segment->size_bytes;
  if (!reader_ || reading_ != number) {
    passed_over_ = 0;
    reading_ = number;
    reader_.reset();
  }
  lock.unlock();
  std::optional<Head> head;
  std::optional<Body> body;
  std::uint64_t places = 0;
  if (!reader_ || reader_->size_bytes() < end_bytes) {
    const auto offset = reader_ ? reader_->offset_bytes() : 0;
    auto opened = SegmentReader::open(system_, segment_path(options_.folder, number));
    reader_.reset();
    if (opened) reader_.emplace(std::move(*opened));
    if (reader_) reader_->go_on_at(offset);
  }
  if (reader_) {
    head = reader_->next(end_bytes, places);
    if (head) {
      body = reader_->body(options_.keys);
      if (body && body->ledger.stream != durable_.stream) body.reset();
    }
  }
  lock.lock();
  if (head) {
    passed_over_ += places;
    counts_.damaged += places;
  }
  keep_block(end_bytes, head, body);
  return true;
}

void Spool::State::keep_block(std::uint64_t end_bytes, const std::optional<Head>& head,
                              const std::optional<Body>& body) {
  const auto found = std::ranges::find(segments_, reading_, &Segment::number);
  if (found == segments_.end()) return;  // Dropped meanwhile, and counted.
  if (!head) {
    if (found->size_bytes == end_bytes) end_of_segment(*found);  // Else it has grown meanwhile.
    return;
  }
  if (body) {
    for (const auto& record : body->records) {
      if (record.sequence > taken_) read_.push_back({record.sequence, record.time_ms, std::string(record.content)});
    }
    return;
  }
  if (head->last <= taken_ || head->last >= kLargestSequence) return;
  const auto lost = std::min<std::uint64_t>(head->records, found->untaken);
  found->untaken -= lost;
  counts_.waiting -= lost;
  counts_.damaged += lost;
  taken_ = head->last;
  forget_done();
}

/// What was to be there and did not come was damaged; places that were passed over are counted already.
void Spool::State::end_of_segment(Segment& segment) {
  counts_.damaged += segment.untaken - std::min(segment.untaken, std::exchange(passed_over_, 0));
  counts_.waiting -= std::exchange(segment.untaken, 0);
  taken_ = std::max(taken_, segment.last);
  forget_done();
}

Ledger Spool::State::ledger(bool last) const {
  Ledger now = durable_;
  now.done = done();
  now.reserved = last ? next_ : std::max(durable_.reserved, next_ + kReserve);
  now.stored = counts_.stored;
  now.delivered = counts_.delivered;
  now.dropped_full = counts_.dropped_full;
  now.dropped_old = counts_.dropped_old;
  now.refused = counts_.refused;
  now.damaged = counts_.damaged;
  return now;
}

/// Whether a block without records is worth writing.
bool Spool::State::must_write(bool all, bool last, const Ledger& now) const {
  if (taker_waits_ || marked_since_) return true;
  Ledger before = durable_;
  if (!last) before.reserved = now.reserved;
  return before != now && (all || Clock::now() - written_at_ >= kCountersAfter);
}

Spool::State::Clock::time_point Spool::State::due_at() const {
  if (trouble_) return try_again_;
  if (taker_waits_ || memory_bytes_ > memory_limit_bytes_ / 4) return Clock::time_point::min();
  auto due = written_at_ + kCountersAfter;
  if (!memory_.empty()) due = std::min(due, memory_.front().since + options_.durable_after);
  if (marked_since_)
    due = std::min(due, *marked_since_ + std::max<Clock::duration>(kMarkAfter, options_.durable_after));
  return due;
}

bool Spool::State::next_block(bool all, bool last, std::uint64_t above, bool is_first) {
  const std::lock_guard lock(mutex_);
  if (is_first) drop_old();
  const auto now = ledger(last);
  block_.begin(now);
  for (auto one = std::ranges::upper_bound(memory_, above, {}, &Pending::sequence);
       one != memory_.end() && block_.size_bytes() < kBlockBytes; ++one) {
    block_.add({one->sequence, one->time_ms, one->content});
  }
  block_ledger_ = now;
  gathered_ = block_.head().last;
  return block_.head().records > 0 || (is_first && must_write(all, last, now));
}

Result<void> Spool::State::write(bool all, bool last) {
  const auto* const keys = options_.keys;
  if (keys != nullptr && keys->current().first != key_) {
    writer_->close();  // So that the old key is needed no longer than its segments are.
    key_ = keys->current().first;
  }
  std::vector<Written> written;
  std::uint64_t above = 0;
  while (next_block(all, last, above, written.empty())) {
    above = block_.head().last;
    if (!has_folder_) VERGE_TRY(make_folder());
    const auto block = block_.finish(keys);
    VERGE_ASSIGN(const auto place, writer_->append(block));
    written.push_back({block_.head(), place});
    if (block_.head().records == 0) break;
  }
  if (!written.empty()) {
    VERGE_TRY(writer_->sync());
    apply(written);
  }
  return {};
}

void Spool::State::apply(const std::vector<Written>& written) {
  const std::lock_guard lock(mutex_);
  std::uint64_t last = 0;
  for (const auto& [head, place] : written) {
    if (segments_.empty() || segments_.back().number != place.segment) segments_.push_back({place.segment, 0, 0, 0, 0});
    Segment& segment = segments_.back();
    counts_.disk_bytes += disk_bytes(place.end_bytes) - disk_bytes(segment.size_bytes);
    segment.size_bytes = place.end_bytes;
    segment.last = std::max(segment.last, head.last);
    segment.newest_ms = std::max(segment.newest_ms, head.newest_ms);
    last = std::max(last, head.last);
    // What was taken meanwhile is not to be read any more, and what went from memory was counted then.
    for (const auto& record : memory_) {
      if (record.sequence > head.last) break;
      if (record.sequence >= head.first && head.first > 0 && record.sequence > taken_) ++segment.untaken;
    }
  }
  while (!memory_.empty() && memory_.front().sequence <= last) {
    memory_bytes_ -= memory_.front().content.size() + kRecordExtraBytes;
    memory_.pop_front();
  }
  marked_since_.reset();
  taker_waits_ = false;
  durable_ = block_ledger_;
  reserved_ = durable_.reserved;
  ledger_segment_ = written.back().place.segment;
  written_at_ = Clock::now();
  forget_done();
}

void Spool::State::remove_doomed() {
  std::vector<std::uint64_t> doomed;
  {
    const std::lock_guard lock(mutex_);
    doomed.swap(doomed_);
  }
  // One that cannot be removed now is found done, and removed, by the next start.
  for (const auto number : doomed) (void)system_.unlink(segment_path(options_.folder, number)).has_value();
}

void Spool::State::tell(const Result<void>& written) {
  bool news = false;
  {
    const std::lock_guard lock(mutex_);
    news = trouble_ == written.has_value();
    trouble_ = !written.has_value();
    if (trouble_) try_again_ = Clock::now() + kTryAgainAfter;
    // Where there was nothing to write, there will be nothing for a while.
    written_at_ = std::max(written_at_, Clock::now() - kCountersAfter / 2);
    gathered_ = 0;
    taker_waits_ = false;
    counts_.writes = writer_->writes;
    counts_.written_bytes = writer_->written_bytes;
    counts_.syncs = writer_->syncs;
  }
  changed_.notify_all();
  if (news && options_.on_trouble) options_.on_trouble(written ? nullptr : &written.error());
}

Result<void> Spool::State::commit(bool all, bool last) {
  const std::lock_guard lock(disk_mutex_);
  if (!all) {
    const std::lock_guard state(mutex_);
    if (trouble_ && Clock::now() < try_again_) return {};
  }
  remove_doomed();  // First, so that the disk never has more than was asked for.
  auto written = write(all, last);
  tell(written);
  remove_doomed();
  return all ? written : Result<void>{};
}

void Spool::State::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      for (planned_ = due_at(); !stop.stop_requested() && Clock::now() < planned_; planned_ = due_at()) {
        due_.wait_until(lock, stop, planned_, [this] { return due_at() < planned_; });
      }
      if (stop.stop_requested()) return;
    }
    (void)commit(false, false).has_value();
  }
}

Spool::Spool(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Spool>> Spool::open(FileSystem& system, Options options) {
  const bool background = options.background;
  std::unique_ptr<Spool> spool(new Spool(std::make_unique<State>(system, std::move(options))));
  VERGE_TRY(spool->state_->load());
  if (background) {
    spool->thread_ = std::jthread([state = spool->state_.get()](const std::stop_token& stop) { state->run(stop); });
  }
  return spool;
}

Spool::~Spool() {
  const bool is_open = thread_.joinable();
  thread_ = {};
  if (is_open) (void)state_->commit(true, true).has_value();
}

Result<void> Spool::put(std::string_view content) {
  return state_->put(content);
}
bool Spool::take(Record& record, const std::stop_token& stop, std::chrono::milliseconds wait) {
  return state_->take(record, stop, wait);
}
void Spool::mark(std::uint64_t sequence, Outcome outcome) {
  state_->mark(sequence, outcome);
}
Result<void> Spool::flush() {
  return state_->commit(true, false);
}
Counts Spool::counts() const {
  return state_->counts();
}
const std::string& Spool::stream() const noexcept {
  return state_->stream;
}

}  // namespace verge::spool
