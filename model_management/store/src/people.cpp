// Tokens, one-time tokens, events, settings.
#include "query.hpp"

namespace verge::hub {
namespace {

auto token_columns(TokenRecord& r) {
  return std::tie(r.id, r.name, r.hash, r.rights, r.created_ms);
}
constexpr const char* kToken = "id, name, hash, rights, created_ms";

auto enrolment_columns(EnrolmentRecord& r) {
  return std::tie(r.id, r.hash, r.device, r.created_ms, r.created_by, r.expires_ms, r.used_ms, r.used_by, r.used_key);
}
constexpr const char* kEnrolment = "id, hash, device, created_ms, created_by, expires_ms, used_ms, used_by, used_key";

auto event_columns(EventRecord& r) {
  return std::tie(r.id, r.at_ms, r.who, r.action, r.subject, r.text);
}

}  // namespace

void Transaction::add(const TokenRecord& token) {
  insert(state_.sql, std::string("insert into tokens (") + kToken + ")", token_columns, token);
}

std::vector<TokenRecord> Transaction::tokens() {
  return select<TokenRecord>(state_.sql, std::string("select ") + kToken + " from tokens order by created_ms, id",
                             token_columns);
}

std::optional<TokenRecord> Transaction::token_by_hash(const std::string& hash) {
  return select_one<TokenRecord>(state_.sql, std::string("select ") + kToken + " from tokens where hash = :h",
                                 token_columns, hash);
}

bool Transaction::remove_token(const std::string& id) {
  return execute(state_.sql, "delete from tokens where id = :i", id) > 0;
}

void Transaction::put(const EnrolmentRecord& enrolment) {
  insert(state_.sql, std::string("insert or replace into enrolments (") + kEnrolment + ")", enrolment_columns,
         enrolment);
}

std::vector<EnrolmentRecord> Transaction::enrolments() {
  return select<EnrolmentRecord>(state_.sql,
                                 std::string("select ") + kEnrolment + " from enrolments order by created_ms desc, id",
                                 enrolment_columns);
}

std::optional<EnrolmentRecord> Transaction::enrolment_by_hash(const std::string& hash) {
  return select_one<EnrolmentRecord>(
      state_.sql, std::string("select ") + kEnrolment + " from enrolments where hash = :h", enrolment_columns, hash);
}

void Transaction::add(const EventRecord& event) {
  execute(state_.sql, "insert into events (at_ms, who, action, subject, text) values (:a, :w, :c, :s, :t)", event.at_ms,
          event.who, event.action, event.subject, event.text);
}

std::vector<EventRecord> Transaction::events(std::int64_t before, std::int64_t limit) {
  return select<EventRecord>(state_.sql,
                             "select id, at_ms, who, action, subject, text from events where :b = 0 or id < :c "
                             "order by id desc limit :l",
                             event_columns, before, before, limit);
}

std::string Transaction::setting(const std::string& key) {
  return text_of(state_.sql, "select value from settings where key = :k", key);
}

void Transaction::set_setting(const std::string& key, const std::string& value) {
  execute(state_.sql, "insert or replace into settings (key, value) values (:k, :v)", key, value);
}

}  // namespace verge::hub
