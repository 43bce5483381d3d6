// Deltas between versions of packages.
#include "query.hpp"

namespace verge::hub {
namespace {

auto delta_columns(DeltaRecord& r) {
  return std::tie(r.from_package, r.to_package, r.from_blob, r.to_blob, r.digest, r.size_bytes, r.repository,
                  r.manifest, r.made_ms);
}
const std::string kDelta =
    "from_package, to_package, from_blob, to_blob, digest, size_bytes, repository, manifest, made_ms";

}  // namespace

void Transaction::add(const DeltaRecord& delta) {
  insert(state_.sql, "insert or replace into deltas (" + kDelta + ")", delta_columns, delta);
}

std::vector<DeltaRecord> Transaction::deltas() {
  return select<DeltaRecord>(state_.sql, "select " + kDelta + " from deltas", delta_columns);
}

std::vector<DeltaRecord> Transaction::deltas_to(const std::string& package) {
  return select<DeltaRecord>(state_.sql, "select " + kDelta + " from deltas where to_package = :t", delta_columns,
                             package);
}

void Transaction::remove_deltas(const std::string& from_package, const std::string& to_package) {
  execute(state_.sql, "delete from deltas where from_package = :f and to_package = :t", from_package, to_package);
}

}  // namespace verge::hub
