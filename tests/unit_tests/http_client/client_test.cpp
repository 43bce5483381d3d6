#include "verge/http_client/client.hpp"

#include <ctime>
#include <thread>

#include <gmock/gmock.h>

#include "tls_server.hpp"
#include "verge/base/file.hpp"
#include "verge/crypto/certificate.hpp"

namespace verge::http_client {
namespace {

using namespace std::chrono_literals;
using crypto::CertificateOrder;
using crypto::CertificateUse;
using crypto::KeyKind;
using crypto::PrivateKey;
using testing::HasSubstr;
using testing::SizeIs;

constexpr std::int64_t kDay_s = 86'400;

struct Authority {
  PrivateKey key = PrivateKey::generate(KeyKind::ecdsa_p256);
  std::string pem = crypto::make_authority(key, "test authority", std::time(nullptr) - 1000 * kDay_s, 2000);
};
struct Identity {
  std::string certificate;
  std::string key;
};

Identity issue(const Authority& authority, CertificateUse use, std::vector<std::string> names = {"127.0.0.1"},
               std::int64_t shift_days = 0) {
  const auto key = PrivateKey::generate(KeyKind::ecdsa_p256);
  const CertificateOrder order{"somebody", std::move(names), use, std::time(nullptr) + shift_days * kDay_s, 30};
  return {*crypto::issue_certificate(order, key.public_key(), authority.pem, authority.key), key.pem()};
}

std::string answer(const std::string& body, const std::string& head = "200 OK") {
  return "HTTP/1.1 " + head + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string path_of(const std::string& request) {
  const auto begin = request.find(' ') + 1;
  return request.substr(begin, request.find(' ', begin) - begin);
}

/// Answers of the tests' server, by path; what is not listed echoes the request.
std::string respond(const std::string& request) {
  const std::string path = path_of(request);
  if (path == "/slow") std::this_thread::sleep_for(700ms);
  if (path == "/redirect") return answer("", "302 Found\r\nLocation: /elsewhere");
  if (path == "/broken") return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nonly this";
  if (path == "/refused") {
    return answer(R"({"error": "no such model [VRG-HUB-123]"})", "503 Busy\r\nRetry-After: 7");
  }
  if (path.starts_with("/refused_")) {
    const std::string after = path.ends_with("2099")   ? "\r\nRetry-After: Thu, 01 Jan 2099 00:00:00 GMT"
                              : path.ends_with("1999") ? "\r\nRetry-After: Fri, 01 Jan 1999 00:00:00 GMT"
                              : path.ends_with("soon") ? "\r\nRetry-After: soon"
                                                       : "";
    return answer("{}", "503 Busy" + after);
  }
  if (path == "/large") return answer(std::string(60'000, 'x'));
  if (path == "/whole") return answer("0123456789");
  if (path == "/ranged") return answer("456789", "206 Partial\r\nContent-Range: bytes 4-9/10");
  if (path == "/other_range") return answer("0123456789", "206 Partial\r\nContent-Range: bytes 0-9/10");
  if (path == "/stalled") return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nand no more";
  return answer(request, "200 OK\r\nX-Test:  some value ");
}

class HttpClient : public testing::Test {
 protected:
  void start(const Identity& identity, const std::string& client_authority = {}) {
    server_ = std::make_unique<TlsServer>(
        TlsServerOptions{identity.certificate + authority_.pem, identity.key, client_authority}, respond);
  }
  ClientOptions options() const {
    ClientOptions options;
    options.base_url = server_->url() + "/";
    options.ca_certificate = authority_.pem;
    return options;
  }
  std::unique_ptr<Client> client() const { return std::move(*Client::create(options())); }
  static Result<Reply> get(const ClientOptions& options, std::string path = "/") {
    VERGE_ASSIGN(const auto client, Client::create(options));
    Call call;
    call.path = std::move(path);
    return client->send(call);
  }
  static std::string id_of(const Result<Reply>& reply) { return reply ? "none" : reply.error().id(); }
  /// What a download gave; or the identifier of its error.
  std::string download(const std::string& path, std::uint64_t offset) const {
    std::string got;
    const auto sink = [&](std::span<const std::byte> piece) -> Result<void> {
      got.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      return {};
    };
    const auto done = client()->download(path, offset, sink, 300ms);
    return done ? got : done.error().id();
  }
  Authority authority_;
  std::unique_ptr<TlsServer> server_;
};

TEST_F(HttpClient, SendsWhatItIsToldAndKeepsTheConnection) {
  start(issue(authority_, CertificateUse::server));
  auto with_token = options();
  with_token.bearer_token = "secret";
  const auto client = std::move(*Client::create(with_token));
  Call call;
  call.method = "PUT";
  call.path = "/a/../b?c=d";
  call.body = "{}";
  call.headers = {{"X-Mine", "1"}, {"X-Empty", ""}};
  for (int i = 0; i < 3; ++i) {
    const auto reply = client->send(call);
    ASSERT_TRUE(reply) << reply.error().text();
    EXPECT_EQ(reply->status, 200);
    EXPECT_EQ(reply->header("x-test"), "some value");
    EXPECT_EQ(reply->header("x-none"), "");
    EXPECT_THAT(reply->body, HasSubstr("PUT /a/../b?c=d HTTP/1.1\r\n"));
    EXPECT_THAT(reply->body, HasSubstr("\r\nAuthorization: Bearer secret\r\n"));
    EXPECT_THAT(reply->body, HasSubstr("\r\nContent-Type: application/json\r\n"));
    EXPECT_THAT(reply->body, HasSubstr("\r\nX-Mine: 1\r\nX-Empty:\r\n"));
    EXPECT_THAT(reply->body, testing::EndsWith("\r\n\r\n{}"));
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpClient, EveryMethodGoesOutAsItIsNamed) {
  start(issue(authority_, CertificateUse::server));
  const auto one = client();
  for (const std::string method : {"GET", "POST", "DELETE", "PATCH"}) {
    Call call;
    call.method = method;
    call.path = "/";
    const auto reply = one->send(call);
    ASSERT_TRUE(reply) << reply.error().text();
    EXPECT_THAT(reply->body, testing::StartsWith(method + " / "));
    EXPECT_EQ(reply->body.find("Content-Length: 0") != std::string::npos, method == "POST" || method == "PATCH");
  }
}

TEST_F(HttpClient, OnlyItsOwnAuthorityIsTrusted) {
  start(issue(authority_, CertificateUse::server));
  auto other = options();
  other.ca_certificate = Authority().pem;
  EXPECT_EQ(id_of(get(other)), "VRG-HTC-003");
  other.check_validity_dates = false;
  EXPECT_EQ(id_of(get(other)), "VRG-HTC-003") << "the chain is checked all the same";
  other.ca_certificate.clear();
  EXPECT_EQ(id_of(get(other)), "VRG-HTC-003") << "the system's authorities do not know it";
}

TEST_F(HttpClient, TheNameOfTheServerMustBeInItsCertificate) {
  start(issue(authority_, CertificateUse::server, {"hub", "10.0.0.1"}));
  EXPECT_EQ(id_of(get(options())), "VRG-HTC-003");
}

TEST_F(HttpClient, ACertificateForClientsIsNoServers) {
  start(issue(authority_, CertificateUse::client));
  EXPECT_EQ(id_of(get(options())), "VRG-HTC-003");
}

TEST_F(HttpClient, TellsExpiredFromNotYetValidWithTheDates) {
  for (const int shift_days : {-100, 100}) {
    const auto identity = issue(authority_, CertificateUse::server, {"127.0.0.1"}, shift_days);
    start(identity);
    const auto reply = get(options());
    ASSERT_EQ(id_of(reply), "VRG-HTC-003");
    EXPECT_EQ(reply.error().code(), ErrorCode::unauthenticated);
    EXPECT_THAT(reply.error().message(), HasSubstr(shift_days < 0 ? "has expired" : "is not yet valid"));
    const std::time_t end = crypto::read_certificate(identity.certificate)->not_after_s;
    std::array<char, 32> date{};
    std::strftime(date.data(), date.size(), "to %Y-%m-%dT%H:%M:%SZ", std::gmtime(&end));
    EXPECT_THAT(reply.error().message(), HasSubstr(date.data()));
    auto lenient = options();
    lenient.check_validity_dates = false;
    EXPECT_TRUE(get(lenient)) << "to ask for the time";
  }
}

TEST_F(HttpClient, ShowsItsCertificateWhereOneIsWanted) {
  start(issue(authority_, CertificateUse::server), authority_.pem);
  const auto refused = get(options());
  ASSERT_EQ(id_of(refused), "VRG-HTC-007") << refused.error().text();
  EXPECT_EQ(refused.error().code(), ErrorCode::permission_denied);
  auto known = options();
  const auto identity = issue(authority_, CertificateUse::client);
  known.client_certificate = identity.certificate;
  known.client_key = identity.key;
  const auto reply = get(known);
  EXPECT_TRUE(reply) << reply.error().text();
  const auto foreign = issue(Authority(), CertificateUse::client);
  known.client_certificate = foreign.certificate;
  known.client_key = foreign.key;
  EXPECT_EQ(id_of(get(known)), "VRG-HTC-007");
}

TEST_F(HttpClient, AStopEndsACallAtOnce) {
  start(issue(authority_, CertificateUse::server));
  const auto one = client();
  Call call;
  call.path = "/stalled";
  std::stop_source stop;
  const auto begin = std::chrono::steady_clock::now();
  std::jthread stopper([&] {
    std::this_thread::sleep_for(100ms);
    stop.request_stop();
  });
  std::jthread waiting([&] {
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(id_of(one->send(call, stop.get_token())), "VRG-HTC-005") << "while it waits for its turn";
  });
  EXPECT_EQ(id_of(one->send(call, stop.get_token())), "VRG-HTC-005");
  waiting.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_EQ(id_of(one->send(call, stop.get_token())), "VRG-HTC-005") << "and none begins";
  call.path = "/";
  EXPECT_TRUE(one->send(call)) << "the client lives on";
}

TEST_F(HttpClient, CallsOfSeveralThreadsTakeTurns) {
  start(issue(authority_, CertificateUse::server));
  const auto one = client();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      Call call;
      call.path = "/" + std::to_string(i);
      for (int k = 0; k < 10; ++k) {
        const auto reply = one->send(call);
        ASSERT_TRUE(reply) << reply.error().text();
        EXPECT_THAT(reply->body, testing::StartsWith("GET " + call.path + " "));
      }
    });
  }
  threads.clear();
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpClient, WaitsNoLongerThanItIsTold) {
  start(issue(authority_, CertificateUse::server));
  Call call;
  call.path = "/slow";
  call.timeout = 100ms;
  const auto reply = client()->send(call);
  EXPECT_EQ(id_of(reply), "VRG-HTC-004");
  EXPECT_EQ(download("/stalled", 0), "VRG-HTC-004");
}

TEST_F(HttpClient, RefusesAnswersThatAreTooLarge) {
  start(issue(authority_, CertificateUse::server));
  Call call;
  call.path = "/whole";
  call.limit_bytes = 10;
  EXPECT_EQ(id_of(client()->send(call)), "none");
  call.limit_bytes = 9;
  EXPECT_EQ(id_of(client()->send(call)), "VRG-HTC-006");
}

TEST_F(HttpClient, FollowsNoRedirect) {
  start(issue(authority_, CertificateUse::server));
  const auto reply = get(options(), "/redirect");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 302);
  EXPECT_EQ(download("/redirect", 0), "VRG-HTC-009");
}

TEST_F(HttpClient, TellsWhatCannotBeReachedFromWhatBrokeOff) {
  start(issue(authority_, CertificateUse::server));
  EXPECT_EQ(id_of(get(options(), "/broken")), "VRG-HTC-002");
  const auto gone = options();
  server_.reset();
  EXPECT_EQ(id_of(get(gone)), "VRG-HTC-001");
}

TEST_F(HttpClient, LeavesAServerAloneThatAskedForIt) {
  start(issue(authority_, CertificateUse::server));
  const auto hub = client();
  Call call;
  call.path = "/refused";
  ASSERT_EQ(hub->send(call)->status, 503);
  const auto connections = server_->connections();
  call.path = "/";
  const auto again = hub->send(call);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().id(), "VRG-HTC-010");
  EXPECT_EQ(again.error().code(), ErrorCode::unavailable);
  EXPECT_THAT(again.error().message(), HasSubstr("for another"));
  const auto ignore = [](std::span<const std::byte>) -> Result<void> { return {}; };
  EXPECT_EQ(hub->download("/whole", 0, ignore, 5s).error().id(), "VRG-HTC-010");
  EXPECT_EQ(server_->connections(), connections);
  call.path = "/later";
  EXPECT_EQ(client()->send(call)->status, 200) << "another client was not asked";
}

TEST_F(HttpClient, ADateSaysWhenTooAndNonsenseSaysNothing) {
  start(issue(authority_, CertificateUse::server));
  for (const auto& [path, waits] : {std::pair{"/refused_until_2099", true},
                                    {"/refused_until_1999", false},
                                    {"/refused_soon", false},
                                    {"/refused_without_a_word", false}}) {
    const auto hub = client();
    Call call;
    call.path = path;
    ASSERT_EQ(hub->send(call)->status, 503);
    EXPECT_EQ(hub->send(call).has_value(), !waits) << path;
  }
}

TEST_F(HttpClient, DownloadsKeepToTheirRate) {
  start(issue(authority_, CertificateUse::server));
  auto slow = options();
  slow.max_download_bytes_per_s = 20'000;
  const auto hub = std::move(*Client::create(slow));
  std::size_t got = 0;
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(hub->download(
      "/large", 0,
      [&](std::span<const std::byte> bytes) -> Result<void> {
        got += bytes.size();
        return {};
      },
      5s));
  EXPECT_EQ(got, 60'000U);
  EXPECT_GT(std::chrono::steady_clock::now() - begin, 1s) << "60 kB at 20 kB/s, of which the first may come at once";
}

TEST_F(HttpClient, GoesThroughAProxyEvenToThisMachine) {
  start(issue(authority_, CertificateUse::server));
  auto through = options();
  through.proxy = "http://127.0.0.1:1";  // Nobody listens there.
  const auto reply = get(through);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().id(), "VRG-HTC-001");
}

TEST_F(HttpClient, DownloadsGoOnWhereTheyEnded) {
  start(issue(authority_, CertificateUse::server));
  EXPECT_EQ(download("/ranged", 4), "456789");
  EXPECT_EQ(download("/whole", 0), "0123456789");
  EXPECT_EQ(download("/whole", 4), "456789") << "a server without ranges";
  EXPECT_EQ(download("/whole", 11), "VRG-HTC-002") << "shorter than before";
  EXPECT_EQ(download("/other_range", 4), "VRG-HTC-002");
  EXPECT_EQ(download("/broken", 0), "VRG-HTC-002");
  EXPECT_EQ(download("/refused", 0), "VRG-HUB-123");
}

TEST_F(HttpClient, ASinkEndsADownloadWithItsOwnError) {
  start(issue(authority_, CertificateUse::server));
  const auto full = [](std::span<const std::byte>) -> Result<void> {
    return Error(ErrorCode::resource_exhausted, "VRG-BAS-002", "the disk is full");
  };
  const auto done = client()->download("/whole", 0, full, 1s);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().id(), "VRG-BAS-002");
}

TEST_F(HttpClient, SendsFilesWithProgress) {
  start(issue(authority_, CertificateUse::server));
  const auto folder = std::move(*TemporaryFolder::create("http_client"));
  const std::string content(300'000, 'x');
  ASSERT_TRUE(write_file(folder.path() / "file", std::string_view(content)));
  Call call;
  call.method = "POST";
  call.path = "/";
  call.body_file = folder.path() / "file";
  std::vector<std::uint64_t> steps;
  call.progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, content.size());
    steps.push_back(done);
  };
  const auto reply = client()->send(call);
  ASSERT_TRUE(reply) << reply.error().text();
  EXPECT_THAT(reply->body, testing::StartsWith("POST / "));
  EXPECT_THAT(reply->body, testing::EndsWith("\r\n\r\n" + content));
  ASSERT_FALSE(steps.empty());
  EXPECT_TRUE(std::ranges::is_sorted(steps));
  EXPECT_EQ(steps.back(), content.size());
  call.body_file = folder.path() / "none";
  EXPECT_EQ(client()->send(call).error().code(), ErrorCode::not_found);
}

TEST_F(HttpClient, WhatIsNoRequestIsNotSent) {
  start(issue(authority_, CertificateUse::server));
  EXPECT_EQ(id_of(get(options(), "no_slash")), "VRG-HTC-008");
  EXPECT_EQ(id_of(get(options(), "/a b")), "VRG-HTC-008");
  EXPECT_EQ(id_of(get(options(), "/a\r\nX: y")), "VRG-HTC-008");
  Call call;
  call.path = "/";
  call.headers = {{"X-Mine", "a\r\nX-Other: b"}};
  EXPECT_EQ(id_of(client()->send(call)), "VRG-HTC-008");
  EXPECT_EQ(server_->connections(), 0);
}

TEST_F(HttpClient, OptionsThatAreNoneAreRefused) {
  start(issue(authority_, CertificateUse::server));
  const auto refused = [](const ClientOptions& wrong) {
    const auto client = Client::create(wrong);
    return client ? "none" : client.error().id();
  };
  for (const std::string url : {"", "hub:8700", "ftp://hub", "https://", "https://hub?x=y", "https://hub#x"}) {
    auto wrong = options();
    wrong.base_url = url;
    EXPECT_EQ(refused(wrong), "VRG-HTC-008") << url;
  }
  auto wrong = options();
  wrong.ca_certificate = "nothing";
  EXPECT_EQ(refused(wrong), "VRG-HTC-008");
  const auto one = issue(authority_, CertificateUse::client);
  wrong = options();
  wrong.client_certificate = one.certificate;
  EXPECT_EQ(refused(wrong), "VRG-HTC-008") << "its key is missing";
  wrong.client_key = issue(authority_, CertificateUse::client).key;
  EXPECT_EQ(refused(wrong), "VRG-HTC-008") << "another key";
  wrong.client_key = one.key;
  EXPECT_EQ(refused(wrong), "none");
  wrong.bearer_token = "a\r\nX: y";
  EXPECT_EQ(refused(wrong), "VRG-HTC-008");
}

TEST_F(HttpClient, GivesTheChainThatAServerShows) {
  const auto identity = issue(authority_, CertificateUse::server, {"elsewhere"}, -100);
  start(identity, authority_.pem);
  const auto chain = certificate_chain(server_->url(), 5s);
  ASSERT_TRUE(chain) << chain.error().text();
  ASSERT_THAT(*chain, SizeIs(2));
  EXPECT_EQ(crypto::read_certificate(chain->front())->fingerprint,
            crypto::read_certificate(identity.certificate)->fingerprint);
  EXPECT_EQ(crypto::read_certificate(chain->back())->fingerprint,
            crypto::read_certificate(authority_.pem)->fingerprint);
  const std::string url = server_->url();
  server_.reset();
  EXPECT_EQ(certificate_chain(url, 5s).error().id(), "VRG-HTC-001");
  EXPECT_EQ(certificate_chain("http://127.0.0.1:1", 5s).error().id(), "VRG-HTC-008");
}

Error error_with(int status, const std::string& body, std::vector<std::pair<std::string, std::string>> headers = {}) {
  return error_of(Reply{status, std::move(headers), body});
}

TEST(ErrorOfReply, TakesTextAndIdentifierFromTheBody) {
  const auto error = error_with(404, R"({"error": "no model 'x' [VRG-MOD-001]"})");
  EXPECT_EQ(error.code(), ErrorCode::not_found);
  EXPECT_EQ(error.id(), "VRG-MOD-001");
  EXPECT_EQ(error.message(), "no model 'x'");
  const auto plain = error_with(503, R"({"error": "busy [now]"})", {{"retry-after", "30"}});
  EXPECT_EQ(plain.code(), ErrorCode::unavailable);
  EXPECT_EQ(plain.id(), "VRG-HTC-009");
  EXPECT_EQ(plain.message(), "busy [now] (Retry-After: 30)");
  const auto registry = error_with(403, R"({"errors":[{"code":"DENIED","message":"no room [VRG-OCI-012]"}]})");
  EXPECT_EQ(registry.code(), ErrorCode::permission_denied);
  EXPECT_EQ(registry.id(), "VRG-OCI-012");
  EXPECT_EQ(registry.message(), "no room");
}

TEST(ErrorOfReply, SaysSomethingOfAnyBody) {
  EXPECT_EQ(error_with(500, "<html>\r\nbad").message(), "the server answered with status 500: <html>  bad");
  EXPECT_EQ(error_with(502, "").code(), ErrorCode::unavailable);
  EXPECT_THAT(error_with(400, std::string(10'000, 'x')).message().size(), testing::Lt(300U));
  EXPECT_EQ(error_with(401, "[1]").code(), ErrorCode::unauthenticated);
  EXPECT_EQ(error_with(422, R"({"error": 3})").code(), ErrorCode::data_loss);
}

}  // namespace
}  // namespace verge::http_client
