#include "verge/inference_api/slow_requests.hpp"

namespace verge::inference_api {

void SlowRequests::write(std::string_view model, std::string_view version, const processing::StageTimes& times) {
  constexpr std::chrono::nanoseconds kPause = std::chrono::seconds(1);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  auto next = next_line_ns_.load(std::memory_order_relaxed);
  if (now.count() < next || !next_line_ns_.compare_exchange_strong(next, (now + kPause).count())) {
    unwritten_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const auto ms = [](std::int64_t ns) { return static_cast<double>(ns) / 1e6; };
  log_.warning("slow request", {{"model", model},
                                {"version", version},
                                {"wait_ms", ms(times.wait_ns)},
                                {"decode_ms", ms(times.decode_ns)},
                                {"preprocess_ms", ms(times.preprocess_ns)},
                                {"infer_ms", ms(times.infer_ns)},
                                {"postprocess_ms", ms(times.postprocess_ns)},
                                {"batch_rows", static_cast<long long>(times.batch_rows)},
                                {"more_since_the_last_line", static_cast<long long>(unwritten_.exchange(0))}});
}

}  // namespace verge::inference_api
