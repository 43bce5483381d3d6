// Models and applications.
#include "query.hpp"

namespace verge::hub {
namespace {

auto version_columns(VersionRecord& r) {
  return std::tie(r.kind, r.name, r.version, r.digest, r.repository, r.content_bytes, r.size_bytes, r.custom,
                  r.document, r.created_ms, r.created_by);
}
const std::string kVersion =
    "kind, name, version, digest, repository, content_bytes, size_bytes, custom, document, created_ms, created_by";

}  // namespace

void Transaction::add(const VersionRecord& version) {
  insert(state_.sql, "insert into versions (" + kVersion + ")", version_columns, version);
}

void Transaction::remove_version(const std::string& kind, const std::string& name, const std::string& version) {
  execute(state_.sql, "delete from versions where kind = :k and name = :n and version = :v", kind, name, version);
}

std::vector<VersionRecord> Transaction::versions() {
  return select<VersionRecord>(state_.sql, "select " + kVersion + " from versions order by name, created_ms",
                               version_columns);
}

std::vector<VersionRecord> Transaction::versions_of(const std::string& name) {
  return select<VersionRecord>(state_.sql, "select " + kVersion + " from versions where name = :n", version_columns,
                               name);
}

std::optional<VersionRecord> Transaction::version(const std::string& name, const std::string& version) {
  return select_one<VersionRecord>(state_.sql, "select " + kVersion + " from versions where name = :n and version = :v",
                                   version_columns, name, version);
}

std::optional<VersionRecord> Transaction::version_by_digest(const std::string& name, const std::string& digest) {
  return select_one<VersionRecord>(state_.sql, "select " + kVersion + " from versions where name = :n and digest = :d",
                                   version_columns, name, digest);
}

std::map<std::string, std::string> Transaction::floors() {
  using Row = std::pair<std::string, std::string>;
  std::map<std::string, std::string> floors;
  for (auto& row : select<Row>(state_.sql, "select name, version from floors",
                               [](Row& r) { return std::tie(r.first, r.second); })) {
    floors.insert(std::move(row));
  }
  return floors;
}

void Transaction::set_floor(const std::string& name, const std::string& version) {
  execute(state_.sql, "delete from floors where name = :n", name);
  if (!version.empty()) {
    execute(state_.sql, "insert into floors (name, version) values (:n, :v)", name, version);
  }
}

}  // namespace verge::hub
