#include "verge/hub/store.hpp"

#include <array>

#include <fmt/format.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include "state.hpp"

namespace verge::hub {
namespace {

/// Each makes the next version of the schema. Never changed once released: a new version is a new entry.
constexpr std::array<std::string_view, 6> kMigrations{R"sql(
create table tokens (id text primary key, name text not null, hash text not null unique, rights text not null,
  created_ms bigint not null);
create table enrolments (id text primary key, hash text not null unique, device text not null,
  created_ms bigint not null, created_by text not null, expires_ms bigint not null, used_ms bigint not null,
  used_by text not null, used_key text not null);
create table events (id integer primary key autoincrement, at_ms bigint not null, who text not null,
  action text not null, subject text not null, text text not null);
create table settings (key text primary key, value text not null);
create table devices (name text primary key, joined_ms bigint not null, key_fingerprint text not null,
  certificate_until_ms bigint not null, revoked_ms bigint not null, conflict text not null, continuation text not null,
  continuation_before text not null, accept_next bigint not null, instance text not null, address text not null,
  reported_ms bigint not null, clock_ahead_ms bigint not null, report text not null, labels text not null,
  desired_version bigint not null);
create index devices_by_key on devices (key_fingerprint);
create table versions (kind text not null, name text not null, version text not null, digest text not null,
  repository text not null, content_bytes bigint not null, size_bytes bigint not null, custom text not null,
  document text not null, created_ms bigint not null, created_by text not null, primary key (name, version));
create table floors (name text primary key, version text not null);
create table deployments (number integer primary key autoincrement, kind text not null, application text not null,
  version text not null, target text not null, digest text not null, selector text not null, watch text not null,
  rolls_back text not null, created_ms bigint not null, created_by text not null);
create index deployments_by_application on deployments (application, number);
create table deployment_devices (number bigint not null references deployments (number),
  device text not null references devices (name), state text not null, reason_id text not null, reason text not null,
  version text not null, target text not null, digest text not null, before_version text not null,
  before_target text not null, before_digest text not null, offered_ms bigint not null, changed_ms bigint not null,
  update_report text not null, clock_ahead_ms bigint not null, primary key (number, device));
create index deployment_devices_by_device on deployment_devices (device, state);
create index deployment_devices_by_state on deployment_devices (state, number);
create table desired (device text not null references devices (name), application text not null, version text not null,
  target text not null, digest text not null, deployment text not null, watch text not null,
  primary key (device, application));
create table manifests (repository text not null, digest text not null, media_type text not null,
  artifact_type text not null, subject text not null, annotations text not null, size_bytes bigint not null,
  primary key (repository, digest));
create index manifests_by_subject on manifests (repository, subject);
create table manifest_blobs (manifest text not null, blob text not null, primary key (manifest, blob));
create index manifest_blobs_by_blob on manifest_blobs (blob);
create table tags (repository text not null, tag text not null, digest text not null, primary key (repository, tag),
  foreign key (repository, digest) references manifests (repository, digest));
create table blobs (repository text not null, digest text not null, primary key (repository, digest));
create index blobs_by_digest on blobs (digest);
create table uploads (id text primary key, repository text not null, created_ms bigint not null);
)sql",
                                                      R"sql(
alter table blobs add column size_bytes bigint not null default -1;
alter table uploads add column used_ms bigint not null default 0;
update uploads set used_ms = created_ms;
create index manifests_by_digest on manifests (digest);
)sql",
                                                      R"sql(
create table deltas (from_package text not null, to_package text not null, from_blob text not null,
  to_blob text not null, digest text not null, size_bytes bigint not null, repository text not null,
  manifest text not null, made_ms bigint not null, primary key (to_package, from_package, to_blob));
)sql",
                                                      R"sql(
create table measured (device text primary key references devices (name), key_area text not null,
  endorsement text not null, nonce text not null, nonce_before text not null, nonce_ms bigint not null,
  instance text not null, verdict text not null, reason_id text not null, reason text not null,
  quoted_ms bigint not null, report text not null);
)sql",
                                                      R"sql(
create table telemetry_streams (device text not null references devices (name), stream text not null,
  stored_to bigint not null, stored_ms bigint not null, primary key (device, stream));
create table telemetry (number integer primary key autoincrement, device text not null references devices (name),
  taken_ms bigint not null, stored_ms bigint not null, sample text not null);
create index telemetry_by_device on telemetry (device, number);
create index telemetry_by_time on telemetry (stored_ms);
)sql",
                                                      R"sql(
alter table measured add column endorsement_key text not null default '';
alter table measured add column credential text not null default '';
alter table measured add column activated_ms bigint not null default 0;
alter table measured add column endorsed_by text not null default '';
alter table measured add column endorsed_until_ms bigint not null default 0;
alter table measured add column endorsement_reason_id text not null default '';
alter table measured add column endorsement_reason text not null default '';
alter table measured add column unable_ms bigint not null default 0;
)sql"};

Error broken(std::string_view what) {
  return Error(ErrorCode::unavailable, "VRG-HUB-001",
               fmt::format("the hub's database cannot be used: {}; look at the disk that holds hub.db", what));
}

std::string connection_to(const std::filesystem::path& file) {
  return fmt::format("dbname=\"{}\" timeout=30", file.string());
}

void run_statements(soci::session& sql, std::string_view text) {
  for (std::size_t start = 0; start < text.size();) {
    const auto end = std::min(text.find(';', start), text.size());
    const std::string statement(text.substr(start, end - start));
    if (statement.find_first_not_of(" \n") != std::string::npos) sql << statement;
    start = end + 1;
  }
}

Result<void> bring_up_to_date(soci::session& sql) {
  sql << "create table if not exists schema_version (version bigint not null)";
  long long version = 0;
  sql << "select coalesce(max(version), 0) from schema_version", soci::into(version);
  const auto newest = static_cast<long long>(kMigrations.size());
  if (version > newest) {
    return Error(ErrorCode::failed_precondition, "VRG-HUB-002",
                 fmt::format("expected a database of version {} or older, got version {}; run the newer verge-hub that "
                             "made it, or restore a copy",
                             newest, version));
  }
  for (; version < newest; ++version) {
    soci::transaction transaction(sql);
    run_statements(sql, kMigrations.at(static_cast<std::size_t>(version)));
    sql << "insert into schema_version values (:v)", soci::use(version + 1);
    transaction.commit();
  }
  return {};
}

}  // namespace

Store::Store(std::unique_ptr<Transaction::State> state) : state_(std::move(state)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::filesystem::path& file) {
  try {
    auto state = std::make_unique<Transaction::State>();
    state->sql.open(soci::sqlite3, connection_to(file));
    // Nobody has been promised anything before the first transaction: until then no commit need reach the disk by
    // itself.
    for (const char* pragma : {"pragma journal_mode=WAL", "pragma synchronous=NORMAL", "pragma foreign_keys=ON"}) {
      state->sql << pragma;
    }
    VERGE_TRY(bring_up_to_date(state->sql));
    state->sql << "pragma synchronous=FULL";
    return std::unique_ptr<Store>(new Store(std::move(state)));
  } catch (const soci::soci_error& error) {
    return broken(error.what());
  }
}

Result<void> Store::copy(const std::filesystem::path& file, const std::filesystem::path& to) {
  try {
    soci::session sql(soci::sqlite3, connection_to(file));
    const auto name = to.string();
    sql << "vacuum into :f", soci::use(name);
    return {};
  } catch (const soci::soci_error& error) {
    return broken(error.what());
  }
}

Result<void> Store::transaction(const std::function<Result<void>(Transaction&)>& work) {
  const std::lock_guard lock(state_->mutex);
  try {
    soci::transaction transaction(state_->sql);  // Undoes unless committed.
    Transaction inner(*state_);
    VERGE_TRY(work(inner));
    transaction.commit();
    return {};
  } catch (const soci::soci_error& error) {
    return broken(error.what());
  }
}

}  // namespace verge::hub
