// What devices have shown of what they booted.
#include "query.hpp"

namespace verge::hub {
namespace {

auto measured_columns(MeasuredRecord& r) {
  return std::tie(r.device, r.key_area, r.endorsement, r.nonce, r.nonce_before, r.nonce_ms, r.instance, r.verdict,
                  r.reason_id, r.reason, r.quoted_ms, r.report, r.endorsement_key, r.credential, r.activated_ms,
                  r.endorsed_by, r.endorsed_until_ms, r.endorsement_reason_id, r.endorsement_reason, r.unable_ms);
}
const std::string kMeasured =
    "device, key_area, endorsement, nonce, nonce_before, nonce_ms, instance, verdict, reason_id, reason, quoted_ms, "
    "report, endorsement_key, credential, activated_ms, endorsed_by, endorsed_until_ms, endorsement_reason_id, "
    "endorsement_reason, unable_ms";

}  // namespace

void Transaction::put(const MeasuredRecord& measured) {
  insert(state_.sql, "insert or replace into measured (" + kMeasured + ")", measured_columns, measured);
}

std::optional<MeasuredRecord> Transaction::measured(const std::string& device) {
  return select_one<MeasuredRecord>(state_.sql, "select " + kMeasured + " from measured where device = :d",
                                    measured_columns, device);
}

std::vector<MeasuredRecord> Transaction::all_measured() {
  return select<MeasuredRecord>(state_.sql, "select " + kMeasured + " from measured", measured_columns);
}

void Transaction::remove_measured(const std::string& device) {
  execute(state_.sql, "delete from measured where device = :d", device);
}

}  // namespace verge::hub
