// Routes for samples of devices.
#include <fmt/format.h>

#include "handlers.hpp"

namespace verge::hub {
namespace {

constexpr std::size_t kLimitBytes = std::size_t{1} << 20U;
constexpr std::int64_t kLargestMoment_ms = std::int64_t{1} << 53U;

http::Response put(Hub& hub, const Call& call) {
  if (call.request.body.size() > kLimitBytes) {
    return error_answer(Error(ErrorCode::resource_exhausted, "VRG-HUB-080",
                              fmt::format("expected at most {} bytes of samples at once, got {}; send fewer at a time",
                                          kLimitBytes, call.request.body.size())));
  }
  const auto batch = body_of<wire::TelemetryBatch>(call.request, wire::read_telemetry_batch);
  if (!batch) return error_answer(batch.error());
  std::int64_t retry_after_s = 0;
  auto response = answer(call.status, hub.store_telemetry(call.caller, *batch, retry_after_s));
  if (retry_after_s > 0) {
    response.status = 429;
    response.headers.emplace_back("Retry-After", std::to_string(retry_after_s));
  }
  return response;
}

http::Response get(Hub& hub, const Call& call) {
  constexpr std::int64_t kUsual = 1000;
  constexpr std::int64_t kMost = 10'000;
  const auto since_ms = call.number("since", 0, 0, kLargestMoment_ms);
  const auto limit = call.number("limit", kUsual, 1, kMost);
  if (!since_ms) return error_answer(since_ms.error());
  if (!limit) return error_answer(limit.error());
  return answer(call.status, hub.telemetry(call.caller, call.at("device"), *since_ms, *limit));
}

}  // namespace

http::Response handle_telemetry(Hub& hub, RouteName route, const Call& call) {
  return route == RouteName::put_telemetry ? put(hub, call) : get(hub, call);
}

}  // namespace verge::hub
