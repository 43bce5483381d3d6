#include "telemetry_link.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "backoff.hpp"
#include "verge/base/rest.hpp"
#include "verge/crypto/random.hpp"
#include "verge/wire/telemetry_batch.hpp"

namespace verge::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBatch = 200;
constexpr std::size_t kBatchBytes = std::size_t{512} << 10U;
constexpr std::int64_t kRetryLongest_ms = 300'000;
/// A hub of before telemetry: it may be brought up to date any day.
constexpr auto kUnknownThere = 10min;

std::uint64_t random() {
  return std::stoull(crypto::random_hex(8), nullptr, 16);
}

}  // namespace

TelemetryLink::TelemetryLink(Log& log, std::chrono::seconds interval, const std::filesystem::path& state_directory,
                             const Serving& serving, HubClient& hub, std::shared_ptr<spool::Spool> spool)
    : log_(log),
      interval_(interval),
      serving_(serving),
      hub_(hub),
      spool_(std::move(spool)),
      sampler_(state_directory),
      most_(kBatch) {
  sample_thread_ = std::jthread([this](const std::stop_token& stop) { run_samples(stop); });
  delivery_thread_ = std::jthread([this](const std::stop_token& stop) { run_deliveries(stop); });
}

TelemetryLink::~TelemetryLink() = default;

void TelemetryLink::set_trouble(const std::string& text) {
  if (trouble_ == text) return;
  trouble_ = text;
  if (text.empty()) {
    log_.info("the hub takes telemetry again");
  } else {
    log_.warning("telemetry is not delivered; it waits", {{"error", text}});
  }
}

std::string TelemetryLink::sample() {
  const auto device = sampler_.take();
  wire::TelemetrySample sample;
  sample.uptime_s = device.uptime_s;
  sample.processor_load = device.processor_load;
  sample.memory_available_bytes = device.memory_available_bytes;
  sample.disk_free_bytes = device.disk_free_bytes;
  sample.resident_bytes = static_cast<std::int64_t>(telemetry::resident_bytes());
  sample.temperature_c = device.temperature_c;
  std::map<std::string, Before> now;
  for (const auto& served : serving_.models()) {
    const auto counts = served->tally.counts();
    const auto key = served->name + " " + served->version();
    auto before = before_[key];
    if (before.requests > counts.requests) before = {};  // Loaded anew meanwhile.
    now[key] = {counts.requests, counts.failed};
    wire::TelemetryModel model;
    model.name = served->name;
    model.version = served->version();
    model.requests = counts.requests - before.requests;
    model.failed = std::max<std::int64_t>(counts.failed - before.failed, 0);
    model.infer_p50_ms = counts.p50_ms;
    model.infer_p99_ms = counts.p99_ms;
    sample.models.push_back(std::move(model));
  }
  before_ = std::move(now);
  return wire::write_json_line(wire::to_node(sample));
}

void TelemetryLink::run_samples(const std::stop_token& stop) {
  auto next = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    next += interval_;
    rest(std::chrono::duration_cast<std::chrono::milliseconds>(next - std::chrono::steady_clock::now()), stop);
    if (stop.stop_requested()) return;
    if (const auto kept = spool_->put(sample()); !kept) {
      log_.warning("a sample is lost", {{"error", kept.error().text()}});
    }
  }
}

bool TelemetryLink::fill(std::size_t most, const std::stop_token& stop) {
  std::size_t bytes = 0;
  for (const auto& record : batch_) bytes += record.content.size();
  while (batch_.size() < most && bytes < kBatchBytes) {
    spool::Record record;
    if (!spool_->take(record, stop, batch_.empty() ? std::chrono::milliseconds(1h) : 0ms)) {
      if (batch_.empty() && !stop.stop_requested()) continue;
      break;
    }
    bytes += record.content.size();
    batch_.push_back(std::move(record));
  }
  return !stop.stop_requested();
}

/// Of the first `most_` of the batch. What is kept of a sample lacks its number and time.
std::string TelemetryLink::batch_text() const {
  std::string text = fmt::format(R"({{"version":1,"stream":"{}","samples":[)", spool_->stream());
  const char* separator = "";
  for (const auto& record : std::span(batch_).first(std::min(most_, batch_.size()))) {
    auto node = wire::parse_json(record.content, "a sample");
    if (!node) continue;
    std::erase_if(node->members,
                  [](const auto& member) { return member.first == "sequence" || member.first == "time_ms"; });
    node->add("sequence", wire::Node::integer(static_cast<std::int64_t>(record.sequence)));
    node->add("time_ms", wire::Node::integer(std::max<std::int64_t>(record.time_ms, 0)));
    text += std::exchange(separator, ",") + wire::write_json_line(*node);
  }
  return text + "]}";
}

bool TelemetryLink::deliver(const std::stop_token& stop) {
  const auto sent = hub_.telemetry(batch_text(), stop);
  if (sent) {
    const auto to = static_cast<std::uint64_t>(*sent);
    const auto stored = std::erase_if(batch_, [&](const spool::Record& record) {
      if (record.sequence > to) return false;
      spool_->mark(record.sequence, spool::Outcome::delivered);
      return true;
    });
    most_ = kBatch;
    return stored > 0;
  }
  set_trouble(sent.error().text());
  const auto code = sent.error().code();
  const bool refused = code == ErrorCode::invalid_argument || code == ErrorCode::resource_exhausted ||
                       code == ErrorCode::out_of_range || code == ErrorCode::data_loss;
  if (!refused) return false;
  if (std::exchange(most_, 1) == 1) {  // It is this one that the hub will never take.
    spool_->mark(batch_.front().sequence, spool::Outcome::refused);
    batch_.erase(batch_.begin());
    return true;
  }
  return true;
}

void TelemetryLink::run_deliveries(const std::stop_token& stop) {
  Backoff backoff(kRetryLongest_ms);
  while (fill(most_, stop)) {
    if (deliver(stop)) {
      if (most_ == kBatch) set_trouble("");
      backoff.reset();
      continue;
    }
    const bool unknown = trouble_.find("VRG-HUB-044") != std::string::npos;
    rest(unknown ? std::chrono::milliseconds(kUnknownThere) : std::chrono::milliseconds(backoff.next(random())), stop);
  }
}

}  // namespace verge::agent
